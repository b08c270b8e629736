"""The training step of recurrent detectors: truncated back-propagation through time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from stadet.detect.batch import ClipBatch
from stadet.detect.yolo.loss import YoloLoss
from stadet.engine.distributed import mean_over_processes
from stadet.engine.errors import UserError
from stadet.recurrent_yolo.lookback import stream_age
from stadet.recurrent_yolo.state import detach, finite_lanes, starts_by_frame


class RecurrentTrainingStep:
    """`step(model, batch, state) -> (losses, state)` with a state carried from batch to batch.

    bptt_windows: the loss of a window reaches back through this many windows, itself included: the
    windows before it are run again, in one forward (what DDP needs), from the detached state before
    the first of them. This is truncated BPTT(T, bptt_windows * T) of Williams and Peng (1990): one
    optimiser step a window, at bptt_windows times the cost. 1 (the report's) never runs a frame
    twice; a longer window costs less than more of them.
    warmup_frames: the first frames of each stream have no loss.

    The state is {"windows": the bptt_windows - 1 last windows with the state before each, "before":
    the model's state, "seen": (B,) frames since each lane's stream began}; all detached.
    """

    def __init__(self, loss: YoloLoss, bptt_windows: int = 1, warmup_frames: int = 0) -> None:
        if bptt_windows < 1 or warmup_frames < 0:
            raise UserError(
                f"expected bptt_windows >= 1 and warmup_frames >= 0, found {bptt_windows} and "
                f"{warmup_frames}"
            )
        self.loss, self.bptt_windows, self.warmup_frames = loss, bptt_windows, warmup_frames

    def __call__(
        self, model: nn.Module, batch: ClipBatch, state: Any = None
    ) -> tuple[dict[str, Tensor], Any]:
        """Losses `box`, `objectness` and `class` over the looked-at frames of the newest window.

        UserError, with video and frame, where the model's state stops being finite.
        """
        lanes, steps = batch.valid.shape
        if state is None:
            seen = torch.zeros(lanes, dtype=torch.int64, device=batch.frames.device)
            state = {"windows": [], "before": None, "seen": seen}
        window = {
            "before": state["before"],
            "frames": batch.frames,
            "starts_stream": starts_by_frame(
                batch.starts_stream, lanes, steps, like=batch.starts_stream
            ),
            "valid": batch.valid,
        }
        windows = [*state["windows"], window]
        frames, starts_stream, valid = (
            torch.cat([w[key] for w in windows], dim=1)
            for key in ("frames", "starts_stream", "valid")
        )
        maps, after = model(frames, windows[0]["before"], starts_stream, valid)
        maps = [m.unflatten(0, (lanes, -1))[:, -steps:].flatten(0, 1) for m in maps]
        after = detach(after)
        check_finite(after, maps, batch)

        age, seen = stream_age(state["seen"], batch.starts_stream, batch.valid)
        warm = (age >= self.warmup_frames).flatten()
        targets = replace(batch.targets, looked_at=batch.targets.looked_at & warm)
        num_positives = mean_over_processes(self.loss.count_positives(targets))
        kept = windows[1:] if len(windows) == self.bptt_windows else windows
        return self.loss(maps, targets, num_positives), {
            "windows": kept,
            "before": after,
            "seen": seen,
        }


def check_finite(state: Any, maps: list[Tensor], batch: ClipBatch) -> None:
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
