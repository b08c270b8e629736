"""TensorFlow's "same" padding, which I3D was made with: output = ceil(input / stride)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn
from torch.nn.functional import pad

TimePadding = Literal["zeros", "replicate"]
Triple = tuple[int, int, int]


def same_padding(size: int, kernel: int, stride: int, dilation: int = 1) -> tuple[int, int]:
    """Elements to add before and after one axis; the odd one goes after."""
    reach = (kernel - 1) * dilation + 1
    total = max((-(-size // stride) - 1) * stride + reach - size, 0)
    return total // 2, total - total // 2


def pad_same(
    x: Tensor,
    kernel: Sequence[int],
    stride: Sequence[int],
    *,
    time_dilation: int = 1,
    time_padding: TimePadding = "zeros",
    value: float = 0.0,
) -> Tensor:
    """x (B, C, T, H, W) padded for a window of kernel (t, h, w).

    time_padding: `"replicate"` repeats the first and last frame instead of adding `value`, which
    keeps a still clip still.
    """
    dilations = (time_dilation, 1, 1)
    time, height, width = (
        same_padding(*axis) for axis in zip(x.shape[-3:], kernel, stride, dilations, strict=True)
    )
    if time_padding == "replicate" and any(time):
        x = pad(x, (0, 0, 0, 0, *time), mode="replicate")
        time = (0, 0)
    return pad(x, (*width, *height, *time), value=value)


class SameMaxPool3d(nn.Module):
    """Max-pooling with "same" padding; what is padded never wins."""

    def __init__(self, kernel: Triple, stride: Triple) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride
        self.pool = nn.MaxPool3d(kernel, stride)

    def forward(self, x: Tensor) -> Tensor:
        return self.pool(pad_same(x, self.kernel, self.stride, value=float("-inf")))
