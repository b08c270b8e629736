"""Classifiers small enough to check by hand."""

import torch
from torch import nn

from stadet.classify.models.classifier import ClipClassifier


class MeanClassifier(ClipClassifier):
    """Logits linear in the mean colour of the clip."""

    def __init__(self, num_classes, clip_length=2):
        super().__init__()
        self.clip_length = clip_length
        self.body = nn.Linear(3, 4)
        self.norm = nn.BatchNorm1d(4)
        self.head = nn.Linear(4, num_classes)

    def forward_features(self, frames):
        return self.norm(self.body(frames.float().mean(dim=(1, 3, 4)) / 255))

    def forward_head(self, features):
        return self.head(features)


class FixedLogits(nn.Module):
    """Answers with the clip's first pixels: (B, T, 3, H, W) -> (B, outputs)."""

    inputs = ("frames",)

    def __init__(self, outputs):
        super().__init__()
        self.outputs = outputs

    def forward(self, frames):
        return frames[:, 0, 0, 0, : self.outputs].float() / 10 - 10


def clip_of_logits(logits, height=2):
    """The clip (1, 3, H, W) that makes `FixedLogits` answer with these logits."""
    frames = torch.zeros(1, 3, height, max(4, len(logits)), dtype=torch.uint8)
    frames[0, 0, 0, : len(logits)] = torch.tensor([round((v + 10) * 10) for v in logits])
    return frames
