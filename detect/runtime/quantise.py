"""Exported models in 8-bit integers, for CPUs: the file's convolutions, calibrated on footage.

Post-training quantisation by ONNX Runtime (Jacob et al., arXiv 1712.05877, section 2): weights in
int8 with a scale for each output channel, activations in uint8 with one scale each, from the
range that they take on the calibration's frames. Weights take 7 of the 8 bits: processors without
VNNI add products in pairs to 16 bits, which would overflow (ONNX Runtime's and OpenVINO's advice).
"""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stadet.detect.runtime.onnx_export import METADATA_KEY, import_onnx, missing_runtime
from stadet.detect.runtime.sessions import Arrays
from stadet.engine.errors import UserError

CONV = "Conv"


def quantise_int8(content: bytes, feeds: Iterable[Arrays], *, keep_last: bool = True) -> bytes:
    """A file of `export_onnx` with its convolutions in int8.

    feeds: inputs by name as the file takes them, looked at one by one: footage like that on which
    it will be used. keep_last: the last convolutions, whose outputs are a detector's boxes and
    scores, stay in float32, as does all that is not a convolution. UserError without any feeds,
    and for a missing package.
    """
    onnx = import_onnx()
    try:
        from onnxruntime import quantization
    except ImportError as error:
        raise UserError(f"int8: {missing_runtime('onnxruntime')}") from error
    graph = onnx.load_from_string(content)
    reader = _Reader(feeds)
    with tempfile.TemporaryDirectory() as folder, _errors_only():
        out = Path(folder) / "int8.onnx"
        try:
            quantization.quantize_static(
                graph,
                out,
                reader,
                quant_format=quantization.QuantFormat.QDQ,
                op_types_to_quantize=[CONV],
                nodes_to_exclude=last_convolutions(graph) if keep_last else [],
                per_channel=True,
                reduce_range=True,
                activation_type=quantization.QuantType.QUInt8,
                weight_type=quantization.QuantType.QInt8,
            )
        except ValueError:
            if reader.count:
                raise
        if not reader.count:
            raise UserError("int8: expected frames to calibrate on, found none")
        found = onnx.load(str(out))
    del found.metadata_props[:]
    found.metadata_props.extend(graph.metadata_props)
    for entry in found.metadata_props:
        if entry.key == METADATA_KEY:
            entry.value = json.dumps({**json.loads(entry.value), "precision": "int8"})
    return found.SerializeToString()


def last_convolutions(graph: Any) -> list[str]:
    """Names of an ONNX model's convolutions after which there is no other."""
    leads_to_one: set[str] = set()  # values from which a convolution is reached
    last = []
    for node in reversed(graph.graph.node):  # nodes are in an order of computation
        before_one = any(name in leads_to_one for name in node.output)
        if node.op_type == CONV and not before_one:
            last.append(node.name)
        if node.op_type == CONV or before_one:
            leads_to_one.update(node.input)
    return last


class _Reader:
    """Feeds as ONNX Runtime asks for them: one a call, then None."""

    def __init__(self, feeds: Iterable[Arrays]) -> None:
        self._feeds: Iterator[Arrays] = iter(feeds)
        self.count = 0

    def get_next(self) -> Arrays | None:
        feed = next(self._feeds, None)
        self.count += feed is not None
        return feed


@contextmanager
def _errors_only() -> Iterator[None]:
    """Without the quantiser's advice to its programmers, which goes to the root logger."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
