"""The two convolutions that make a recurrent cell's gates: one on the input, one on the state."""

from __future__ import annotations

from torch import Tensor, nn


def input_gates(
    in_channels: int, hidden: int, gates: int, kernel: int, depthwise: bool, norm: bool
) -> nn.Sequential:
    """(N, in, H, W) to (N, gates * hidden, H, W), with the gates' biases in its last module.

    Depthwise cells (RVT, arXiv 2212.05598, section 3.2.3) look at the input through 1x1 only.
    """
    side = 1 if depthwise else kernel
    conv = nn.Conv2d(in_channels, gates * hidden, side, padding=side // 2, bias=not norm)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    return nn.Sequential(conv, *_norm(hidden, gates, norm))


def state_gates(
    hidden: int, gates: int, kernel: int, depthwise: bool, norm: bool, bias: bool = False
) -> nn.Sequential:
    """(N, hidden, H, W) to (N, gates * hidden, H, W): one full convolution, or a depthwise one
    followed by 1x1. bias: the gates have a bias of their own on this side (GRU)."""
    bias = bias and not norm
    if depthwise:
        convs: list[nn.Module] = [
            nn.Conv2d(hidden, hidden, kernel, padding=kernel // 2, groups=hidden, bias=False),
            nn.Conv2d(hidden, gates * hidden, 1, bias=bias),
        ]
    else:
        convs = [nn.Conv2d(hidden, gates * hidden, kernel, padding=kernel // 2, bias=bias)]
    return nn.Sequential(*convs, *_norm(hidden, gates, norm))


def bias_of(gates: nn.Sequential) -> Tensor:
    """The gates' biases, (gates * hidden,), of what `input_gates` makes."""
    last = gates[-1]
    assert isinstance(last, (nn.Conv2d, nn.GroupNorm)) and last.bias is not None
    return last.bias


def _norm(hidden: int, gates: int, norm: bool) -> list[nn.Module]:
    """Group norm, one group a gate, on either side before the sum (as arXiv 1607.06450 does)."""
    return [nn.GroupNorm(gates, gates * hidden)] if norm else []
