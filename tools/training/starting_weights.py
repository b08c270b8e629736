"""Weights to start a detector from: our checkpoints, Darknet files, ultralytics checkpoints."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from stadet.datasets.splits.overlap import refuse_overlap
from stadet.datasets.splits.split import Split
from stadet.detect.ultralytics_models.checkpoint import load_ultralytics_weights
from stadet.detect.ultralytics_models.detector import UltralyticsDetector
from stadet.detect.yolo.backbone_yolo import BackboneYOLO
from stadet.detect.yolo.weights_report import WeightsReport
from stadet.engine.checkpoint import is_checkpoint, load_checkpoint
from stadet.engine.errors import UserError
from stadet.engine.files import no_file
from stadet.engine.mistaken_files import expect_weights_file


def load_starting_weights(
    model: nn.Module, path: str | Path, split: Split, *, allow_overlap: bool = False
) -> WeightsReport:
    """Fill `model` with what fits of a file and say what was used, missing and unused.

    Raises UserError for a file of another network, and for a checkpoint that was trained on frames
    which `split` holds for validation or test (unless `allow_overlap`).
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"weights {path}: {no_file(path)}")
    ours = is_checkpoint(path)
    if isinstance(model, BackboneYOLO) and not ours:
        raise UserError(
            f"weights {path}: expected a checkpoint of stad train for yolo.network=backbone; "
            "weights of the backbone alone are for yolo.backbone_weights"
        )
    if isinstance(model, UltralyticsDetector) and not ours:
        return load_ultralytics_weights(model, path)[0]
    if not ours:
        return _load_public(model, path)
    content = load_checkpoint(path)
    if not allow_overlap:
        refuse_overlap(Split.from_record(content["split"]), split, what=f"weights {path}")
    return load_matching(model, content["model"], path.name)


def _load_public(model: nn.Module, path: Path) -> WeightsReport:
    """Fill a YOLOv3 from a Darknet file, or its body from a checkpoint of ultralytics."""
    from stadet.detect.yolo.darknet_weights import load_darknet_weights
    from stadet.detect.yolo.ultralytics_body import load_ultralytics_body
    from stadet.detect.yolo.yolov3 import YOLOv3

    if not zipfile.is_zipfile(path):
        return load_darknet_weights(model, path)
    if isinstance(model, YOLOv3):
        return load_ultralytics_body(model, path)
    expect_weights_file(path)
    raise UserError(
        f"weights {path}: expected a Darknet file or a checkpoint of stad train for a "
        f"{type(model).__name__}, found a file of torch; ultralytics' yolov3 fits "
        "yolo.network=yolov3, their other networks are for model=ultralytics"
    )


def load_matching(model: nn.Module, weights: Mapping[str, Tensor], source: str) -> WeightsReport:
    """Copy the tensors whose names and shapes agree (a head of other classes keeps its start).

    Raises UserError where not half of the model would be filled: the file is of another network.
    """
    own = model.state_dict()
    used = {n: w for n, w in weights.items() if n in own and own[n].shape == w.shape}
    filled = sum(w.numel() for w in used.values())
    if filled < 0.5 * sum(w.numel() for w in own.values()):
        raise UserError(
            f"weights {source}: fit {len(used)} of the model's {len(own)} tensors; expected a "
            "checkpoint of the same network, width and body"
        )
    model.load_state_dict(used, strict=False)
    missing = tuple(n for n in own if n not in used)
    unused = tuple(n for n in weights if n not in used)
    other = any(name in weights for name in missing)
    note = (
        "tensors of another shape (the head of other classes or anchors) keep their initial weights"
    )
    return WeightsReport(source, tuple(used), missing, unused, (note,) if other else ())
