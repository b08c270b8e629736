"""Batches of one size, for runtimes that prepare themselves for a shape."""

from __future__ import annotations

import torch
from torch import Tensor

from stadet.classify.models.classifier import ClipClassifier


class FixedBatch(ClipClassifier):
    """A classifier around `model` that fills smaller batches up to the largest so far.

    A last, short batch then costs no second preparation; its answers are those without the filling.
    """

    def __init__(self, model: ClipClassifier) -> None:
        super().__init__()
        self.model, self.inputs, self.clip_length = model, model.inputs, model.clip_length
        self._largest = 0

    def forward(self, *inputs: Tensor) -> Tensor:
        """See `ClipClassifier.forward`."""
        count = len(inputs[0])
        self._largest = max(self._largest, count)
        missing = self._largest - count
        if missing:
            inputs = tuple(torch.cat([x, x.new_zeros(missing, *x.shape[1:])]) for x in inputs)
        logits: Tensor = self.model(*inputs)
        return logits[:count]
