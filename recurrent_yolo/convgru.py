"""Convolutional GRU cells: the full one and the minimal one without state in its gates."""

from __future__ import annotations

import torch
from torch import Tensor

from stadet.recurrent_yolo.gates import input_gates, state_gates
from stadet.recurrent_yolo.recurrence import Cell


class ConvGRUCell(Cell):
    """One step of a ConvGRU (Ballas et al., arXiv 1511.06432) with the reset gate after the
    convolution, as in `torch.nn.GRU`, so that one convolution of the state serves all gates:

        r = s(Wxr * X + Whr * H' + br)                 z = s(Wxz * X + Whz * H' + bz)
        n = tanh(Wxn * X + bn + r o (Whn * H' + bhn))    H = (1 - z) o n + z o H'

    depthwise, group_norm: as for `ConvLSTMCell`. The state is (H,), (B, hidden, h, w).
    """

    def __init__(
        self,
        in_channels: int,
        hidden: int,
        *,
        kernel: int = 3,
        depthwise: bool = False,
        group_norm: bool = False,
    ) -> None:
        super().__init__()
        self.hidden, self.num_states = hidden, 1
        self.input_gates = input_gates(in_channels, hidden, 3, kernel, depthwise, group_norm)
        self.state_gates = state_gates(hidden, 3, kernel, depthwise, group_norm, bias=True)

    def project(self, x: Tensor) -> Tensor:
        """The inputs of all steps (N, in, h, w) to their part of the gates, order r, z, n."""
        return self.input_gates(x)

    def step(self, projected: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """One frame's projection (B, 3 * hidden, h, w) and the state before it to the one after."""
        (h,) = state
        input_r, input_z, input_n = projected.chunk(3, dim=1)
        state_r, state_z, state_n = self.state_gates(h).chunk(3, dim=1)
        r, z = (input_r + state_r).sigmoid(), (input_z + state_z).sigmoid()
        n = (input_n + r * state_n).tanh()
        return (n + z * (h - n),)


class ConvMinGRUCell(Cell):
    """The minGRU of Feng et al. (arXiv 2410.01201) over feature maps; its gates see the input only:

        z = s(Wz * X + bz)    H = (1 - z) o H' + z o (Wn * X + bn)

    The cheapest memory here: nothing but a weighted sum happens step by step. Options and state as
    for `ConvGRUCell`; depthwise makes its convolution 1x1.
    """

    def __init__(
        self,
        in_channels: int,
        hidden: int,
        *,
        kernel: int = 3,
        depthwise: bool = False,
        group_norm: bool = False,
    ) -> None:
        super().__init__()
        self.hidden, self.num_states = hidden, 1
        self.input_gates = input_gates(in_channels, hidden, 2, kernel, depthwise, group_norm)

    def project(self, x: Tensor) -> Tensor:
        """The inputs of all steps (N, in, h, w) to z and the candidate, (N, 2 * hidden, h, w)."""
        z, candidate = self.input_gates(x).chunk(2, dim=1)
        return torch.cat([z.sigmoid(), candidate], dim=1)

    def step(self, projected: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """One frame's z and candidate and the state before it to the one after."""
        (h,) = state
        z, candidate = projected.chunk(2, dim=1)
        return (h + z * (candidate - h),)
