"""Fewest keyframes from which linear interpolation, as CVAT's, restores a track."""

from __future__ import annotations

import numpy as np

CHUNK = 64  # frames first looked ahead at once; doubled as long as an interpolation holds


def keyframes(boxes: np.ndarray, tolerance: float, fixed: np.ndarray | None = None) -> np.ndarray:
    """The fewest boxes of a gapless run from which linear interpolation restores all others.

    A line from box i to box j holds if its slope lies, in each coordinate, between
    (b_k - tolerance - b_i) / (k - i) and (b_k + tolerance - b_i) / (k - i) for every k between:
    the interval of slopes shrinks as j grows, so that all j of one i are tested in one pass. The
    fewest lines from the first to the last box are a shortest path (after Imai and Iri 1988,
    with the error taken at the same frame): no other choice of
    keyframes has fewer.

    Args:
        boxes: (L, 4) of consecutive frames.
        tolerance: the largest error that is allowed, pixels a side.
        fixed: (L,) bool, boxes that have to be keyframes.

    Returns:
        (L,) bool; the first and the last box are always keyframes.
    """
    count = len(boxes)
    keep = np.zeros(count, dtype=bool)
    if not count:
        return keep
    ends = [0, count - 1] if fixed is None else [0, *np.flatnonzero(fixed).tolist(), count - 1]
    stops = np.unique(ends)
    keep[stops] = True
    for first, last in zip(stops[:-1].tolist(), stops[1:].tolist(), strict=True):
        keep[first + np.array(_fewest(boxes[first : last + 1], tolerance))] = True
    return keep


def interpolated(boxes: np.ndarray, key: np.ndarray) -> np.ndarray:
    """What linear interpolation between the keyframes of a run (L, 4) makes of it."""
    at = np.flatnonzero(key)
    every = np.arange(len(boxes))
    return np.stack([np.interp(every, at, column[at]) for column in boxes.T], axis=1)


def _fewest(boxes: np.ndarray, tolerance: float) -> list[int]:
    """Places of the keyframes of one run, its ends among them."""
    count = len(boxes)
    lines = np.full(count, np.iinfo(np.int64).max)  # from the first box to each
    lines[0] = 0
    before = np.zeros(count, dtype=np.int64)
    for i in range(count - 1):
        for reached in _reach(boxes, i, tolerance):
            better = reached[lines[reached] > lines[i] + 1]
            lines[better] = lines[i] + 1
            before[better] = i
    places = [count - 1]
    while places[-1]:
        places.append(int(before[places[-1]]))
    return places[::-1]


def _reach(boxes: np.ndarray, i: int, tolerance: float):
    """Yields the boxes (K,) that a line from box i may lead to, in parts."""
    low = np.full(boxes.shape[1], -np.inf)
    high = np.full(boxes.shape[1], np.inf)
    start, size = i + 1, CHUNK
    while start < len(boxes):
        part = np.arange(start, min(start + size, len(boxes)))
        away = (part - i)[:, None]
        rise = boxes[part] - boxes[i]
        lows = np.maximum.accumulate(np.concatenate([low[None], (rise - tolerance) / away]))
        highs = np.minimum.accumulate(np.concatenate([high[None], (rise + tolerance) / away]))
        slope = rise / away
        # the boxes between are those before: row k of lows and highs is without box k itself
        holds = ((slope >= lows[:-1]) & (slope <= highs[:-1])).all(axis=1)
        if part[0] == i + 1:
            holds[0] = True
        yield part[holds]
        low, high = lows[-1], highs[-1]
        if (low > high).any():
            return
        start, size = start + size, 2 * size
