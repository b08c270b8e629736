"""Tiny labelled videos: frame folders whose brightness, or its course, is the class."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np


def write_frames(folder: Path, levels, size=(16, 24)) -> Path:
    """A frame folder, one grey level a frame."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, level in enumerate(levels, 1):
        image = np.full((*size, 3), int(level), np.uint8)
        cv2.imwrite(str(folder / f"{index:05d}.png"), image)
    return folder


def write_classes(root: Path, videos=4, frames=8, sides=("train", "val"), seed=0) -> Path:
    """`ROOT/side/bright|dark/g0_v0`: two classes that one frame tells; groups of two videos."""
    rng = np.random.default_rng(seed)
    for side in sides:
        for name, level in (("bright", 200), ("dark", 50)):
            for video in range(videos):
                levels = level + rng.integers(-20, 20, size=frames)
                write_frames(root / side / name / f"{side}{video // 2}_{name}{video}", levels)
    return root
