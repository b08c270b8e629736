"""Exported models run by ONNX Runtime or OpenVINO on the CPU, or TensorRT on a GPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import torch

from stadet.detect.runtime.onnx_export import missing_runtime
from stadet.engine.errors import UserError

Arrays = dict[str, np.ndarray]
OPEN = -1  # a side of a shape that the file leaves open


class Session(Protocol):
    """A loaded graph. inputs: name to (dtype, shape), with `OPEN` sides."""

    inputs: dict[str, tuple[np.dtype, tuple[int, ...]]]

    def run(self, feeds: Arrays) -> Arrays: ...


class OnnxRuntimeSession:
    """ONNX Runtime in float32, with as many threads as torch has."""

    name, place, provider = "onnx", "on the CPU", "CPUExecutionProvider"
    others: tuple[str, ...] = ()  # of what the provider does not take over

    def __init__(self, content: bytes, precision: str = "fp32") -> None:
        if precision != "fp32":
            raise UserError(
                f"runtime {self.name}: expected precision fp32, found {precision}; ONNX Runtime "
                f"computes in float32 {self.place}, use --runtime openvino or compiled for bf16"
            )
        try:
            import onnxruntime
        except ImportError as error:
            raise UserError(f"runtime {self.name}: {missing_runtime('onnxruntime')}") from error
        if self.provider not in (found := onnxruntime.get_available_providers()):
            raise self._unavailable(f"found {', '.join(found)}")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.inter_op_num_threads = 1
        options.log_severity_level = 3  # errors only
        try:
            self._session = onnxruntime.InferenceSession(
                content, options, providers=[self.provider, *self.others]
            )
        except Exception as error:  # onnxruntime's own, which have no common base
            raise _refused(self.name, onnxruntime.__version__, error) from error
        if self.provider not in self._session.get_providers():  # it falls back by itself
            raise self._unavailable("found that its libraries cannot be loaded")
        self.inputs = {
            node.name: (
                _DTYPES[node.type],
                tuple(side if isinstance(side, int) else OPEN for side in node.shape),
            )
            for node in self._session.get_inputs()
        }
        self._outputs = [node.name for node in self._session.get_outputs()]

    def run(self, feeds: Arrays) -> Arrays:
        return dict(zip(self._outputs, self._session.run(None, feeds), strict=True))

    def _unavailable(self, found: str) -> UserError:
        return UserError(
            f"runtime {self.name}: expected an onnxruntime with {self.provider}, {found}; install "
            "onnxruntime-gpu in the place of onnxruntime, and what it needs (CUDA, cuDNN, TensorRT)"
        )


class TensorRtSession(OnnxRuntimeSession):
    """TensorRT on the first GPU by ONNX Runtime's provider; what it does not take runs by CUDA.

    The engine is built at the first call, and again for another shape.
    """

    name, place, provider = "tensorrt", "here", "TensorrtExecutionProvider"
    others = ("CUDAExecutionProvider", "CPUExecutionProvider")


class OpenVinoSession:
    """OpenVINO in the precision that is asked for: by itself it takes bf16 where the CPU has it.

    Compiled for the shapes of the first call, which a file's open axes would slow down.
    """

    def __init__(self, content: bytes, precision: str = "fp32") -> None:
        try:
            import openvino
        except ImportError as error:
            raise UserError(f"runtime openvino: {missing_runtime('openvino')}") from error
        self._core = openvino.Core()
        try:
            self._graph = self._core.read_model(content)
        except RuntimeError as error:
            raise _refused("openvino", openvino.__version__, error) from error
        self._options = {
            "INFERENCE_PRECISION_HINT": {"fp32": "f32", "bf16": "bf16"}[precision],
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "PERFORMANCE_HINT": "LATENCY",
        }
        self.inputs = {
            node.any_name: (
                np.dtype(node.element_type.to_dtype()),
                tuple(
                    OPEN if side.is_dynamic else side.get_length() for side in node.partial_shape
                ),
            )
            for node in self._graph.inputs
        }
        self._outputs = [node.any_name for node in self._graph.outputs]
        self._shapes: dict[str, tuple[int, ...]] | None = None

    def run(self, feeds: Arrays) -> Arrays:
        shapes = {name: array.shape for name, array in feeds.items()}
        if shapes != self._shapes:
            self._graph.reshape({name: list(shape) for name, shape in shapes.items()})
            compiled = self._core.compile_model(self._graph, "CPU", self._options)
            self._request, self._shapes = compiled.create_infer_request(), shapes
        self._request.infer(feeds)
        # copies: the request writes the next answer into the same memory
        return {name: self._request.get_tensor(name).data.copy() for name in self._outputs}


def _refused(runtime: str, version: str, error: Exception) -> UserError:
    """A graph that a runtime does not take, such as that of a later version of it."""
    reason = " ".join(str(error).split())[:120]
    return UserError(
        f"runtime {runtime}: expected a graph that version {version} runs, found one that it "
        f"refuses ({reason}); write the file again with stad export, or install a later version"
    )


def run_in_batches(session: Session, feeds: Arrays, outputs: Sequence[str]) -> list[np.ndarray]:
    """Outputs (N, ..) for inputs (N, ..) of a graph without a state.

    Where the file fixes the batch, so many at a time, the last of them filled with zeros.
    """
    count = len(next(iter(feeds.values())))
    fixed = session.inputs[next(iter(feeds))][1][0]
    batch = count if fixed == OPEN else fixed
    missing = -count % batch
    if missing:
        feeds = {
            name: np.concatenate([array, np.zeros_like(array[:1]).repeat(missing, axis=0)])
            for name, array in feeds.items()
        }
    parts = [
        session.run(
            {
                name: np.ascontiguousarray(array[first : first + batch])
                for name, array in feeds.items()
            }
        )
        for first in range(0, count, batch)
    ]
    return [np.concatenate([part[name] for part in parts])[:count] for name in outputs]


SESSIONS: dict[str, Callable[..., Session]] = {
    "onnx": OnnxRuntimeSession,
    "openvino": OpenVinoSession,
    "tensorrt": TensorRtSession,
}

_DTYPES: dict[str, Any] = {
    "tensor(float)": np.dtype(np.float32),
    "tensor(uint8)": np.dtype(np.uint8),
    "tensor(int64)": np.dtype(np.int64),
    "tensor(bool)": np.dtype(np.bool_),
}
