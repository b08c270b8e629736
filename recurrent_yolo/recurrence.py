"""Cells through time: batched input convolutions, resets, padding, stacking, both directions."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout

from stadet.engine.errors import UserError
from stadet.recurrent_yolo.state import State, starts_at, starts_by_frame, where


class Cell(nn.Module):
    """Base class of recurrent cells; the state is `num_states` tensors (B, hidden, h, w), the first
    of which is the output."""

    hidden: int
    num_states: int

    def project(self, x: Tensor) -> Tensor:
        """The part of a step that does not need the state, for inputs (N, in, h, w) of all
        steps."""
        raise NotImplementedError(f"{type(self).__name__}.project")

    def step(self, projected: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """One frame's projection (B, ., h, w) and the state before it to the state after it."""
        raise NotImplementedError(f"{type(self).__name__}.step")


class ConvRecurrence(nn.Module):
    """Layers of cells over the frames of a window.

    make_cell: input channels to a cell. dropout: on the output of every layer, not on the state;
    variational: one mask for all frames of a window (Gal and Ghahramani, arXiv 1512.05287) instead
    of one a frame. bidirectional: a second cell a layer reads the window backwards from a zero
    state and its output is appended; only for whole clips, since the frames to come are not known
    when windows follow each other.
    """

    def __init__(
        self,
        make_cell: Callable[[int], Cell],
        in_channels: int,
        *,
        layers: int = 1,
        dropout: float = 0.0,
        variational: bool = False,
        bidirectional: bool = False,
    ) -> None:
        super().__init__()
        self.dropout, self.variational = dropout, variational
        self.layers, self.backward_layers = nn.ModuleList(), nn.ModuleList()
        for _ in range(layers):
            cell = make_cell(in_channels)
            self.layers.append(cell)
            if bidirectional:
                self.backward_layers.append(make_cell(in_channels))
            in_channels = cell.hidden * (2 if bidirectional else 1)
        self.out_channels = in_channels

    def forward(
        self,
        x: Tensor,
        state: State = None,
        starts_stream: Tensor | None = None,
        valid: Tensor | None = None,
    ) -> tuple[Tensor, State]:
        """x (B, T, C, h, w) and the state after the frames before it to y (B, T, out, h, w), state.

        state: None (zeros), or what an earlier call returned; opaque. starts_stream: lanes to reset
        first, (B,) bool, or (B, T) to reset before any frame. valid: (B, T) bool; other frames
        leave the state as it is, and their output means nothing. UserError for a state that does
        not fit.
        """
        batch, _, _, height, width = x.shape
        self._check_state(state, (batch, height, width))
        new_state = []
        for index, cell in enumerate(_cells(self.layers)):
            own = None if state is None else state[index]
            y, after = unroll(cell, x, own, starts_stream, valid)
            new_state.append(after)
            if self.backward_layers:
                backward_cell = _cells(self.backward_layers)[index]
                y = torch.cat([y, unroll_backward(backward_cell, x, starts_stream, valid)], dim=2)
            x = self._drop(y)
        return x, tuple(new_state)

    def _drop(self, y: Tensor) -> Tensor:
        if not (self.training and self.dropout):
            return y
        if self.variational:
            return y * dropout(torch.ones_like(y[:, :1]), self.dropout)  # (B, 1, C, h, w)
        return dropout(y, self.dropout)

    def _check_state(self, state: State, size: tuple[int, int, int]) -> None:
        if state is None:
            return
        batch, height, width = size
        wanted = [[(batch, c.hidden, height, width)] * c.num_states for c in _cells(self.layers)]
        found = (
            [[tuple(t.shape) for t in layer] for layer in state]
            if isinstance(state, tuple) and all(isinstance(layer, tuple) for layer in state)
            else type(state).__name__
        )
        if found != wanted:
            raise UserError(
                f"recurrent state: expected {wanted}, found {found}; it belongs to another cell, "
                "placement, number of lanes or network size: start the stream without it"
            )


def _cells(layers: nn.ModuleList) -> list[Cell]:
    return [cast(Cell, layer) for layer in layers]


def unroll(
    cell: Cell,
    x: Tensor,
    state: tuple[Tensor, ...] | None = None,
    starts_stream: Tensor | None = None,
    valid: Tensor | None = None,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """One cell over x (B, T, C, h, w): outputs (B, T, hidden, h, w) and the last state.

    A zero state has the precision of the weights, so that it stays in float32 under autocast.
    """
    batch, steps, _, height, width = x.shape
    projected = cell.project(x.flatten(0, 1)).unflatten(0, (batch, steps))
    dtype = next(cell.parameters()).dtype
    zeros = (x.new_zeros(batch, cell.hidden, height, width, dtype=dtype),) * cell.num_states
    state = zeros if state is None else state
    outputs = []
    for t in range(steps):
        starts = starts_at(starts_stream, t)
        if starts is not None:
            state = where(starts, zeros, state)
        after = cell.step(projected[:, t], state)
        state = after if valid is None else where(valid[:, t], after, state)
        outputs.append(state[0])
    return torch.stack(outputs, dim=1), state


def unroll_backward(
    cell: Cell, x: Tensor, starts_stream: Tensor | None = None, valid: Tensor | None = None
) -> Tensor:
    """One cell from the last frame to the first, from a zero state: (B, T, hidden, h, w).

    A stream that begins inside the window is not seen by the frames before it.
    """
    starts = starts_by_frame(starts_stream, x.shape[0], x.shape[1], like=x)
    ends = torch.cat([starts[:, 1:], torch.zeros_like(starts[:, :1])], dim=1)
    flipped_valid = None if valid is None else valid.flip(1)
    y, _ = unroll(cell, x.flip(1), None, ends.flip(1), flipped_valid)
    return y.flip(1)
