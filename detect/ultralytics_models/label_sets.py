"""ultralytics' assignment and class loss for boxes that hold several classes at once.

Their assigner knows one class a box, and a box that is listed once for each of its classes keeps
the first alone, as each place takes the first of equal boxes. So it is given *sets* of classes as
if they were classes, each as likely as its members are in the mean, and what it assigns is
translated back. For boxes of one class this is their assignment, bit for bit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

if TYPE_CHECKING:
    from ultralytics.utils.tal import TaskAlignedAssigner


class LabelSetAssigner:
    """A `TaskAlignedAssigner` whose labels number the rows of `sets`.

    sets: (S, C) float, 1 where a class belongs to the set; set it before each call.
    """

    def __init__(self, assigner: TaskAlignedAssigner) -> None:
        self.assigner = assigner
        self.sets: Tensor = torch.zeros(0)

    def __call__(
        self, scores: Tensor, boxes: Tensor, places: Tensor, labels: Tensor, *rest: Any, **more: Any
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Arguments and results of theirs, the assigned scores (N, K, C) by class."""
        sizes = self.sets.sum(1).clamp(min=1)
        of_sets = scores @ self.sets.T.to(scores.dtype) / sizes.to(scores.dtype)  # (N, K, S)
        self.assigner.num_classes = len(self.sets)
        number, found, assigned, *others = self.assigner(
            of_sets, boxes, places, labels, *rest, **more
        )
        by_class = assigned @ self.sets.to(assigned.dtype)
        return (number, found, by_class, *others)


class ClassLoss(nn.Module):
    """Binary cross-entropy of every place and class (N, K, C).

    outside: (N, K) bool; where it is False and nothing is assigned, a place has no loss. None: all
    places have one. Set it before each call.
    """

    outside: Tensor | None = None

    def forward(self, logits: Tensor, truth: Tensor) -> Tensor:
        terms = binary_cross_entropy_with_logits(logits, truth, reduction="none")
        if self.outside is None:
            return terms
        counts = self.outside | truth.any(-1)
        return terms * counts[..., None]


def label_sets(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Multi-hot labels (M, C) to the distinct rows (S, C), at least one, and the row of each."""
    if not len(labels):
        return labels.new_zeros(1, labels.shape[1]), labels.new_zeros(0, dtype=torch.int64)
    return torch.unique(labels, dim=0, return_inverse=True)
