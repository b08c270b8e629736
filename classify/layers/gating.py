"""Spatiotemporal feature gating (S3D-G, arXiv 1712.04851), as in the hand-gesture thesis."""

from __future__ import annotations

from torch import Tensor, nn


class FeatureGate(nn.Module):
    """y = sigmoid(W mean(x)) o x, the mean over time and space.

    Equations 4.8 and 4.9 of the hand-gesture thesis.

    (B, C, T, H, W) to the same. W is C x C without bias: the report's +205,824 parameters are the
    squares of the four gated widths.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Linear(channels, channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gate = self.weight(x.mean(dim=(2, 3, 4))).sigmoid()
        return x * gate[:, :, None, None, None]
