"""The training step of clip classifiers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from stadet.detect.classification_batch import UNKNOWN, ClassificationBatch
from stadet.engine.distributed import mean_over_processes, unwrap
from stadet.engine.training_step import TrainingStep


def logits_of(model: nn.Module, batch: ClassificationBatch) -> Tensor:
    """A classifier's logits (B, outputs) of what it takes of a batch, by the batch's head."""
    inner = unwrap(model)
    inputs = [batch.inputs[name] for name in inner.inputs]
    if getattr(inner, "num_heads", 1) > 1:
        return model(*inputs, head=batch.head)
    return model(*inputs)


class ClassificationStep(TrainingStep):
    """Cross entropy over the classes; nothing is carried.

    class_weights: one a class (of the only head), None = all alike; label_smoothing: share of the
    target spread over all classes; rejects: the model's last output is the logit of "shows one of
    the classes", learnt by binary cross entropy; the classes are learnt only from videos that show
    one of them. The loss is divided by the mean weight of the labels over processes, so that
    several processes have the gradient of one on the joint batch.
    """

    def __init__(
        self,
        *,
        class_weights: Sequence[float] | None = None,
        label_smoothing: float = 0.0,
        rejects: bool = False,
    ) -> None:
        self.class_weights = None if class_weights is None else torch.tensor(class_weights)
        self.label_smoothing = label_smoothing
        self.rejects = rejects

    def __call__(
        self, model: nn.Module, batch: ClassificationBatch, carry: None = None
    ) -> tuple[dict[str, Tensor], None]:
        """Losses `class`, and `known` of a model that rejects."""
        logits = logits_of(model, batch).float()  # (B, outputs)
        classes = logits[:, :-1] if self.rejects else logits
        labels = torch.where(batch.valid, batch.labels, UNKNOWN)
        losses = {"class": self._cross_entropy(classes, labels)}
        if self.rejects:
            losses["known"] = _known_loss(logits[:, -1], batch)
        return losses, None

    def _cross_entropy(self, logits: Tensor, labels: Tensor) -> Tensor:
        weights = self.class_weights
        if weights is not None:
            weights = weights.to(logits.device)
        total = functional.cross_entropy(
            logits,
            labels,
            weight=weights,
            label_smoothing=self.label_smoothing,
            ignore_index=UNKNOWN,
            reduction="sum",
        )
        known = labels[labels != UNKNOWN]
        weight = known.new_tensor(len(known)) if weights is None else weights[known].sum()
        return total / mean_over_processes(weight.float()).clamp(min=1e-6)


def _known_loss(logit: Tensor, batch: ClassificationBatch) -> Tensor:
    target = (batch.labels != UNKNOWN).float()
    losses = functional.binary_cross_entropy_with_logits(logit, target, reduction="none")
    count = mean_over_processes(batch.valid.sum().float())
    return (losses * batch.valid).sum() / count.clamp(min=1e-6)
