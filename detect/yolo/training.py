"""The training step of frame detectors."""

from __future__ import annotations

from torch import Tensor, nn

from stadet.detect.batch import ClipBatch
from stadet.detect.detection_loss import DetectionLoss
from stadet.engine.distributed import mean_over_processes
from stadet.engine.training_step import TrainingStep


class FrameTrainingStep(TrainingStep):
    """The training step of a detector without memory; nothing is carried.

    The loss is divided by the mean count of positives over processes, so that several processes
    have the gradient of one on the joint batch.
    """

    def __init__(self, loss: DetectionLoss) -> None:
        self.loss = loss

    def __call__(
        self, model: nn.Module, batch: ClipBatch, carry: None = None
    ) -> tuple[dict[str, Tensor], None]:
        """The terms of the loss of one batch."""
        maps, _ = model(batch.frames, None, batch.starts_stream, batch.valid)
        num_positives = mean_over_processes(self.loss.count_positives(batch.targets))
        return self.loss(maps, batch.targets, num_positives), None

    def set_progress(self, done: float) -> None:
        """See `TrainingStep.set_progress`."""
        self.loss.set_progress(done)
