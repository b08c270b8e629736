"""Convolutions with wrong bfloat16 gradients on this CPU, by the shape of their input.

python benchmarks/bf16_gradients.py --shapes 300

A gradient is wrong where it is more than 5% off that of float64 on the same numbers (for which
torch has kernels of its own), or where its computation breaks the process; every shape is therefore
tried in a process of its own.
"""

from __future__ import annotations

import argparse
import os
import random
from collections import Counter
from dataclasses import dataclass
from typing import Any

import torch

from stadet.engine.exact_convolutions import ExactSmallConvolutions

TRIES = 5
OFF = 0.05


@dataclass(frozen=True)
class Shape:
    """One convolution: sizes of its input map and of its kernel, and its groups."""

    size: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    groups: int

    @classmethod
    def draw(cls, rng: random.Random) -> Shape:
        axes = range(rng.choice([2, 3]))
        return cls(
            tuple(rng.choice([1, 2, 3, 4, 6, 8, 12]) for _ in axes),
            tuple(rng.choice([1, 3, 3, 5, 7]) for _ in axes),
            tuple(rng.choice([1, 1, 2]) for _ in axes),
            rng.choice([1, 1, 4]),
        )

    @property
    def kind(self) -> str:
        pairs = list(zip(self.size, self.kernel, strict=True))
        if all(side >= kernel for side, kernel in pairs):
            relation = "no side below the kernel"
        elif all(side >= kernel or side == 1 for side, kernel in pairs):
            relation = "a side of 1"
        else:
            relation = "a side of 2 or more, below the kernel"
        return f"{len(self.size)}D, {relation}"


def relative_error(shape: Shape, guard: bool) -> float:
    """The worst of some tries, of the gradient of the weights."""
    channels = 16
    conv = torch.conv3d if len(shape.size) == 3 else torch.conv2d
    rest = {
        "stride": shape.stride,
        "padding": tuple(kernel // 2 for kernel in shape.kernel),
        "groups": shape.groups,
    }
    worst = 0.0
    for _ in range(TRIES):
        x = torch.randn(4, channels, *shape.size)
        weight = torch.randn(channels, channels // shape.groups, *shape.kernel, requires_grad=True)
        exact = conv(x.double(), weight.double(), **rest)
        noise = torch.randn_like(exact)
        (wanted,) = torch.autograd.grad(exact, weight, noise)
        with torch.autocast("cpu", torch.bfloat16):
            found: Any = _guarded(conv, x, weight, rest) if guard else conv(x, weight, **rest)
        (gradient,) = torch.autograd.grad(found, weight, noise.to(found.dtype))
        error = float((gradient - wanted).norm() / wanted.norm())
        worst = max(worst, error if error == error else float("inf"))
    return worst


def _guarded(conv: Any, x: torch.Tensor, weight: torch.Tensor, rest: dict[str, Any]) -> Any:
    with ExactSmallConvolutions():
        return conv(x, weight, **rest)


def is_wrong(shape: Shape, guard: bool) -> bool:
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # what a broken heap says
        os._exit(int(relative_error(shape, guard) > OFF))
    return os.waitpid(child, 0)[1] != 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--shapes", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    rng = random.Random(args.seed)
    tried, wrong, guarded = Counter(), Counter(), Counter()
    for _ in range(args.shapes):
        shape = Shape.draw(rng)
        tried[shape.kind] += 1
        wrong[shape.kind] += is_wrong(shape, guard=False)
        guarded[shape.kind] += is_wrong(shape, guard=True)
    print(f"torch {torch.__version__}, seed {args.seed}")
    print("| map and kernel | shapes | wrong under autocast | wrong as trained here |")
    print("|---|---|---|---|")
    for kind in sorted(tried):
        print(f"| {kind} | {tried[kind]} | {wrong[kind]} | {guarded[kind]} |")


if __name__ == "__main__":
    main()
