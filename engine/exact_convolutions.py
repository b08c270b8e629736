"""Right gradients of bfloat16 convolutions on CPUs.

oneDNN's kernels for CPUs with bfloat16 instructions give a convolution's weights a gradient of
garbage, or write past its end, where the map is shorter than the kernel along an axis: a clip of 8
frames has 2 left when a 3D ResNet's third layer looks 3 frames wide. Seen with torch 2.15;
benchmarks/bf16_gradients.py shows which shapes are affected on a machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

_CONVOLUTIONS = {torch.conv2d: 2, torch.conv3d: 3}


class ExactSmallConvolutions(TorchFunctionMode):
    """While entered, autocast on a CPU leaves the convolutions in float32 whose input is shorter
    than their kernel along an axis. Everything else is unchanged."""

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        axes = _CONVOLUTIONS.get(func)
        if axes is None or not torch.is_autocast_enabled("cpu"):
            return func(*args, **kwargs)
        x, weight, *rest = args
        if not _shorter(x.shape[-axes:], weight.shape[-axes:]):
            return func(*args, **kwargs)
        with torch.autocast("cpu", enabled=False):
            return func(x.float(), weight.float(), *rest, **kwargs)


@contextmanager
def training_autocast(device: torch.device, precision: torch.dtype | None) -> Iterator[None]:
    """Autocast to `precision` (None: none) for a forward pass whose gradient is wanted."""
    half = precision is not None
    exact = ExactSmallConvolutions() if half and device.type == "cpu" else nullcontext()
    with exact, torch.autocast(device.type, precision, enabled=half):
        yield


def _shorter(map_size: torch.Size, kernel: torch.Size) -> bool:
    return any(side < k for side, k in zip(map_size, kernel, strict=True))
