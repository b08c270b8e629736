"""The temporal block: what one detection level gets of the past."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from stadet.engine.errors import UserError
from stadet.recurrent_yolo.convgru import ConvGRUCell, ConvMinGRUCell
from stadet.recurrent_yolo.convlstm import Activation, ConvLSTMCell, Peepholes
from stadet.recurrent_yolo.lookback import LookBack
from stadet.recurrent_yolo.recurrence import Cell, ConvRecurrence
from stadet.recurrent_yolo.state import BlockState, Past


@dataclass
class MemoryConfig:
    """The recurrent cell of each level.

    Attributes:
        cell: ConvLSTM, ConvGRU or minGRU.
        depthwise: depthwise convolutions, as in RVT (arXiv 2212.05598).
        hidden: channels of the cell, or a share (at most 1) of the level's channels.
        layers: cells on top of each other.
        kernel: side of the convolutions, pixels of the feature map.
        peepholes: of the LSTM, "none", "conv" or "hadamard" (arXiv 1506.04214).
        activation: of the LSTM's candidate and output.
        forget_bias: initial bias of the LSTM's forget gate.
        group_norm: group normalisation of each gate.
        dropout: share of the output of each layer that is set to zero in training.
        variational: one dropout mask for all frames of a window.
        bidirectional: a second memory runs backwards through each clip (not for live streams).
        differences: the cell also sees x - x(t-n) for each n of these, in frames.
        residual: add the output to x through a projection that starts at zero, so that the model
            starts as the frame detector; False replaces x by it.
        carry: False empties the state at every frame, which leaves the differences only.
    """

    cell: Literal["lstm", "gru", "mingru"] = "lstm"
    depthwise: bool = True
    hidden: float = 24
    layers: int = 1
    kernel: int = 3
    peepholes: Peepholes = "none"
    activation: Activation = "tanh"
    forget_bias: float = 1.0
    group_norm: bool = False
    dropout: float = 0.0
    variational: bool = False
    bidirectional: bool = False
    differences: tuple[int, ...] = (1, 2, 4)
    residual: bool = True
    carry: bool = True

    def __post_init__(self) -> None:
        self.differences = tuple(self.differences)
        if any(n < 1 for n in self.differences):
            raise UserError(f"memory.differences: expected frames >= 1, found {self.differences}")
        if not (self.hidden >= 1 and self.hidden == int(self.hidden)) and not 0 < self.hidden < 1:
            raise UserError(
                f"memory.hidden: expected channels or a share of at most 1, found {self.hidden}"
            )

    def hidden_channels(self, channels: int) -> int:
        """The cell's channels at a level of `channels`."""
        if self.hidden > 1:
            return int(self.hidden)
        return max(1, round(self.hidden * channels))

    def make_cell(self, in_channels: int, hidden: int, size: tuple[int, int] | None = None) -> Cell:
        """The cell; size: (height, width) of the features, which Hadamard peepholes need."""
        common: dict[str, Any] = {
            "kernel": self.kernel,
            "depthwise": self.depthwise,
            "group_norm": self.group_norm,
        }
        if self.cell == "lstm":
            return ConvLSTMCell(
                in_channels,
                hidden,
                peepholes=self.peepholes,
                activation=self.activation,
                forget_bias=self.forget_bias,
                size=size,
                **common,
            )
        return (ConvGRUCell if self.cell == "gru" else ConvMinGRUCell)(
            in_channels, hidden, **common
        )


class TemporalBlock(nn.Module):
    """x (B, T, C, h, w) to features of the same shape that know the earlier frames."""

    def __init__(
        self, channels: int, config: MemoryConfig, size: tuple[int, int] | None = None
    ) -> None:
        super().__init__()
        self.residual, self.carry = config.residual, config.carry
        hidden = config.hidden_channels(channels)
        self.look_back, self.mix, in_channels = None, None, channels
        if config.differences:
            self.look_back = LookBack(config.differences)
            self.mix = nn.Conv2d(channels * (1 + len(config.differences)), hidden, 1)
            in_channels = hidden
        self.recurrence = ConvRecurrence(
            lambda width: config.make_cell(width, hidden, size),
            in_channels,
            layers=config.layers,
            dropout=config.dropout,
            variational=config.variational,
            bidirectional=config.bidirectional,
        )
        self.project: nn.Module = nn.Identity()
        if config.residual or self.recurrence.out_channels != channels:
            self.project = zero = nn.Conv2d(self.recurrence.out_channels, channels, 1)
            if config.residual and zero.bias is not None:
                nn.init.zeros_(zero.weight)
                nn.init.zeros_(zero.bias)

    def forward(
        self,
        x: Tensor,
        state: BlockState | None = None,
        starts_stream: Tensor | None = None,
        valid: Tensor | None = None,
    ) -> tuple[Tensor, BlockState]:
        """Arguments as in `ConvRecurrence.forward`."""
        state = state or BlockState()
        seen, past = self._with_differences(x, state.past, starts_stream, valid)
        if self.carry:
            h, cell = self.recurrence(seen, state.cell, starts_stream, valid)
        else:  # every frame is a stream of its own
            h, cell = self.recurrence(seen.flatten(0, 1)[:, None])[0], None
        y = self.project(h.flatten(0, 1)).unflatten(0, x.shape[:2])
        return (x + y if self.residual else y), BlockState(cell, past)

    def _with_differences(
        self, x: Tensor, past: Past | None, starts_stream: Tensor | None, valid: Tensor | None
    ) -> tuple[Tensor, Past | None]:
        if self.look_back is None:
            return x, None
        earlier, past = self.look_back(x, past, starts_stream, valid)
        gaps = [
            torch.where(known[:, :, None, None, None], x - frames, 0) for frames, known in earlier
        ]
        stacked = torch.cat([x, *gaps], dim=2)  # (B, T, C * (1 + n), h, w)
        return self.mix(stacked.flatten(0, 1)).unflatten(0, x.shape[:2]), past
