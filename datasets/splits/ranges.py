"""Sets of frames as boolean masks and as inclusive ranges."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np


def mask_to_ranges(mask: np.ndarray) -> list[list[int]]:
    """(F,) bool to its maximal runs of True as `[first, last]`, both inclusive."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return [[int(a), int(b) - 1] for a, b in zip(edges[::2], edges[1::2], strict=True)]


def ranges_to_mask(ranges: Iterable[Sequence[int]], num_frames: int) -> np.ndarray:
    """Inclusive `[first, last]` ranges to (num_frames,) bool. ValueError outside the video."""
    mask = np.zeros(num_frames, dtype=bool)
    for first, last in ranges:
        if not 0 <= first <= last < num_frames:
            raise ValueError(f"expected 0 <= first <= last < {num_frames}, found [{first}, {last}]")
        mask[first : last + 1] = True
    return mask
