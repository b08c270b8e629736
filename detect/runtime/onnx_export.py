"""A detector as an ONNX graph from uint8 frames to boxes, with what a user needs to know inside.

Tracing and metadata serve the graphs of classifiers too (`stadet.classify.runtime`).
"""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from stadet.detect.detector import Detector
from stadet.engine.errors import UserError

OPSET = 17
METADATA_KEY = "stad"
SCHEMA = "stad-onnx/1"
CLASSIFIER_SCHEMA = "stad-onnx-classifier/1"
KINDS = {SCHEMA: "detector", CLASSIFIER_SCHEMA: "classifier"}
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
    state = state or {}
    steps = [] if model.predicts == "every_frame" else [model.clip_length]
    batch = len(next(iter(state.values()))) if state else batch
    frames = torch.zeros(batch or 1, *steps, 3, *size, dtype=torch.uint8)
    inputs = ["frames", *(STATE_PREFIX + name for name in state)]
    outputs = [*OUTPUTS, *(AFTER_PREFIX + name for name in state)]
    content = {
        "schema": SCHEMA,
        "predicts": model.predicts,
        "clip_length": model.clip_length,
        "clip_step": model.clip_step,
        "context_frames": model.context_frames,
        **(description or {}),
    }
    example = dict(zip(inputs, (frames, *state.values()), strict=True))
    return trace_onnx(OneStep(model), example, outputs, content, open_batch=batch is None)


def trace_onnx(
    module: nn.Module,
    example: Mapping[str, Tensor],
    outputs: Sequence[str],
    description: Mapping[str, Any],
    *,
    open_batch: bool,
) -> bytes:
    """The ONNX file of a module that takes tensors in the order of `example` and returns `outputs`.

    description: plain data kept inside as JSON, its schema among it; open_batch: the first side of
    all inputs and outputs is left open. UserError where the `onnx` package is missing.
    """
    onnx = import_onnx()
    axes = {name: {0: "batch"} for name in (*example, *outputs)} if open_batch else {}
    stream = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        # the tracer warns at every size that becomes a constant, which sizes here are
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            tuple(example.values()),
            stream,
            input_names=list(example),
            output_names=list(outputs),
            dynamic_axes=axes,
            opset_version=OPSET,
            dynamo=False,
        )
    graph = onnx.load_from_string(stream.getvalue())
    entry = json.dumps({**description, "sealed": True})
    graph.metadata_props.add(key=METADATA_KEY, value=entry)
    return graph.SerializeToString()


def read_description(content: bytes, name: str, schema: str | None = SCHEMA) -> dict[str, Any]:
    """The metadata that `trace_onnx` wrote into a file.

    schema: of what the file must be; None takes any. UserError for files of others, of another
    kind, and with metadata that cannot be read.
    """
    onnx = import_onnx()
    from google.protobuf.message import DecodeError

    try:
        graph = onnx.load_from_string(content)
    except (DecodeError, UnicodeDecodeError, ValueError) as error:
        raise UserError(f"{name}: expected an ONNX file, found something else") from error
    for entry in graph.metadata_props:
        if entry.key != METADATA_KEY:
            continue
        try:
            description = json.loads(entry.value)
            found = KINDS.get(description.get("schema"))
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            raise UserError(
                f"{name}: expected JSON in its metadata property {METADATA_KEY!r}, found something "
                "else; write it again with stad export"
            ) from error
        if found is None:
            break
        if schema is not None and found != KINDS[schema]:
            raise UserError(f"{name}: expected an exported {KINDS[schema]}, found a {found}")
        return description
    raise UserError(
        f"{name}: expected an ONNX file made by stad export, found another program's; give "
        "the checkpoint (.pt) that it was made of"
    )


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
