"""Recurrent detectors one frame at a time with a flat state, in operations that export."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor

from stadet.detect.batch import Predictions
from stadet.detect.detector import Detector
from stadet.engine.errors import UserError
from stadet.recurrent_yolo.lookback import LookBack
from stadet.recurrent_yolo.state import Past, State, map_state, parts_of


class SingleStep(Detector):
    """A copy of a recurrent or stacked detector for windows of one frame.

    Its `forward` takes and returns the state as a tuple of tensors, named by `state_names` after
    their places in the nested one; zeros begin a stream. UserError for a bidirectional memory,
    which looks at frames to come.
    """

    def __init__(self, model: Detector) -> None:
        super().__init__()
        if any(len(getattr(m, "backward_layers", ())) for m in model.modules()):
            raise UserError(
                "a bidirectional memory needs the frames to come and cannot run frame by frame; "
                "train with memory.bidirectional: false"
            )
        self.model = copy.deepcopy(model).eval()
        self.clip_length, self.context_frames = 1, model.context_frames
        for module in self.model.modules():
            look_back = getattr(module, "look_back", None)
            if isinstance(look_back, LookBack):
                module.look_back = cast(Any, _SingleLookBack(look_back))
        self._template: State = None

    @torch.no_grad()
    def initial_state(self, lanes: int, size: tuple[int, int]) -> dict[str, Tensor]:
        """Names and zeros (lanes, ...) of the state for frames of `size` (height, width)."""
        frames = torch.zeros(lanes, 1, 3, *size, dtype=torch.uint8)
        _, self._template = self.model(frames)
        return {name: torch.zeros_like(tensor) for name, tensor in _named(self._template).items()}

    def forward(
        self,
        frames: Tensor,
        state: tuple[Tensor, ...] | None = None,
        starts_stream: Tensor | None = None,
        valid: Tensor | None = None,
    ) -> tuple[list[Tensor], tuple[Tensor, ...]]:
        """Frames (B, 1, 3, H, W) and the state before them to maps and the state after.

        Call `initial_state` first: it also learns how the flat state nests.
        """
        nested = None
        if state is not None:
            tensors = iter(state)
            nested = map_state(lambda _: next(tensors), self._template)
        maps, after = self.model(frames, nested)
        return maps, tuple(_named(after).values())

    def decode(self, maps: Sequence[Tensor]) -> Predictions:
        """See `Detector.decode`."""
        return self.model.decode(maps)


class _SingleLookBack:
    """`LookBack` for one frame a window, all lanes valid and none beginning: slices only."""

    def __init__(self, look_back: LookBack) -> None:
        self.steps, self.before_start = look_back.steps, look_back.before_start

    def __call__(
        self, x: Tensor, past: Past | None, starts_stream: None, valid: None
    ) -> tuple[list[tuple[Tensor, Tensor]], Past]:
        depth = max(self.steps)
        if past is None:
            seen = torch.zeros(len(x), dtype=torch.int64, device=x.device)
            past = Past(x.new_zeros(len(x), depth, *x.shape[2:]), seen)
        seen = past.seen
        frames = torch.cat([past.frames, x], dim=1)  # (B, depth + 1, ...), the newest last
        found = []
        for step in self.steps:
            known = (seen >= step)[:, None]
            earlier = frames[:, depth - step, None]
            if self.before_start == "first":
                for back in range(step - 1, -1, -1):  # replaced by the stream's first frame
                    at_first = (seen == back).view(-1, *[1] * (x.ndim - 1))
                    earlier = torch.where(at_first, frames[:, depth - back, None], earlier)
            found.append((earlier, known))
        return found, Past(frames[:, 1:], seen + 1)


def _named(state: State, prefix: str = "") -> Mapping[str, Tensor]:
    """The tensors of a nested state by their places, in the order of `map_state`."""
    if state is None:
        return {}
    if isinstance(state, Tensor):
        return {prefix: state}
    return {
        name: tensor
        for key, part in parts_of(state)
        for name, tensor in _named(part, f"{prefix}.{key}".removeprefix(".")).items()
    }
