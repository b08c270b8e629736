"""Weights that make rare classes count more in a loss."""

from __future__ import annotations

import numpy as np


def class_weights(counts: np.ndarray, power: float) -> list[float]:
    """(mean count / count) ** power for each class; classes without examples weigh 1.

    counts: (C,) examples of each class on the training side; the mean is over classes that have
    some. power: 0 = all alike, 1 = as if all classes were equally common.
    """
    counts = np.asarray(counts, dtype=np.float64)
    if not counts.any():
        return [1.0] * len(counts)
    mean = counts[counts > 0].mean()
    return np.where(counts > 0, (mean / counts.clip(1)) ** power, 1.0).tolist()
