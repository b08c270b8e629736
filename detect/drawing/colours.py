"""A colour for each class name: the same in every picture, and well apart within one set."""

from __future__ import annotations

import colorsys
import hashlib
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

HUES = 24
TONES = ((0.95, 1.0), (0.55, 1.0), (0.95, 0.65))  # (saturation, value)
STEP = 29  # coprime to the number of candidates, so stepping visits all of them


def class_colours(names: Sequence[str]) -> np.ndarray:
    """(C, 3) uint8 RGB, one a name.

    A name's colour begins where its hash points, so that it hardly changes with the other names
    of the set or their order, and moves on while it is too near to a colour that is taken.
    The array is shared and read-only.
    """
    return _colours_of(tuple(names))


@lru_cache(maxsize=64)
def _colours_of(names: tuple[str, ...]) -> np.ndarray:
    candidates = _candidates()
    perceived = _lab(candidates)
    result = np.zeros((len(names), 3), dtype=np.uint8)
    taken: list[int] = []
    for column in sorted(range(len(names)), key=lambda c: names[c]):
        start = int.from_bytes(hashlib.sha256(names[column].encode()).digest()[:4], "big")
        choice = _first_apart(perceived, start, taken)
        taken.append(choice)
        result[column] = candidates[choice]
    result.flags.writeable = False
    return result


def text_colour(background: Sequence[int]) -> tuple[int, int, int]:
    """Black or white, whichever reads better on an RGB background (Rec. 601 luma)."""
    red, green, blue = (int(value) for value in background)
    return (0, 0, 0) if 0.299 * red + 0.587 * green + 0.114 * blue > 140 else (255, 255, 255)


def _candidates() -> np.ndarray:
    colours = [
        colorsys.hsv_to_rgb(hue / HUES, saturation, value)
        for saturation, value in TONES
        for hue in range(HUES)
    ]
    return np.round(np.array(colours) * 255).astype(np.uint8)  # (72, 3)


def _first_apart(perceived: np.ndarray, start: int, taken: list[int]) -> int:
    """The first candidate from `start` on that is far from those taken; less far if need be."""
    order = (start + STEP * np.arange(len(perceived))) % len(perceived)
    if not taken:
        return int(order[0])
    distance = np.linalg.norm(perceived[order, None] - perceived[None, taken], axis=2).min(axis=1)
    wanted = 60.0
    while wanted > 1:
        far = np.flatnonzero(distance >= wanted)
        if len(far):
            return int(order[far[0]])
        wanted *= 0.8
    return int(order[0])  # more names than colours


def _lab(colours: np.ndarray) -> np.ndarray:
    """(K, 3) uint8 sRGB -> (K, 3) CIE L*a*b* (D65), where distance is roughly what eyes see."""
    rgb = colours / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    matrix = np.array(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    )
    xyz = linear @ matrix.T / [0.9505, 1.0, 1.089]
    root = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack(
        [
            116 * root[:, 1] - 16,
            500 * (root[:, 0] - root[:, 1]),
            200 * (root[:, 1] - root[:, 2]),
        ],
        axis=1,
    )
