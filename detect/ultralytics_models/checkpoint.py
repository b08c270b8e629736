"""Detectors trained by ultralytics (`yolo train`): their weights, network, classes and size."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from torch import Tensor, nn

from stadet.detect.ultralytics_models.architecture import (
    HEADS,
    read_architecture,
    same_architecture,
)
from stadet.detect.ultralytics_models.detector import UltralyticsDetector
from stadet.detect.yolo.ultralytics_body import (
    float_state,
    load_ultralytics_file,
    trained_module,
)
from stadet.detect.yolo.weights_report import WeightsReport
from stadet.engine.errors import UserError
from stadet.engine.reading import safe_label, shown

TASKS = {"Segment": "segmentation", "Pose": "pose", "OBB": "oriented boxes", "Classify": "classes"}
DEFAULT_SIZE = 640
LARGEST_SIZE = 8192
LARGEST_PICKLE = 1 << 26  # bytes; theirs have some 100,000, the weights lie beside them


@dataclass(frozen=True)
class UltralyticsFile:
    """What a checkpoint of ultralytics says.

    Attributes:
        weights: by the names of ultralytics' `DetectionModel`, float32.
        network: the name of its configuration.
        names: of the classes.
        size: longer side of the input that it was trained with, pixels.
    """

    weights: dict[str, Tensor]
    network: str
    names: tuple[str, ...]
    size: int


def is_ultralytics_file(path: str | os.PathLike) -> bool:
    """Is it an archive of torch whose pickle names classes of ultralytics? (Nothing is run.)"""
    try:
        with zipfile.ZipFile(path) as archive:
            pickles = [entry for entry in archive.infolist() if entry.filename.endswith("data.pkl")]
            small = [entry for entry in pickles if entry.file_size <= LARGEST_PICKLE]
            return any(b"ultralytics.nn" in archive.read(entry) for entry in small)
    except Exception:  # no file, no archive, or a damaged one: other readers say so
        return False


def read_ultralytics_file(path: str | os.PathLike) -> UltralyticsFile:
    """A checkpoint of `yolo train` or of ultralytics' `save`.

    UserError for a file that holds code or is damaged, for another task's weights, and for a
    network that the installed ultralytics has no configuration of.
    """
    content = load_ultralytics_file(path)
    module = trained_module(content)
    if module is None:
        raise UserError(
            f"weights {path}: expected a checkpoint of `yolo train`, found none; train one with "
            "ultralytics"
        )
    _expect_detector(module, path)
    found = getattr(module, "yaml", None)
    found = found if isinstance(found, Mapping) else {}
    network = PurePath(str(found.get("yaml_file", "")).replace("\\", "/")).stem
    try:
        known = read_architecture(network)
    except UserError:
        known = None
    if known is None or not same_architecture(found, known):
        raise UserError(
            f"weights {path}: its network {network or '(without a name)'} is not one of the "
            "detector configurations of the installed ultralytics; train one of theirs (yolo11n, "
            "yolo26n, ..)"
        )
    state = float_state(nn.Module.state_dict(module), path)
    return UltralyticsFile(state, network, _names(module, path), _size(content, module))


def load_ultralytics_weights(
    model: UltralyticsDetector, path: str | os.PathLike
) -> tuple[WeightsReport, UltralyticsFile]:
    """Fill a detector of the same network from a checkpoint of ultralytics.

    The last convolutions of the class branches keep their start where the number of classes
    differs. UserError as of `read_ultralytics_file`, and for weights of another network.
    """
    file = read_ultralytics_file(path)
    own: dict[str, Tensor] = model.network.state_dict()
    used = {n: w for n, w in file.weights.items() if n in own and own[n].shape == w.shape}
    missing = tuple(name for name in own if name not in used)
    classes = tuple(f"model.{len(model.network.model) - 1}.{part}" for part in _CLASS_BRANCHES)
    if any(not name.startswith(classes) for name in missing):
        raise UserError(
            f"weights {path}: of {file.network}, {len(missing)} of the {len(own)} tensors of the "
            "network in ultralytics.network do not fit; name the same network"
        )
    model.network.load_state_dict(used, strict=False)
    notes = [f"trained by ultralytics on {', '.join(file.names)}"]
    if missing:
        notes.append("the class branches, of another number of classes, keep their initial weights")
    unused = tuple(name for name in file.weights if name not in used)
    name = os.path.basename(path)
    return WeightsReport(name, tuple(used), missing, unused, tuple(notes)), file


_CLASS_BRANCHES = ("cv3.", "one2one_cv3.")


def _expect_detector(module: nn.Module, path: str | os.PathLike) -> None:
    layers = getattr(module, "model", None)
    head = type(layers[-1]).__name__ if isinstance(layers, nn.Sequential) and layers else "none"
    if head in HEADS:
        return
    task = next((words for start, words in TASKS.items() if head.startswith(start)), None)
    found = f"of another task, {task} ({type(module).__name__})" if task else f"with head {head}"
    raise UserError(f"weights {path}: expected a detector of ultralytics, found one {found}")


def _names(module: nn.Module, path: str | os.PathLike) -> tuple[str, ...]:
    names: Any = getattr(module, "names", None)
    if isinstance(names, Mapping):
        names = [names.get(label) for label in range(len(names))]
    if not isinstance(names, (list, tuple)) or not names or len(set(map(str, names))) < len(names):
        raise UserError(
            f"weights {path}: expected the names of its classes, each once, found {shown(names)}"
        )
    return tuple(safe_label(name, f"weights {path}") for name in names)


def _size(content: Any, module: nn.Module) -> int:
    for settings in (content.get("train_args"), getattr(module, "args", None)):
        size = settings.get("imgsz") if isinstance(settings, Mapping) else None
        size = max(size, default=None) if isinstance(size, (list, tuple)) else size
        if isinstance(size, int) and 0 < size <= LARGEST_SIZE:
            return size
    return DEFAULT_SIZE
