"""Cutting one actor's track into stretches of one class each."""

from __future__ import annotations

import numpy as np


def cut_by_class(
    scores: np.ndarray, background: float, switch_cost: float
) -> list[tuple[int, int, int]]:
    """The best labelling of consecutive frames by one class or none, changed seldom.

    Of all labellings, the one of highest sum of the labels' scores, with `background` for a frame
    of no class, less `switch_cost` for every change from one frame to the next (Viterbi 1967; the
    two-state form is the trimming of Saha et al. 2016).

    Args:
        scores: (L, C) of each class.
        background: score of a frame without a class.
        switch_cost: cost of a change.

    Returns:
        (first, stop, class) of each stretch in order, stop exclusive; frames without a class are in
        none.
    """
    length, classes = scores.shape
    if not length:
        return []
    gains = np.concatenate([scores, np.full((length, 1), background)], axis=1)
    total = gains[0].copy()
    before = np.zeros((length, classes + 1), dtype=np.int64)
    for frame in range(1, length):
        best = int(total.argmax())
        stay = total >= total[best] - switch_cost
        before[frame] = np.where(stay, np.arange(classes + 1), best)
        total = np.where(stay, total, total[best] - switch_cost) + gains[frame]
    labels = np.empty(length, dtype=np.int64)
    labels[-1] = total.argmax()
    for frame in range(length - 1, 0, -1):
        labels[frame - 1] = before[frame, labels[frame]]
    starts = np.flatnonzero(np.r_[True, np.diff(labels) != 0])
    stops = np.r_[starts[1:], length]
    return [
        (int(first), int(stop), int(labels[first]))
        for first, stop in zip(starts, stops, strict=True)
        if labels[first] < classes
    ]
