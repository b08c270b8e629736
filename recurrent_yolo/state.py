"""Recurrent states as values: nested dataclasses, tuples and dicts of tensors, lane first.

A model's *state* is what its `forward` takes and returns; it is opaque to whoever carries it. (The
training loop's *carry* is another thing: what a training step hands to the next one.) These few
functions are all that anybody does to states.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import torch
from torch import Tensor

State = Any  # None, a tensor, or a dataclass, tuple, list or dict of states


@dataclass(frozen=True, eq=False)
class Past:
    """Earlier frames of each lane's stream.

    Attributes:
        frames: (B, depth, ...), the newest last; anything before a stream's first frame.
        seen: (B,) int64, frames since the stream began.
    """

    frames: Tensor
    seen: Tensor


@dataclass(frozen=True, eq=False)
class BlockState:
    """The state of one temporal block.

    Attributes:
        cell: the recurrence's, a tuple over layers of tuples of (B, hidden, h, w); None where
            nothing is carried.
        past: features of earlier frames, for differences; None without them.
    """

    cell: tuple[tuple[Tensor, ...], ...] | None = None
    past: Past | None = None


_KINDS = {tuple(entry.name for entry in fields(kind)): kind for kind in (Past, BlockState)}


def map_state(function: Callable[..., Any], state: State, *others: State) -> State:
    """`function` on every tensor of `state` (with those at the same place in `others`)."""
    if state is None:
        return None
    if isinstance(state, Tensor):
        return function(state, *others)
    if isinstance(state, dict):
        return {key: map_state(function, state[key], *(o[key] for o in others)) for key in state}
    if is_dataclass(state):
        return type(state)(
            *(
                map_state(function, part, *(getattr(other, name) for other in others))
                for name, part in parts_of(state)
            )
        )
    parts = zip(state, *others, strict=True)
    return type(state)(map_state(function, *part) for part in parts)


def parts_of(state: State) -> Iterator[tuple[Any, State]]:
    """Content of a dataclass, dict, tuple or list of states, with names or places."""
    if is_dataclass(state):
        return ((entry.name, getattr(state, entry.name)) for entry in fields(state))
    return iter(state.items() if isinstance(state, dict) else enumerate(state))


def to_plain(state: State) -> State:
    """The same state in dicts, tuples and tensors alone, for checkpoints."""
    if state is None or isinstance(state, Tensor):
        return state
    plain = {key: to_plain(part) for key, part in parts_of(state)}
    return plain if isinstance(state, dict) or is_dataclass(state) else tuple(plain.values())


def from_plain(plain: State) -> State:
    """Inverse of `to_plain`."""
    if plain is None or isinstance(plain, Tensor):
        return plain
    if isinstance(plain, dict):
        parts = {key: from_plain(part) for key, part in plain.items()}
        kind = _KINDS.get(tuple(parts))
        return parts if kind is None else kind(**parts)
    return tuple(from_plain(part) for part in plain)


def detach(state: State) -> State:
    """The same values outside the graph, so that no gradient crosses into earlier windows."""
    return map_state(Tensor.detach, state)


def where(lanes: Tensor, chosen: State, otherwise: State) -> State:
    """`chosen` in the lanes (B,) bool that are set, `otherwise` elsewhere.

    A selection, not a product: what is not chosen may be NaN without harm, in value and gradient.
    """

    def select(a: Tensor, b: Tensor) -> Tensor:
        return torch.where(lanes.view(-1, *[1] * (a.ndim - 1)), a, b)

    return map_state(select, chosen, otherwise)


def finite_lanes(state: State) -> Tensor | None:
    """(B,) bool: lanes whose floating-point values are all finite; None if there are none."""
    found: list[Tensor] = []

    def look(tensor: Tensor) -> None:
        if tensor.is_floating_point() and tensor.numel():
            found.append(tensor.isfinite().flatten(1).all(1))

    map_state(look, state)
    return torch.stack(found).all(0) if found else None


def starts_at(starts_stream: Tensor | None, step: int) -> Tensor | None:
    """(B,) lanes whose stream begins at frame `step` of the window, None where no lane can.

    starts_stream: (B,) for the window's first frame, or (B, T) for each of its frames.
    """
    if starts_stream is None or (starts_stream.ndim == 1 and step > 0):
        return None
    return starts_stream if starts_stream.ndim == 1 else starts_stream[:, step]


def starts_by_frame(starts_stream: Tensor | None, batch: int, steps: int, like: Tensor) -> Tensor:
    """`starts_stream` as (B, T) bool on the device of `like`."""
    if starts_stream is not None and starts_stream.ndim == 2:
        return starts_stream
    flags = torch.zeros(batch, steps, dtype=torch.bool, device=like.device)
    if starts_stream is not None:
        flags[:, 0] = starts_stream
    return flags
