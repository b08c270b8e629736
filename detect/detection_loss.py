"""The contract of the losses that the training steps of detectors take."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from stadet.detect.batch import Targets


class DetectionLoss(nn.Module):
    """Base class of the losses of detectors that answer for every frame."""

    def count_positives(self, targets: Targets) -> Tensor:
        """Divisor of the sums, (), which adds up over the images of a batch: its mean over
        processes is given to `forward`."""
        raise NotImplementedError(f"{type(self).__name__}.count_positives")

    def forward(
        self, maps: Sequence[Tensor], targets: Targets, num_positives: Tensor | None = None
    ) -> dict[str, Tensor]:
        """The maps of a detector in training to the named terms of its loss, over looked-at
        images only."""
        raise NotImplementedError(f"{type(self).__name__}.forward")

    def set_progress(self, done: float) -> None:
        """Take the share of the training that is done, for losses that change on the way."""
