"""Action sequences: the stretches of footage that a recurrent model trains on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stadet.detect.clock import Clock
from stadet.engine.errors import UserError

TICKS_A_SECOND = 200.0  # of videos whose rate varies; finer than any frame


@dataclass(frozen=True)
class ActionSequence:
    """Frames start..stop - 1 of a video, to be streamed in order.

    repeats: how often an epoch shows it; reversible: it may be shown backwards.
    """

    video: str
    start: int
    stop: int
    repeats: int = 1
    reversible: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.stop or self.repeats < 1:
            raise ValueError(
                f"ActionSequence of {self.video}: expected 0 <= start < stop and repeats >= 1, "
                f"found {self.start}, {self.stop}, {self.repeats}"
            )

    def __len__(self) -> int:
        return self.stop - self.start


@dataclass
class SequenceConfig:
    """Cutting of sequences from videos, in seconds.

    The defaults are those of the restaurant report (docs/references.md) at 30 frames a second.

    Attributes:
        pad: footage before and after the actions.
        merge: pauses up to this length stay inside a sequence. Frames that nobody looked at do not
            count, as long as the whole pause is at most `shortest`.
        shortest: shorter sequences are extended where there is footage.
        longest: longer sequences are cut.
        overlap: footage shared by the pieces of a cut sequence.
    """

    pad: float = 1.0
    merge: float = 1.0
    shortest: float = 100 / 30
    longest: float = 1000 / 30
    overlap: float = 1.0

    def __post_init__(self) -> None:
        if min(self.pad, self.merge, self.overlap) < 0 or self.shortest <= 0:
            raise UserError("sequences: expected pad, merge, overlap >= 0 and shortest > 0")
        if self.longest < self.shortest or self.longest <= self.overlap:
            raise UserError(
                f"sequences: expected longest >= shortest and > overlap, found longest "
                f"{self.longest}, shortest {self.shortest}, overlap {self.overlap} s"
            )


def action_sequences(
    has_action: np.ndarray,
    looked_at: np.ndarray,
    clock: Clock | float,
    config: SequenceConfig | None = None,
    *,
    allowed: np.ndarray | None = None,
) -> list[tuple[int, int]]:
    """(start, stop) of the sequences of one video, in order; they may overlap.

    has_action, looked_at: (F,) bool; an action on a frame nobody looked at does not count.
    clock: of the video, or its frames a second.
    allowed: (F,) bool, frames that may be shown at all (those that no other side of a split
    holds), looked at or not; a sequence lies within one run of them. By default these are the
    looked-at frames. A run shorter than `shortest` is taken whole.
    """
    config = config or SequenceConfig()
    has_action, looked_at = np.asarray(has_action, bool), np.asarray(looked_at, bool)
    allowed = looked_at if allowed is None else np.asarray(allowed, bool)
    if not has_action.shape == looked_at.shape == allowed.shape or has_action.ndim != 1:
        raise ValueError(
            f"expected three (F,) arrays, found {has_action.shape}, {looked_at.shape}, "
            f"{allowed.shape}"
        )
    if isinstance(clock, Clock) and clock.times is not None:
        return _by_ticks(has_action, looked_at, clock, config, allowed)
    fps = clock.fps if isinstance(clock, Clock) else clock
    pad, merge, overlap = (round(s * fps) for s in (config.pad, config.merge, config.overlap))
    shortest, longest = (max(1, round(s * fps)) for s in (config.shortest, config.longest))
    found = []
    for first, last in runs(allowed):
        actions = runs((has_action & looked_at)[first:last])
        for start, stop in _merge(actions, merge, looked_at[first:last], max(merge, shortest)):
            start, stop = _extend(start - pad, stop + pad, shortest, last - first)
            found += [(first + a, first + b) for a, b in _cut(start, stop, longest, overlap)]
    return found


def _by_ticks(
    has_action: np.ndarray,
    looked_at: np.ndarray,
    clock: Clock,
    config: SequenceConfig,
    allowed: np.ndarray,
) -> list[tuple[int, int]]:
    """`action_sequences` where the rate varies: cut on even ticks of time, each of which shows one
    frame, and brought back to whole frames."""
    count = max(1, math.ceil(float(clock.seconds(len(looked_at))) * TICKS_A_SECOND))
    frame = clock.frame_at(np.arange(count) / TICKS_A_SECOND)
    flags = (has_action[frame], looked_at[frame])
    spans = action_sequences(*flags, TICKS_A_SECOND, config, allowed=allowed[frame])
    return [(int(frame[start]), int(frame[stop - 1]) + 1) for start, stop in spans]


def runs(flags: np.ndarray) -> list[tuple[int, int]]:
    """(start, stop) of each run of True in a (F,) bool array."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def repeat_factors(labels: np.ndarray, threshold: float) -> np.ndarray:
    """Showings of each of N sequences, so that rare classes come up: (N,) int64, at least 1.

    labels: (N, C) bool, the classes in each. A class in a share f of the sequences asks for
    sqrt(threshold / f) showings (LVIS, arXiv 1908.03195), a sequence for what its rarest class
    asks; rounded, so that every epoch has the same number of steps. threshold 0: no balancing.
    """
    labels = np.asarray(labels, dtype=bool)
    share = labels.mean(axis=0) if len(labels) else np.zeros(labels.shape[1])
    wanted = np.sqrt(threshold / np.maximum(share, 1e-9))
    return np.rint(np.where(labels, wanted, 1).max(axis=1, initial=1)).astype(np.int64)


def _merge(
    parts: Sequence[tuple[int, int]], gap: int, looked_at: np.ndarray, longest_gap: int
) -> list[tuple[int, int]]:
    """Join parts with at most `gap` looked-at frames and `longest_gap` frames between them."""
    merged: list[tuple[int, int]] = []
    for start, stop in parts:
        pause = looked_at[merged[-1][1] : start] if merged else looked_at
        if merged and pause.sum() <= gap and len(pause) <= longest_gap:
            merged[-1] = (merged[-1][0], stop)
        else:
            merged.append((start, stop))
    return merged


def _extend(start: int, stop: int, shortest: int, length: int) -> tuple[int, int]:
    """Grow evenly to `shortest`, then shift and clip into [0, length)."""
    missing = max(0, shortest - (min(stop, length) - max(start, 0)))
    start, stop = max(start, 0), min(stop, length)
    start, stop = start - missing // 2, stop + missing - missing // 2
    shift = max(0, -start) - max(0, stop - length)
    return max(0, start + shift), min(length, stop + shift)


def _cut(start: int, stop: int, longest: int, overlap: int) -> list[tuple[int, int]]:
    """Pieces of one length, at most `longest`, sharing at least `overlap` frames."""
    length = stop - start
    if length <= longest:
        return [(start, stop)]
    overlap = min(overlap, longest - 1)
    count = math.ceil((length - overlap) / (longest - overlap))
    firsts = np.linspace(start, stop - longest, count).round().astype(int)
    return [(int(a), int(a) + longest) for a in firsts]
