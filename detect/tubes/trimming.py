"""Trimming of paths to their actions, by two-state labelling of the boxes."""

from __future__ import annotations

import numpy as np


def trim(scores: np.ndarray, switch_cost: float) -> list[tuple[int, int]]:
    """Stretches [first, stop) of a path in which the action takes place.

    scores: (L,) of the path's boxes for one class, positive. Each box is labelled action (unary
    s / peak) or background (unary 1 - s / peak) so that the sum of the unaries minus `switch_cost`
    a change of label is greatest: Viterbi over two states, as in Saha et al. 2016 (eq. 2), where
    peak is 1. Here it is the mean of the highest quarter of the scores, so that a detector which is
    never sure is trimmed like one that is. Where no box is labelled action the path is left whole.
    """
    count = len(scores)
    if not count:
        return []
    top = max(1, count // 4)
    peak = float(np.partition(scores, count - top)[count - top :].mean())
    gains = 2 * scores / peak - 1  # action over background
    if -gains.clip(max=0).sum() <= switch_cost:  # what could be won by leaving does not pay for it
        return [(0, count)]
    return _runs(_label(gains.tolist(), switch_cost)) or [(0, count)]


def _label(gains: list[float], switch_cost: float) -> list[bool]:
    """Best labels; background has unary 0 and action its gain. A tie stays in its state."""
    action = background = 0.0
    came_from: list[tuple[bool, bool]] = []  # was it action before: (if background now, if action)
    for gain in gains:
        stays, leaves = action >= background - switch_cost, action - switch_cost > background
        came_from.append((leaves, stays))
        action, background = (
            (action if stays else background - switch_cost) + gain,
            action - switch_cost if leaves else background,
        )
    state = action >= background
    labels = []
    for leaves, stays in reversed(came_from):
        labels.append(state)
        state = stays if state else leaves
    return labels[::-1]


def _runs(labels: list[bool]) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.array([False, *labels, False])))
    return [(int(first), int(stop)) for first, stop in edges.reshape(-1, 2)]
