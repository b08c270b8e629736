"""Checkpoints as ONNX files, and back as detectors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stadet.datasets.clips.timing import read_timing
from stadet.detect.runtime.onnx_export import SCHEMA, export_onnx, read_description
from stadet.detect.runtime.seal import expect_undamaged, seal
from stadet.detect.runtime.session_detector import SessionDetector
from stadet.detect.runtime.sessions import SESSIONS
from stadet.detect.view import pair
from stadet.engine.config import from_dict
from stadet.engine.errors import UserError
from stadet.engine.files import no_file
from stadet.engine.mistaken_files import expect_weights_file
from stadet.tools.inference.detectors import (
    DetectorFile,
    checkpoint_description,
    read_anchors,
)
from stadet.tools.training.config import TrainConfig


def export_detector(detector: DetectorFile, batch: int | None = None) -> bytes:
    """The ONNX file of an opened checkpoint; a recurrent one as a step with its state outside.

    batch: a fixed number of images, clips or lanes; None leaves it open, recurrent ones get one
    lane. Names, network size, anchors and the
    configuration are inside as JSON, in the metadata property `stad`.
    """
    config, model = detector.config, detector.model
    size = pair(config.data.size)
    description: dict[str, Any] = {
        # which footage it was trained on stays with the checkpoint
        **checkpoint_description(config, detector.names, detector.anchors, {}, detector.timing),
        "threshold": detector.threshold,
        "network_size": list(size),
        "input": "RGB uint8; frames (batch, 3, H, W), or clips (batch, T, 3, H, W) of a YOWO",
    }
    step, state = model.single_step(batch or 1, size)
    return seal(
        export_onnx(
            step, size, state=state, description=description, batch=None if state else batch
        )
    )


def session_detector(
    content: bytes, runtime: str, precision: str = "fp32", name: str = "exported file"
) -> SessionDetector:
    """A file's content in a session. UserError for a missing package or another program's file."""
    description = read_description(content, name)
    return SessionDetector(SESSIONS[runtime](content, precision), description)


def open_exported(path: str | Path, runtime: str, precision: str = "fp32") -> DetectorFile:
    """A file of `stad export` as a detector that runs by `runtime`."""
    content, description = read_exported(path, SCHEMA)
    where = f"exported file {path}"
    try:
        model = SessionDetector(SESSIONS[runtime](content, precision), description)
        config = from_dict(TrainConfig, description["config"], where)
        return DetectorFile(
            Path(path),
            model,
            tuple(description["names"]),
            config,
            read_anchors(description, config),
            description["split"],
            description["threshold"],
            read_timing(description, where),
        )
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise incomplete_metadata(where, error) from error


def incomplete_metadata(where: str, error: Exception) -> UserError:
    """The fault of a file whose metadata lacks something, or has it of another type."""
    return UserError(
        f"{where}: expected the metadata of stad export, found it incomplete ({error}); write it "
        "again"
    )


def read_exported(path: str | Path, schema: str | None) -> tuple[bytes, dict[str, Any]]:
    """The content of a file of `stad export`, undamaged, and its metadata.

    schema: of what it must be; None takes any. UserError for other files.
    """
    path = Path(path)
    where = f"exported file {path}"
    if not path.is_file():
        raise UserError(f"{where}: {no_file(path)}")
    expect_weights_file(path, "exported file")
    content = path.read_bytes()
    expect_undamaged(content, where, sealed=False)
    description = read_description(content, where, schema)
    expect_undamaged(content, where, sealed=bool(description.get("sealed")))
    return content, description
