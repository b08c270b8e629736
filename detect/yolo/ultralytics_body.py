"""Weights of an ultralytics yolov3 for the body of our YOLOv3 (`body="ultralytics"`): backbone,
neck and 3x3 head convolutions are the same function; their anchor-free head is not taken."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from stadet.detect.yolo.darknet53 import ConvBlock
from stadet.detect.yolo.weights_report import WeightsReport
from stadet.detect.yolo.yolov3 import YOLOv3
from stadet.engine.errors import UserError
from stadet.engine.host import unchanged_host
from stadet.engine.mistaken_files import expect_weights_file
from stadet.engine.state_dict import STAND_INS, Opaque
from stadet.engine.torch_file import (
    expect_finite,
    expect_undamaged,
    first_line,
    load_torch_file,
)

# Their layers of each of our scales, coarsest first: lateral, five neck convolutions, head.
SCALE_LAYERS = (
    (None, "11.cv1", "11.cv2", "12", "13", "14", "15"),
    ("16", "19.cv1", "19.cv2", "20.cv1", "20.cv2", "21", "22"),
    ("23", "26.cv1", "26.cv2", "27.0.cv1", "27.0.cv2", "27.1.cv1", "27.1.cv2"),
)
SAFE_CLASSES = {"ultralytics.utils.IterableSimpleNamespace"}  # besides modules of torch and theirs
MAKE_ONE = (
    "make one with `YOLO('yolov3.yaml').save(path)` or train one with ultralytics; for their other "
    "networks set model=ultralytics and ultralytics.weights"
)


def keep_offline() -> None:
    """Import ultralytics, which then reads whether it may use the network and install packages,
    and keep it from changing the program around it."""
    if "ultralytics.nn.tasks" not in sys.modules:
        import cv2  # noqa: F401 - first, so that its threads are known

        with unchanged_host(YOLO_OFFLINE="1", YOLO_AUTOINSTALL="0"):
            import ultralytics.nn.tasks  # noqa: F401


def load_ultralytics_body(
    model: YOLOv3, source: str | os.PathLike | Mapping[str, Tensor]
) -> WeightsReport:
    """Fill the body of `model` from an ultralytics yolov3 checkpoint or its state dict.

    Exact for a model with `body="ultralytics"` and the strides 8, 16, 32 at width and depth 1; a
    stride-4 level keeps its start, and so do the output convolutions. Raises UserError where the
    checkpoint lacks a layer of the body or has it in another shape.
    """
    if isinstance(source, Mapping):
        name, weights = "state dict", dict(source)
    else:
        name, weights = os.path.basename(source), read_ultralytics_checkpoint(source)
    own = model.state_dict()
    filled = {}
    pairs = dict(_layer_pairs(model))
    for ours, theirs in pairs.items():
        for key, other in _tensor_pairs(ours, theirs):
            found = tuple(weights[other].shape) if other in weights else "nothing"
            if found != tuple(own[key].shape):
                raise UserError(
                    f"{name}: expected {other} of shape {tuple(own[key].shape)} for an "
                    f"ultralytics-style YOLOv3, found {found}; {MAKE_ONE}"
                )
            filled[key] = weights.pop(other)
    model.load_state_dict(filled, strict=False)
    layers = [key for key, module in model.named_modules() if isinstance(module, ConvBlock)]
    layers += [f"scales.{i}.output" for i in range(len(model.scales))]
    missing = tuple(layer for layer in layers if layer not in pairs)
    return WeightsReport(name, tuple(pairs), missing, tuple(weights))


def _layer_pairs(model: YOLOv3) -> Iterator[tuple[str, str]]:
    """(our ConvBlock, their Conv) by name, for every layer that both have."""
    yield "backbone.stem", "model.0"
    for i, stage in enumerate(model.backbone.stages):
        yield f"backbone.stages.{i}.down", f"model.{2 * i + 1}"
        for j in range(len(stage.blocks)):
            block = f"model.{2 * i + 2}" if i == 0 else f"model.{2 * i + 2}.{j}"
            yield f"backbone.stages.{i}.blocks.{j}.reduce", f"{block}.cv1"
            yield f"backbone.stages.{i}.blocks.{j}.expand", f"{block}.cv2"
    for i, (lateral, *neck, head) in enumerate(SCALE_LAYERS[: len(model.scales)]):
        if lateral is not None:
            yield f"scales.{i}.lateral", f"model.{lateral}"
        for j, layer in enumerate(neck):
            yield f"scales.{i}.neck.{j}", f"model.{layer}"
        yield f"scales.{i}.head", f"model.{head}"


def _tensor_pairs(ours: str, theirs: str) -> Iterator[tuple[str, str]]:
    yield f"{ours}.conv.weight", f"{theirs}.conv.weight"
    for tensor in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
        yield f"{ours}.norm.{tensor}", f"{theirs}.bn.{tensor}"


def read_ultralytics_checkpoint(path: str | os.PathLike) -> dict[str, Tensor]:
    """The float32 state dict of an ultralytics checkpoint (the EMA's where it has one).

    Their checkpoints are pickled modules; only classes of network modules are let in (UserError
    otherwise), so that opening a file from elsewhere runs none of its code.
    """
    content = load_ultralytics_file(path)
    module = trained_module(content)
    state = content if module is None else module.state_dict()
    if not isinstance(state, Mapping) or not all(map(torch.is_tensor, state.values())):
        raise UserError(f"{path}: expected an ultralytics checkpoint, found none; {MAKE_ONE}")
    return float_state(state, path)


def load_ultralytics_file(path: str | os.PathLike) -> Any:
    """The content of an ultralytics checkpoint, its modules made without running code of the file.

    UserError as of `checkpoint_classes`.
    """
    classes = checkpoint_classes(path, stand_ins=True)
    return load_torch_file(path, what="weights", unsafe=MAKE_ONE, allowed=classes)


def trained_module(content: Any) -> nn.Module | None:
    """The module of a checkpoint to use, its running average where it has one; None without."""
    if not (isinstance(content, Mapping) and isinstance(content.get("model"), nn.Module)):
        ema = content.get("ema") if isinstance(content, Mapping) else None
        return ema if isinstance(ema, nn.Module) else None  # last.pt of a training keeps only it
    return content["ema"] if isinstance(content.get("ema"), nn.Module) else content["model"]


def float_state(state: Mapping[str, Tensor], path: str | os.PathLike) -> dict[str, Tensor]:
    """A state dict with all weights in float32. UserError for numbers that are not finite."""
    expect_finite(state, f"weights {path}")
    return {
        key: tensor.float() if tensor.is_floating_point() else tensor
        for key, tensor in state.items()
    }


def checkpoint_classes(path: str | os.PathLike, *, stand_ins: bool = False) -> list[Any]:
    """The classes that an ultralytics checkpoint needs besides tensors; nothing of it is run.

    stand_ins: for what is saved with the network (scores of numpy, paths, the loss) give
    `(Opaque, name)`, as `torch.serialization.safe_globals` takes it, instead of a refusal. Raises
    UserError if another one is neither a network module of torch or ultralytics nor a settings
    namespace, or if the file is missing or no checkpoint.
    """
    if os.path.isfile(path):
        expect_weights_file(path)
        expect_undamaged(path, "weights")
    try:
        names = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except OSError as error:
        raise UserError(f"{path}: expected a checkpoint, {error.strerror or error}") from None
    except Exception as error:  # damaged files raise nearly anything in torch's unpickler
        reason = first_line(error)
        raise UserError(f"{path}: expected an ultralytics checkpoint; {reason}") from None
    keep_offline()
    classes = [_safe_class(name) or (_stand_in(name) if stand_ins else None) for name in names]
    refused = [name for name, found in zip(names, classes, strict=True) if found is None]
    if refused:
        raise UserError(
            f"{path}: expected a checkpoint of network modules only, found {', '.join(refused)}; "
            "do not open it with other tools unless you trust where it comes from"
        )
    return [found for found in classes if found is not None]


def _stand_in(name: str) -> tuple[type, str] | None:
    """An inert replacement of something that is no part of the network."""
    known = {full for _, full in STAND_INS}
    inert = name in known or name.startswith(("ultralytics.utils.", "ultralytics.yolo.utils."))
    return (Opaque, name) if inert else None


def _safe_class(name: str) -> type | None:
    """The class of that full name if it may be unpickled."""
    from importlib import import_module

    module_name, _, class_name = name.rpartition(".")
    if not (
        module_name.startswith(("torch.nn.modules.", "ultralytics.nn.")) or name in SAFE_CLASSES
    ):
        return None
    try:
        found = getattr(import_module(module_name), class_name, None)
    except ImportError:
        return None
    is_module = isinstance(found, type) and issubclass(found, nn.Module)
    return found if is_module or name in SAFE_CLASSES else None
