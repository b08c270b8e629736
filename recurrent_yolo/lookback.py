"""Earlier frames of the same stream, across windows, padding and the beginnings of streams."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from stadet.engine.errors import UserError
from stadet.recurrent_yolo.state import Past, starts_by_frame


class LookBack:
    """For each frame of a window, the frames some steps earlier in its stream.

    steps: how many frames earlier each time, all positive. before_start: `"missing"` (such frames
    are marked as not known) or `"first"` (they are replaced by the stream's first frame).
    The state is a `Past` of max(steps) frames.
    """

    def __init__(self, steps: Sequence[int], before_start: str = "missing") -> None:
        self.steps, self.before_start = tuple(steps), before_start

    def __call__(
        self,
        x: Tensor,
        state: Past | None = None,
        starts_stream: Tensor | None = None,
        valid: Tensor | None = None,
    ) -> tuple[list[tuple[Tensor, Tensor]], Past]:
        """x (B, T, ...) to [(earlier frames (B, T, ...), known (B, T) bool) for each of `steps`].

        starts_stream, valid: as in `ConvRecurrence.forward`. Frames that are not known hold
        anything, even what another stream left: select with `known`, never multiply.
        """
        batch, count = x.shape[:2]
        depth = max(self.steps)
        if valid is None:
            valid = torch.ones(batch, count, dtype=torch.bool, device=x.device)
        if state is None:
            state = Past(
                x.new_zeros(batch, depth, *x.shape[2:]),
                torch.zeros(batch, dtype=torch.int64, device=x.device),
            )
        elif state.frames.shape != (batch, depth, *x.shape[2:]):
            raise UserError(
                f"recurrent state: expected earlier frames {(batch, depth, *x.shape[2:])}, found "
                f"{tuple(state.frames.shape)}; it belongs to another placement, number of lanes "
                "or network size: start the stream without it"
            )
        age, seen = stream_age(state.seen, starts_stream, valid)
        rank = valid.cumsum(1)  # (B, T) how many frames of the window have come, this one too
        frames = torch.cat([state.frames, x], dim=1)  # (B, depth + T, ...)
        kept = torch.cat([valid.new_ones(batch, depth), valid], dim=1)
        order = (~kept).to(torch.uint8).argsort(dim=1, stable=True)  # padding goes last

        def take(position: Tensor) -> Tensor:  # (B, n) places among the kept frames
            index = order.gather(1, position.clamp(min=0))
            index = index + (depth + count) * torch.arange(batch, device=x.device)[:, None]
            return frames.flatten(0, 1).index_select(0, index.flatten()).unflatten(0, index.shape)

        found = []
        for step in self.steps:
            back = age.clamp(max=step) if self.before_start == "first" else step
            found.append((take(depth + rank - 1 - back), age >= step))
        newest = rank[:, -1:] + torch.arange(depth, device=x.device)
        return found, Past(take(newest), seen)


def stream_age(seen: Tensor, starts_stream: Tensor | None, valid: Tensor) -> tuple[Tensor, Tensor]:
    """Number of frames of its stream before each frame, (B, T) int64, and `seen` afterwards.

    seen (B,) int64: frames of the stream before this window; valid (B, T); starts_stream as in
    `ConvRecurrence.forward`.
    """
    count = seen[:, None] + valid.cumsum(1) - valid.long()  # as if no stream began here
    starts = starts_by_frame(starts_stream, valid.shape[0], valid.shape[1], like=valid)
    began = torch.where(starts, count, 0).cummax(1).values  # the value at the last beginning
    return count - began, count[:, -1] + valid[:, -1] - began[:, -1]
