"""A clip classifier as an ONNX graph from its clips to logits and probabilities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from stadet.classify.models.classifier import ClipClassifier
from stadet.classify.runtime.open_batch import OpenBatch
from stadet.detect.runtime.onnx_export import CLASSIFIER_SCHEMA, trace_onnx

LOGITS, PROBABILITIES, KNOWN = "logits", "probabilities", "known"


class Answering(nn.Module):
    """The exported module: logits (B, outputs), class probabilities (B, C) and, of a model with a
    binary head, the probability (B,) that the clip shows one of the classes at all."""

    def __init__(self, model: ClipClassifier, rejects: bool) -> None:
        super().__init__()
        self.model, self.rejects = model, rejects
        self.eval()

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        with OpenBatch(inputs[0]):
            logits = self.model(*inputs).float()
        if not self.rejects:
            return logits, logits.softmax(1)
        return logits, logits[:, :-1].softmax(1), logits[:, -1].sigmoid()


def export_classifier_onnx(
    model: ClipClassifier,
    example: Mapping[str, Tensor],
    *,
    rejects: bool = False,
    description: Mapping[str, Any] | None = None,
    open_batch: bool = True,
) -> bytes:
    """The ONNX file of a classifier, on the CPU, for clips of one length and size.

    example: its inputs by name, B clips (at least 2 where the batch is left open); their lengths
    and sizes become those of the file. rejects: its last output is that of a binary head.
    description: plain data kept inside as JSON. UserError where the `onnx` package is missing.
    """
    outputs = (LOGITS, PROBABILITIES, *([KNOWN] if rejects else []))
    content = {"schema": CLASSIFIER_SCHEMA, **(description or {})}
    inputs = {name: example[name] for name in model.inputs}
    return trace_onnx(Answering(model, rejects), inputs, outputs, content, open_batch=open_batch)


def example_inputs(
    model: ClipClassifier, batch: int, length: int, size: tuple[int, int], seed: int = 0
) -> dict[str, Tensor]:
    """Random inputs of a classifier by name: `batch` clips of `length` frames (height, width)."""
    generator = torch.Generator().manual_seed(seed)
    shape = (batch, length, 3, *size)
    found = {}
    for name in model.inputs:
        if name == "keypoints":
            count = int(getattr(model, "num_keypoints"))  # noqa: B009 - of that model alone
            found[name] = torch.rand(batch, length, count, generator=generator)
        else:
            found[name] = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    return found
