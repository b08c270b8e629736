"""Convolutional LSTM (Shi et al., arXiv 1506.04214) with peepholes that may be convolutions."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from stadet.engine.errors import UserError
from stadet.recurrent_yolo.gates import bias_of, input_gates, state_gates
from stadet.recurrent_yolo.recurrence import Cell, ConvRecurrence

Peepholes = Literal["none", "conv", "hadamard"]
Activation = Literal["tanh", "relu"]


class HadamardPeephole(nn.Module):
    """Elementwise weights on the cell state: (N, hidden, h, w) to (N, gates * hidden, h, w).

    They belong to the places of one feature size, and so need that size.
    """

    def __init__(self, hidden: int, gates: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(gates, hidden, *size))

    def forward(self, c: Tensor) -> Tensor:
        if c.shape[-2:] != self.weight.shape[-2:]:
            raise UserError(
                f"Hadamard peepholes: expected features of {tuple(self.weight.shape[-2:])}, found "
                f"{tuple(c.shape[-2:])}; keep one network size or use peepholes: conv"
            )
        return (c[:, None] * self.weight).flatten(1, 2)


class ConvLSTMCell(Cell):
    """One step of a ConvLSTM; `*` is a convolution, `o` the elementwise product:

        i = s(Wxi * X + Whi * H' + Wci * C' + bi)        f = s(Wxf * X + Whf * H' + Wcf * C' + bf)
        C = f o C' + i o g(Wxc * X + Whc * H' + bc)      o = s(Wxo * X + Who * H' + Wco * C + bo)
        H = o o g(C)

    peepholes: the Wc terms; `"none"`, `"conv"` or `"hadamard"` (Wc o C, needs `size`).
    activation: g. forget_bias: start of bf. depthwise: RVT's cell (see `gates.py`); peepholes stay
    full convolutions. group_norm: on either convolution, one group a gate. size: (height, width).
    The state is (H, C), each (B, hidden, h, w).
    """

    def __init__(
        self,
        in_channels: int,
        hidden: int,
        *,
        kernel: int = 3,
        peepholes: Peepholes = "none",
        activation: Activation = "tanh",
        forget_bias: float = 1.0,
        depthwise: bool = False,
        group_norm: bool = False,
        size: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        self.hidden, self.num_states = hidden, 2
        self.input_gates = input_gates(in_channels, hidden, 4, kernel, depthwise, group_norm)
        self.state_gates = state_gates(hidden, 4, kernel, depthwise, group_norm)
        with torch.no_grad():
            bias_of(self.input_gates)[hidden : 2 * hidden] = forget_bias
        self.activation = torch.tanh if activation == "tanh" else torch.relu
        self.peepholes = peepholes
        self.peephole_before: nn.Module
        self.peephole_after: nn.Module
        if peepholes == "conv":
            padding = kernel // 2
            self.peephole_before = nn.Conv2d(
                hidden, 2 * hidden, kernel, padding=padding, bias=False
            )
            self.peephole_after = nn.Conv2d(hidden, hidden, kernel, padding=padding, bias=False)
        elif peepholes == "hadamard":
            if size is None:
                raise UserError("Hadamard peepholes: expected the features' size, found none")
            self.peephole_before = HadamardPeephole(hidden, 2, size)
            self.peephole_after = HadamardPeephole(hidden, 1, size)

    def project(self, x: Tensor) -> Tensor:
        """The inputs of all steps (N, in, h, w) to their part of the gates, order i, f, o, c."""
        return self.input_gates(x)

    def step(self, projected: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """One frame's projection (B, 4 * hidden, h, w) and the state before it to the one after."""
        h, c = state
        i, f, o, g = (projected + self.state_gates(h)).chunk(4, dim=1)
        if self.peepholes != "none":
            peep_i, peep_f = self.peephole_before(c).chunk(2, dim=1)
            i, f = i + peep_i, f + peep_f
        c = f.sigmoid() * c + i.sigmoid() * self.activation(g)
        if self.peepholes != "none":
            o = o + self.peephole_after(c)
        return o.sigmoid() * self.activation(c), c


class ConvLSTM(ConvRecurrence):
    """`ConvLSTMCell` over time, stacked, with dropout, in one or both directions.

    cell_options: those of `ConvLSTMCell`; the rest, and the call, as in `ConvRecurrence`.
    """

    def __init__(
        self,
        in_channels: int,
        hidden: int,
        *,
        layers: int = 1,
        dropout: float = 0.0,
        variational: bool = False,
        bidirectional: bool = False,
        **cell_options,
    ) -> None:
        super().__init__(
            lambda channels: ConvLSTMCell(channels, hidden, **cell_options),
            in_channels,
            layers=layers,
            dropout=dropout,
            variational=variational,
            bidirectional=bidirectional,
        )
