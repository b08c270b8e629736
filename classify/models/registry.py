"""Every clip classifier by name."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from stadet.classify.models.c3d import C3D
from stadet.classify.models.classifier import ClipClassifier
from stadet.classify.models.cnn_lstm import cnn_lstm, cnn_lstm_custom
from stadet.classify.models.compact import CompactClassifier
from stadet.classify.models.convlstm import ConvLSTMClassifier
from stadet.classify.models.fused_keypoints import FusedKeypoints
from stadet.classify.models.i3d import I3D
from stadet.classify.models.i3d_resnet import I3DResNet
from stadet.classify.models.late_fusion import LateFusion
from stadet.classify.models.lrcn import lrcn
from stadet.classify.models.resnet3d import ResNet3dClassifier
from stadet.classify.models.three_stream import ThreeStream
from stadet.engine.errors import UserError, neighbours

# A builder takes num_classes and its own keywords; what a partial fixes is not an option.
MODELS: dict[str, Callable[..., ClipClassifier]] = {
    # the hand-washing report
    "convlstm": ConvLSTMClassifier,
    "cnn_lstm_custom": cnn_lstm_custom,
    "cnn_lstm_alexnet": functools.partial(cnn_lstm, backbone="alexnet"),
    "cnn_lstm_resnet50": functools.partial(cnn_lstm, backbone="resnet50"),
    "cnn_lstm": cnn_lstm,
    "three_stream": ThreeStream,
    # the sign-language report
    "fused_keypoints": FusedKeypoints,
    # the action-recognition report
    "late_fusion_average": functools.partial(LateFusion, fusion="average"),
    "late_fusion_concatenation": functools.partial(LateFusion, fusion="concatenation"),
    "lrcn": lrcn,
    "c3d": C3D,
    "i3d_resnet": functools.partial(I3DResNet, non_local=False),
    "nonlocal_i3d_resnet": functools.partial(I3DResNet, non_local=True),
    # the hand-gesture thesis
    "i3d": functools.partial(I3D, non_local=False, gates=False),
    "nl_i3d": functools.partial(I3D, non_local=True, gates=False),
    "g_i3d": functools.partial(I3D, non_local=False, gates=True),
    "dilate_i3d": functools.partial(I3D, dilate_training="full", non_local=False, gates=False),
    "modified_i3d": functools.partial(I3D, gates=True, non_local=False),
    # for little footage
    "compact": CompactClassifier,
    # YOWO's 3D branches
    "resnet3d": ResNet3dClassifier,
}
# Options whose default differs from the builder's own.
DEFAULTS: dict[str, dict[str, Any]] = {
    "dilate_i3d": {"dilate_evaluation": "full"},
    "modified_i3d": {"dilate_training": "top-5", "dilate_evaluation": "top-5"},
}


def build_model(name: str, num_classes: int, **options: Any) -> ClipClassifier:
    """A classifier with initial weights (`stadet.classify.models.weights.load_weights` fills them).

    options: the builder's keywords, of their declared types (lists for tuples, as YAML has them).
    Raises UserError for an unknown model or option and for a value of the wrong type, naming the
    nearest known.
    """
    if name not in MODELS:
        raise UserError(
            f"no clip classifier {name!r}{neighbours(name, MODELS)}; known: {', '.join(MODELS)}"
        )
    return MODELS[name](num_classes, **check_options(name, options))


def model_options(name: str) -> dict[str, Any]:
    """The options of a model with their defaults."""
    builder = MODELS[name]
    fixed = getattr(builder, "keywords", {})
    function = getattr(builder, "func", builder)
    keywords = {
        key: parameter.default
        for key, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and key not in fixed
    }
    return keywords | DEFAULTS.get(name, {})


def check_options(name: str, options: dict[str, Any]) -> dict[str, Any]:
    """All options of a model: these, checked and coerced, over the defaults."""
    import jsonargparse

    known = model_options(name)
    for key in options:
        if key not in known:
            raise UserError(
                f"{name}: no option {key!r}{neighbours(key, known)}; known: {', '.join(known)}"
            )
    builder = MODELS[name]
    function = getattr(builder, "func", builder)
    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    add = parser.add_class_arguments if inspect.isclass(function) else parser.add_function_arguments
    add(function, skip={"num_classes", *getattr(builder, "keywords", {})})
    try:
        parsed = parser.parse_object(known | options).as_dict()
    except jsonargparse.ArgumentError as error:
        lines = [line.strip(" -") for line in str(error).splitlines() if line.strip(" -")]
        raise UserError(f"{name}: {' '.join(lines)}") from error
    return {key: parsed[key] for key in known}
