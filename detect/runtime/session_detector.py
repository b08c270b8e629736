"""An exported detector with the contract of every detector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stadet.detect.batch import Predictions
from stadet.detect.detector import Detector
from stadet.detect.runtime.onnx_export import AFTER_PREFIX, OUTPUTS, STATE_PREFIX
from stadet.detect.runtime.sessions import Arrays, Session, run_in_batches
from stadet.engine.errors import UserError


class SessionDetector(Detector):
    """A detector whose arithmetic a session does; its `maps` are decoded already.

    description: what `export_onnx` put into the file. The state is a dict of arrays (B, ...); the
    frames of a window pass one by one where there is a state, else all at once. states: names of
    the inputs that are a state.
    """

    def __init__(self, session: Session, description: Mapping[str, Any]) -> None:
        super().__init__()
        self.session = session
        self.predicts = description["predicts"]
        self.clip_length = description["clip_length"]
        self.clip_step = description.get("clip_step", 1)  # older files have none
        self.context_frames = description["context_frames"]
        self._batch, *_, height, width = session.inputs["frames"][1]
        self._size = (height, width)
        self.states = [name for name in session.inputs if name.startswith(STATE_PREFIX)]

    def forward(
        self,
        frames: Tensor,
        state: Arrays | None = None,
        starts_stream: Tensor | None = None,
        valid: Tensor | None = None,
    ) -> tuple[list[Tensor], Arrays | None]:
        """Frames (B, T, 3, H, W) uint8 to [boxes, objectness, scores], and the state after them.

        starts_stream: (B,) or (B, T) bool. UserError for another size than the exported one.
        """
        if tuple(frames.shape[-2:]) != self._size:
            raise UserError(
                f"expected frames of {self._size} (height, width), the exported size, found "
                f"{tuple(frames.shape[-2:])}; export the checkpoint for that size"
            )
        images = frames.numpy()
        if self.predicts == "last_frame":
            return self._answer(images), None
        if not self.states:
            return self._answer(images.reshape(-1, *images.shape[2:])), None
        return self._unroll(images, state, starts_stream, valid)

    def decode(self, maps: Sequence[Tensor]) -> Predictions:
        """The outputs of `forward` by name."""
        return Predictions(*maps)

    def _unroll(
        self,
        images: np.ndarray,
        state: Arrays | None,
        starts_stream: Tensor | None,
        valid: Tensor | None,
    ) -> tuple[list[Tensor], Arrays]:
        lanes, steps = images.shape[:2]
        if lanes != self._batch:
            raise UserError(
                f"expected {self._batch} streams at once, as exported, found {lanes}; export the "
                f"checkpoint with --batch {lanes}"
            )
        zeros = {name: self._zeros(name) for name in self.states}
        state = zeros if state is None else state
        answers = []
        for step in range(steps):
            if starts_stream is not None and (step == 0 or starts_stream.ndim == 2):
                starts = starts_stream.view(lanes, -1)[:, step].numpy()
                state = _where(starts, zeros, state)
            out = self.session.run({"frames": images[:, step], **state})
            after = {
                name: out[AFTER_PREFIX + name.removeprefix(STATE_PREFIX)] for name in self.states
            }
            state = after if valid is None else _where(valid[:, step].numpy(), after, state)
            answers.append([torch.from_numpy(out[name]) for name in OUTPUTS])
        return [torch.stack(parts, 1).flatten(0, 1) for parts in zip(*answers, strict=True)], state

    def _answer(self, images: np.ndarray) -> list[Tensor]:
        """Images or clips without a state, in batches of the exported number where it is fixed."""
        return [
            torch.from_numpy(x) for x in run_in_batches(self.session, {"frames": images}, OUTPUTS)
        ]

    def _zeros(self, name: str) -> np.ndarray:
        dtype, shape = self.session.inputs[name]
        return np.zeros(shape, dtype)


def _where(lanes: np.ndarray, chosen: Arrays, otherwise: Arrays) -> Arrays:
    """`chosen` in the lanes (B,) bool that are set, `otherwise` elsewhere."""
    return {
        name: np.where(lanes.reshape(-1, *[1] * (chosen[name].ndim - 1)), chosen[name], rest)
        for name, rest in otherwise.items()
    }
