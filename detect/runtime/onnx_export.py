"""A detector as an ONNX graph from uint8 frames to boxes, with what a user needs to know inside."""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from stadet.detect.detector import Detector
from stadet.engine.errors import UserError

OPSET = 17
METADATA_KEY = "stad"
SCHEMA = "stad-onnx/1"
STATE_PREFIX = "state."
AFTER_PREFIX = "next."  # of a state's name among the outputs
OUTPUTS = ("boxes", "objectness", "scores")


class OneStep(nn.Module):
    """The exported module: one decoded answer per lane, and the state as plain tensors.

    Frames (B, 3, H, W) uint8 for detectors that answer for every frame, clips (B, T, 3, H, W) for
    key-frame detectors, to boxes (B, K, 4) xyxy network pixels, objectness (B, K), scores
    (B, K, C) and, for recurrent detectors, the tensors of the state after it.
    """

    def __init__(self, model: Detector) -> None:
        super().__init__()
        self.model = model
        self.eval()

    def forward(self, frames: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        if self.model.predicts == "every_frame":
            frames = frames[:, None]
        maps, after = self.model(frames, state or None)
        found = self.model.decode(maps)
        return (found.boxes, found.objectness, found.scores, *(after or ()))


def export_onnx(
    model: Detector,
    size: tuple[int, int],
    *,
    state: Mapping[str, Tensor] | None = None,
    description: Mapping[str, Any] | None = None,
    batch: int | None = None,
) -> bytes:
    """The ONNX file of a detector for frames of `size` (height, width).

    state: of a recurrent one, whose `forward` then takes and returns a tuple of tensors: their
    names, and zeros (B, ...) for them; the file has inputs `state.<name>` (zeros at a stream's
    beginning) and outputs `next.<name>`. description: plain data kept inside as JSON. batch: a
    fixed number of images or clips; None leaves it open, but for a state, whose lanes are fixed.
    Raises UserError where the `onnx` package is missing.
    """
    onnx = import_onnx()
    state = state or {}
    steps = [] if model.predicts == "every_frame" else [model.clip_length]
    batch = len(next(iter(state.values()))) if state else batch
    frames = torch.zeros(batch or 1, *steps, 3, *size, dtype=torch.uint8)
    inputs = ["frames", *(STATE_PREFIX + name for name in state)]
    outputs = [*OUTPUTS, *(AFTER_PREFIX + name for name in state)]
    stream = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        # the tracer warns at every size that becomes a constant, which sizes here are
        warnings.simplefilter("ignore")
        torch.onnx.export(
            OneStep(model),
            (frames, *state.values()),
            stream,
            input_names=inputs,
            output_names=outputs,
            dynamic_axes={} if batch else {name: {0: "batch"} for name in (*inputs, *outputs)},
            opset_version=OPSET,
            dynamo=False,
        )
    graph = onnx.load_from_string(stream.getvalue())
    content = {
        "schema": SCHEMA,
        "sealed": True,
        "predicts": model.predicts,
        "clip_length": model.clip_length,
        "clip_step": model.clip_step,
        "context_frames": model.context_frames,
        **(description or {}),
    }
    graph.metadata_props.add(key=METADATA_KEY, value=json.dumps(content))
    return graph.SerializeToString()


def read_description(content: bytes, name: str) -> dict[str, Any]:
    """The metadata that `export_onnx` wrote into a file. UserError for files of others."""
    onnx = import_onnx()
    from google.protobuf.message import DecodeError

    try:
        graph = onnx.load_from_string(content)
    except (DecodeError, UnicodeDecodeError, ValueError) as error:
        raise UserError(f"{name}: expected an ONNX file, found something else") from error
    for entry in graph.metadata_props:
        if entry.key == METADATA_KEY:
            description = json.loads(entry.value)
            if description.get("schema") == SCHEMA:
                return description
    raise UserError(f"{name}: expected an ONNX file made by stad export, found another program's")


def import_onnx() -> Any:
    """The `onnx` package, or one line on how to get it."""
    try:
        import onnx
    except ImportError as error:
        raise UserError(missing_runtime("onnx")) from error
    return onnx


def missing_runtime(package: str) -> str:
    """One line for a package of the extra that is not installed."""
    return f"expected the package {package}, which is not installed: pip install -e '.[runtimes]'"
