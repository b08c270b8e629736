"""Random temporal dilation of 1 or 2 frames (hand-gesture thesis, section 4.3)."""

from __future__ import annotations

import re

import torch
from torch import Tensor
from torch.nn.functional import relu

from stadet.classify.models.inception3d import Unit3d
from stadet.engine.errors import UserError

FACTORS = (1, 2)
POSITIONS = 10  # the first 3x3x3 convolution, then the nine inception modules


class DilatedUnit3d(Unit3d):
    """A 3x3x3 unit with one set of weights for both dilations.

    trained: each forward in training draws its factor, 1 or 2. evaluated: in evaluation the maps of
    both, after batch norm and ReLU (eq. 4.10 has the activation inside), are averaged. Where a
    switch is off the factor is 1. The draw comes from torch's CPU generator.
    """

    trained = True
    evaluated = True

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            factor = FACTORS[int(torch.randint(len(FACTORS), ()))] if self.trained else 1
            return self._activate(x, factor)
        if not self.evaluated:
            return self._activate(x, 1)
        return torch.stack([self._activate(x, factor) for factor in FACTORS]).mean(dim=0)

    def _activate(self, x: Tensor, factor: int) -> Tensor:
        return relu(self.bn(self.convolve(x, factor)))


def dilated_positions(which: str) -> range:
    """The dilated ones of the ten positions, counted from the input.

    which: `"full"`, `"none"`, `"top-N"` (the N nearest to the input: the first convolution and
    N - 1 inception modules) or `"bottom-N"` (the N inception modules nearest to the output), as in
    the report's Table 5.2. UserError for anything else.
    """
    fixed = {"full": range(POSITIONS), "none": range(0)}
    if which in fixed:
        return fixed[which]
    found = re.fullmatch(r"(top|bottom)-(\d+)", which)
    count = int(found[2]) if found else 0
    if not 1 <= count <= POSITIONS:
        raise UserError(
            f"dilation: expected full, none, top-N or bottom-N with N of 1 to {POSITIONS}, found "
            f"{which!r}"
        )
    return range(count) if found[1] == "top" else range(POSITIONS - count, POSITIONS)
