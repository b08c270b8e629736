"""Checkpoints as ONNX files, and back as detectors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stadet.anchors.anchors import Anchors
from stadet.detect.runtime.onnx_export import export_onnx, read_description
from stadet.detect.runtime.session_detector import SessionDetector
from stadet.detect.runtime.sessions import SESSIONS
from stadet.engine.config import from_dict
from stadet.engine.errors import UserError
from stadet.engine.files import no_file
from stadet.recurrent_yolo.single_step import SingleStep
from stadet.tools.inference.detectors import DetectorFile, checkpoint_description
from stadet.tools.training.config import TrainConfig

STATEFUL = ("recurrent-yolo", "stacked-yolo")


def export_detector(detector: DetectorFile, batch: int | None = None) -> bytes:
    """The ONNX file of an opened checkpoint; a recurrent one as a step with its state outside.

    batch: a fixed number of images, clips or lanes; None leaves it open, recurrent ones get one
    lane. Names, network size, anchors and the
    configuration stand inside as JSON, in the metadata property `stad`.
    """
    config, model = detector.config, detector.model
    size = tuple(config.data.size)
    description: dict[str, Any] = {
        # which footage it was trained on stays with the checkpoint
        **checkpoint_description(config, detector.names, detector.anchors, {}),
        "threshold": detector.threshold,
        "network_size": list(size),
        "input": "RGB uint8; frames (batch, 3, H, W), or clips (batch, T, 3, H, W) of a YOWO",
    }
    if config.model not in STATEFUL:
        return export_onnx(model, size, description=description, batch=batch)
    step = SingleStep(model)
    state = step.initial_state(batch or 1, size)
    return export_onnx(step, size, state=state, description=description)


def session_detector(
    content: bytes, runtime: str, precision: str = "fp32", name: str = "exported file"
) -> SessionDetector:
    """A file's content in a session. UserError for a missing package or another program's file."""
    description = read_description(content, name)
    return SessionDetector(SESSIONS[runtime](content, precision), description)


def open_exported(path: str | Path, runtime: str, precision: str = "fp32") -> DetectorFile:
    """A file of `stad export` as a detector that runs by `runtime`."""
    path = Path(path)
    if not path.is_file():
        raise UserError(f"exported file {path}: {no_file(path)}")
    content = path.read_bytes()
    model = session_detector(content, runtime, precision, str(path))
    description = read_description(content, str(path))
    return DetectorFile(
        path,
        model,
        tuple(description["names"]),
        from_dict(TrainConfig, description["config"], str(path)),
        Anchors.from_dict(description["anchors"]),
        description["split"],
        description["threshold"],
    )
