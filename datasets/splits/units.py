"""Cutting footage into units that stay together, and distributing units over sides."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stadet.detect.structures import VideoAnnotations

_TICK = 1e-6  # seconds: a frame on a boundary belongs to what begins there


def cut_blocks(group: Sequence[VideoAnnotations], block_seconds: float) -> list[np.ndarray]:
    """Block number of every frame, (F,) for each video of a group that shows the same time."""
    return [np.floor((_times(video) + _TICK) / block_seconds).astype(np.int64) for video in group]


def cut_clips(group: Sequence[VideoAnnotations]) -> list[np.ndarray]:
    """Clip number of every frame: actions that overlap in time in any view are one clip, and the
    pause between two clips is shared at its middle."""
    spans = sorted(span for video in group for span in _action_spans(video))
    if not spans:
        return [np.zeros(video.num_frames, np.int64) for video in group]
    boundaries, end = [], spans[0][1]
    for start, stop in spans[1:]:
        if start > end + _TICK:
            boundaries.append((start + end) / 2)
        end = max(end, stop)
    return [np.searchsorted(boundaries, _times(video) + _TICK, side="right") for video in group]


def cut_videos(group: Sequence[VideoAnnotations]) -> list[np.ndarray]:
    """The whole group is one unit."""
    return [np.zeros(video.num_frames, np.int64) for video in group]


def deal(presence: np.ndarray, shares: Sequence[float], seed: int) -> np.ndarray:
    """Side (U,) of each unit; presence (U, L) bool says which labels it holds.

    Every side of a share above 0 gets at least one unit while there are enough, the first side
    first. Labels are served from the rarest; each of its units goes to the side that lacks the
    label most and still has room.
    """
    count, _ = presence.shape
    rng = np.random.default_rng(seed)
    room = _portions(count, shares)
    lacking = np.array([_portions(int(n), shares) for n in presence.sum(axis=0)], dtype=np.int64)
    side_of = np.full(count, -1)
    order = rng.permutation(count)
    while len(order):
        remaining = presence[order].sum(axis=0)
        label = int(np.where(remaining > 0, remaining, count + 1).argmin())
        holds = presence[order, label]
        for unit in order[holds]:
            open_sides = np.flatnonzero(room > 0)
            wanted = lacking[label, open_sides]
            best = open_sides[wanted == wanted.max()]
            side = best[room[best].argmax()]
            side_of[unit] = side
            room[side] -= 1
            lacking[presence[unit], side] -= 1
        order = order[~holds]
    return side_of


def _portions(count: int, shares: Sequence[float]) -> np.ndarray:
    """`count` in whole portions by `shares`; every share above 0 gets one while there are enough,
    earlier sides first."""
    share = np.asarray(shares, dtype=np.float64) / sum(shares)
    portions = np.floor(share * count + 1e-9).astype(np.int64)
    rest = share * count - portions
    for side in np.argsort(-rest, kind="stable")[: count - portions.sum()]:
        portions[side] += 1
    wanting = [side for side in np.flatnonzero(share > 0) if portions[side] == 0]
    for side in wanting:
        richest = int(portions.argmax())
        if portions[richest] > 1:
            portions[richest] -= 1
            portions[side] += 1
    return portions


def _times(video: VideoAnnotations) -> np.ndarray:
    return video.clock.seconds(np.arange(video.num_frames))


def _action_spans(video: VideoAnnotations) -> list[tuple[float, float]]:
    """[start, stop) in seconds of the maximal runs of frames with a box."""
    frames = np.unique(video.frames)
    if not len(frames):
        return []
    runs = np.split(frames, np.flatnonzero(np.diff(frames) > 1) + 1)
    seconds = video.clock.seconds
    return [(float(seconds(run[0])), float(seconds(run[-1] + 1))) for run in runs]
