"""Tracing with one open axis, the batch: every other side of every tensor is a constant.

The tracer of torch.onnx makes each use of a tensor's shape a part of the graph as soon as one axis
is open, and then cannot say how large anything is, which several operations must know (adaptive
pools, pools over a whole map, padding to a stride). Here sides are plain numbers.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d
from torch.overrides import TorchFunctionMode

SHAPE = inspect.getattr_static(torch.Tensor, "shape").__get__  # what `x.shape` calls
RESHAPES = (torch.Tensor.reshape, torch.Tensor.view, torch.reshape)


class _Open(int):
    """A side that is the batch, or a multiple of it; its value is that of the example."""

    def __mul__(self, other: int) -> _Open:
        return _Open(int(self) * other)

    __rmul__ = __mul__


class OpenBatch(TorchFunctionMode):
    """While active, tensors have sides that are numbers, the first one marked as the batch's.

    A reshape to the batch, an expansion to it and zeros of its length become operations that hold
    for every batch. Adaptive average pools become products with two constant matrices, as ONNX has
    no such pool. Code that computes with the batch's length otherwise keeps that of the example.

    example: the first input (B, ..), B of at least 2, so that the batch differs from sides of 1.
    """

    def __init__(self, example: Tensor) -> None:
        super().__init__()
        self._example = example

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func == SHAPE or func is torch.Tensor.size:
            return _side(_sides(args[0]), *args[1:], **kwargs)
        if func is adaptive_avg_pool2d:
            return _pool(*args, **kwargs)
        if func in RESHAPES and _is_open(sides := _listed(args[1:])):
            return args[0].reshape(_inferred(sides, args[0].numel()))
        if func is torch.Tensor.unflatten and len(args) == 3 and _is_open(args[2]):
            x, dim, sides = args
            return func(x, dim, _inferred(sides, int(SHAPE(x)[dim])))
        if func is torch.Tensor.expand:
            return self._expand(args[0], _listed(args[1:]))
        if func is torch.zeros and _is_open(_listed(args)):
            return self._zeros(_listed(args))
        if func is torch.Tensor.new_zeros and _is_open(_listed(args[1:])):
            return self._zeros(_listed(args[1:]))
        return func(*args, **kwargs)

    def _zeros(self, sides: Sequence[int]) -> Tensor:
        """Zeros (float32) of these sides, of which one is the batch."""
        axis = next(n for n, side in enumerate(sides) if isinstance(side, _Open))
        column = self._example.flatten(1)[:, 0].float() * 0  # (B,)
        column = column.reshape([-1 if n == axis else 1 for n in range(len(sides))])
        return column.expand([-1 if n == axis else side for n, side in enumerate(sides)])

    def _expand(self, x: Tensor, sides: Sequence[int]) -> Tensor:
        padded = [1] * (len(sides) - x.dim()) + list(_sides(x))
        if not any(isinstance(s, _Open) and old == 1 for s, old in zip(sides, padded, strict=True)):
            return x.expand([-1 if isinstance(side, _Open) else side for side in sides])
        return x + self._zeros(sides)


def _sides(x: Tensor) -> tuple[int, ...]:
    return tuple((_Open if n == 0 else int)(side) for n, side in enumerate(SHAPE(x)))


def _side(sides: tuple[int, ...], dim: int | None = None) -> tuple[int, ...] | int:
    return sides if dim is None else sides[dim]


def _listed(sides: Sequence[Any]) -> Sequence[int]:
    """Sides that were given one by one, or as one sequence."""
    return sides[0] if len(sides) == 1 and isinstance(sides[0], (tuple, list)) else sides


def _is_open(sides: Sequence[int]) -> bool:
    return any(isinstance(side, _Open) for side in sides)


def _inferred(sides: Sequence[int], elements: int) -> list[int]:
    """Sides of a reshape with the batch as the one that is inferred, and the other, if it was one,
    as its number."""
    known = math.prod(side for side in sides if side != -1)
    return [
        -1 if isinstance(side, _Open) else elements // known if side == -1 else side
        for side in sides
    ]


def _pool(x: Tensor, output_size: int | Sequence[int | None]) -> Tensor:
    """`adaptive_avg_pool2d`: cell i of n averages pixels floor(i H / n) to ceil((i + 1) H / n)."""
    height, width = SHAPE(x)[-2:]
    rows, columns = (output_size,) * 2 if isinstance(output_size, int) else output_size
    across = _averages(int(width), columns or int(width)).t()
    return torch.matmul(_averages(int(height), rows or int(height)), torch.matmul(x, across))


def _averages(length: int, cells: int) -> Tensor:
    """(cells, length): the matrix of an adaptive average over `length` pixels."""
    matrix = torch.zeros(cells, length)
    for cell in range(cells):
        first, stop = cell * length // cells, -(-(cell + 1) * length // cells)
        matrix[cell, first:stop] = 1 / (stop - first)
    return matrix
