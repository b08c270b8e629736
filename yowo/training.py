"""YOWO's training step: key-frame targets, the published sum over the batch or a mean."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from stadet.detect.batch import ClipBatch, Targets
from stadet.engine.distributed import mean_over_processes, world_size
from stadet.engine.training_step import TrainingStep
from stadet.yowo.loss import RegionLoss


def key_frame_targets(batch: ClipBatch) -> Targets:
    """The truth of the last frame of each clip, images numbered by clip."""
    steps = batch.valid.shape[1]
    targets = batch.targets
    last = targets.item % steps == steps - 1
    looked_at = targets.looked_at.view(-1, steps)[:, -1] & batch.valid[:, -1]
    return Targets(
        targets.boxes[last],
        targets.labels[last],
        targets.item[last] // steps,
        looked_at,
        targets.ignored[last],
    )


class YOWOTrainingStep(TrainingStep):
    """The training step of YOWO; nothing is carried.

    normalise: `"sum"` adds the loss up over the joint batch of all processes, as published;
    `"positives"` divides it by the number of boxes in it.
    """

    def __init__(self, loss: RegionLoss, normalise: Literal["sum", "positives"] = "positives"):
        self.loss, self.normalise = loss, normalise

    def __call__(
        self, model: nn.Module, batch: ClipBatch, carry: None = None
    ) -> tuple[dict[str, Tensor], None]:
        targets = key_frame_targets(batch)
        maps, _ = model(batch.frames)
        # DDP averages gradients over processes: a mean count keeps them those of the joint batch
        if self.normalise == "sum":
            normaliser = torch.tensor(1.0 / world_size())
        else:
            count = (targets.looked_at[targets.item] & ~targets.ignored).sum().float()
            normaliser = mean_over_processes(count).clamp(min=1)
        return self.loss.to(maps[0].device)(maps, targets, normaliser), None
