"""Clips in arrays (keypoint sets) as labelled videos with frames and keypoints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stadet.datasets.labelled.keypoints import KeypointSet, read_keypoint_set
from stadet.datasets.labelled.labelled_video import SIDES, ClassificationSet, LabelledVideo
from stadet.detect.batch import PADDING
from stadet.engine.errors import UserError


@dataclass(frozen=True, eq=False)
class ArrayClips:
    """Sides of a keypoint set; the clip `train/00012` is row 12 of side train. Can be pickled (the
    arrays are memory maps)."""

    sides: Mapping[str, KeypointSet]

    def read_frame(self, name: str, index: int) -> np.ndarray:
        """(H, W, 3) uint8 RGB; floats as [0, 1] where none exceeds 1, else as 0 to 255."""
        side, row = _parse(name)
        frame = np.asarray(self.sides[side].frames[row, index])
        if frame.dtype == np.uint8:
            return frame
        scale = 255 if frame.max(initial=0) <= 1 else 1
        return np.clip(np.rint(frame * scale), 0, 255).astype(np.uint8)

    def read_keypoints(self, name: str, frames: tuple[int, ...]) -> np.ndarray:
        """(T, K) float32, zeros on padding."""
        side, row = _parse(name)
        keypoints = self.sides[side].keypoints[row]
        out = np.zeros((len(frames), keypoints.shape[1]), dtype=np.float32)
        for step, index in enumerate(frames):
            if index != PADDING:
                out[step] = keypoints[index]
        return out


def read_array_clips(root: Path) -> tuple[ClassificationSet, ArrayClips]:
    """A keypoint set's sides as one classification set. UserError where the sides do not agree on
    their classes, or none is there."""
    root = Path(root)
    if not root.is_dir():
        raise UserError(f"{root}: expected the folder of a keypoint set, found nothing; check it")
    present = [side for side in SIDES if any(root.rglob(f"y_{side}.npy"))]
    sides = {side: read_keypoint_set(root, side) for side in present}
    if not sides:
        raise UserError(f"{root}: expected y_train.npy and its arrays, found none")
    names = {found.names for found in sides.values()}
    if len(names) > 1:
        raise UserError(f"{root}: the sides have different classes; use one label_encoder.json")
    items = tuple(
        LabelledVideo(f"{side}/{row:05d}", root, int(label), f"{side}/{row:05d}", side)
        for side, found in sides.items()
        for row, label in enumerate(found.labels)
    )
    return ClassificationSet(names.pop(), items), ArrayClips(sides)


def _parse(name: str) -> tuple[str, int]:
    side, _, row = name.partition("/")
    return side, int(row)
