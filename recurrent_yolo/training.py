"""The training step of recurrent detectors: truncated back-propagation through time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from stadet.detect.batch import ClipBatch
from stadet.detect.detection_loss import DetectionLoss
from stadet.engine.distributed import mean_over_processes
from stadet.engine.errors import UserError
from stadet.engine.training_step import TrainingStep
from stadet.recurrent_yolo.lookback import stream_age
from stadet.recurrent_yolo.state import (
    State,
    detach,
    finite_lanes,
    from_plain,
    starts_by_frame,
    to_plain,
)


@dataclass(frozen=True, eq=False)
class Window:
    """A window of frames that a later loss may reach back into.

    Attributes:
        state: the model's at its first frame, detached.
        frames: (B, T, 3, H, W).
        starts_stream, valid: (B, T) bool.
    """

    state: State
    frames: Tensor
    starts_stream: Tensor
    valid: Tensor


@dataclass(frozen=True, eq=False)
class Carry:
    """Values that `RecurrentTrainingStep` hands from batch to batch, all detached.

    Attributes:
        windows: the bptt_windows - 1 last ones, oldest first.
        state: the model's after the newest.
        seen: (B,) int64, frames since each lane's stream began.
    """

    windows: tuple[Window, ...]
    state: State
    seen: Tensor


class RecurrentTrainingStep(TrainingStep):
    """A training step that carries the model's state from batch to batch.

    bptt_windows: the loss of a window reaches back through this many windows, itself included: the
    windows that precede it are run again, in one forward (what DDP needs), from the detached state
    at the first of them. This is truncated BPTT(T, bptt_windows * T) of Williams and Peng (1990):
    one optimiser step a window, at bptt_windows times the cost. 1 (the report's) never runs a frame
    twice; a longer window costs less than more of them.
    warmup_frames: the first frames of each stream have no loss.
    """

    def __init__(self, loss: DetectionLoss, bptt_windows: int = 1, warmup_frames: int = 0) -> None:
        if bptt_windows < 1 or warmup_frames < 0:
            raise UserError(
                f"expected bptt_windows >= 1 and warmup_frames >= 0, found {bptt_windows} and "
                f"{warmup_frames}"
            )
        self.loss, self.bptt_windows, self.warmup_frames = loss, bptt_windows, warmup_frames

    def __call__(
        self, model: nn.Module, batch: ClipBatch, carry: Carry | None = None
    ) -> tuple[dict[str, Tensor], Carry]:
        """The terms of the loss over the looked-at frames of the newest window.

        UserError, with video and frame, where the model's state stops being finite.
        """
        lanes, steps = batch.valid.shape
        if carry is None:
            seen = torch.zeros(lanes, dtype=torch.int64, device=batch.frames.device)
            carry = Carry((), None, seen)
        starts = starts_by_frame(batch.starts_stream, lanes, steps, like=batch.starts_stream)
        windows = (*carry.windows, Window(carry.state, batch.frames, starts, batch.valid))
        frames = torch.cat([window.frames for window in windows], dim=1)
        starts_stream = torch.cat([window.starts_stream for window in windows], dim=1)
        valid = torch.cat([window.valid for window in windows], dim=1)
        maps, after = model(frames, windows[0].state, starts_stream, valid)
        maps = [m.unflatten(0, (lanes, -1))[:, -steps:].flatten(0, 1) for m in maps]
        after = detach(after)
        check_finite(after, maps, batch)

        age, seen = stream_age(carry.seen, batch.starts_stream, batch.valid)
        warm = (age >= self.warmup_frames).flatten()
        targets = replace(batch.targets, looked_at=batch.targets.looked_at & warm)
        num_positives = mean_over_processes(self.loss.count_positives(targets))
        kept = windows[1:] if len(windows) == self.bptt_windows else windows
        return self.loss(maps, targets, num_positives), Carry(kept, after, seen)

    def set_progress(self, done: float) -> None:
        """See `TrainingStep.set_progress`."""
        self.loss.set_progress(done)

    def pack(self, carry: Carry | None) -> dict[str, Any] | None:
        """See `TrainingStep.pack`."""
        if carry is None:
            return None
        windows = [{**vars(window), "state": to_plain(window.state)} for window in carry.windows]
        return {"windows": windows, "state": to_plain(carry.state), "seen": carry.seen}

    def unpack(self, packed: dict[str, Any] | None) -> Carry | None:
        """See `TrainingStep.unpack`; reads what version 0.1 wrote, too."""
        if packed is None:
            return None
        windows = []
        for window in packed["windows"]:
            state = window["before"] if "before" in window else window["state"]
            parts = (window[name] for name in ("frames", "starts_stream", "valid"))
            windows.append(Window(from_plain(state), *parts))
        state = packed["before"] if "before" in packed else packed["state"]
        return Carry(tuple(windows), from_plain(state), packed["seen"])


def check_finite(state: State, maps: list[Tensor], batch: ClipBatch) -> None:
    """UserError with video and frame if the state after `batch` is not finite in some lane.

    maps: (B*T, ...) of that batch; their first value that is not finite tells the frame.
    """
    lanes = finite_lanes(state)
    if lanes is None or bool(lanes.all()):
        return
    lane = int((~lanes).nonzero()[0])
    finite = torch.stack([m.isfinite().flatten(1).all(1) for m in maps]).all(0)
    broken = (~finite.view(batch.valid.shape)[lane] & batch.valid[lane]).nonzero()
    step = int(broken[0]) if len(broken) else int(batch.valid[lane].long().cumsum(0).argmax())
    raise UserError(
        f"{batch.videos[lane]}, frame {int(batch.frame_indices[lane, step])}: the recurrent state "
        "is not finite any more; resume from the last checkpoint with a smaller "
        "loop.optimiser.lr, or in fp32"
    )
