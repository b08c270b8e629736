"""Augmentation that imitates a moving camera, on top of `stadet.datasets.clips.augment`.

The hand-gesture thesis turns and crops every frame of a clip by a draw of its own; the
hand-washing report shifts a clip sideways; the action-recognition report mirrors upside down.
albumentations does the work; all draws come from the clip's seed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from stadet.engine.errors import UserError
from stadet.engine.host import import_albumentations


@dataclass(frozen=True)
class CameraMotionConfig:
    """Shaking of the camera, added to training clips; zeros switch a part off.

    Attributes:
        chance: probability that a clip is changed at all.
        rotation: most that each frame is turned, degrees, drawn for each frame.
        crop: largest share of the sides that each frame loses, at a place of its own.
        translation: most that the clip moves sideways, as a share of the width.
        vertical_flip: probability that the clip is upside down.
    """

    chance: float = 0.5
    rotation: float = 0.0
    crop: float = 0.0
    translation: float = 0.0
    vertical_flip: float = 0.0

    def __post_init__(self) -> None:
        for name in ("chance", "crop", "translation", "vertical_flip"):
            if not 0 <= getattr(self, name) <= (1 if name in ("chance", "vertical_flip") else 0.9):
                raise UserError(
                    f"motion.{name}: expected a share from 0 to 1, found {getattr(self, name)}"
                )
        if not 0 <= self.rotation <= 180:
            raise UserError(f"motion.rotation: expected 0 to 180 degrees, found {self.rotation}")

    @property
    def active(self) -> bool:
        shaken = self.chance and (self.rotation or self.crop or self.translation)
        return bool(shaken or self.vertical_flip)


def move_camera(
    frames: np.ndarray, config: CameraMotionConfig, rng: np.random.Generator
) -> np.ndarray:
    """(T, H, W, 3) uint8 frames as a moving camera would see them, the same shape."""
    if not config.active:
        return frames
    whole_clip, each_frame = _pipelines(config, frames.shape[1:3])
    seeds = rng.integers(2**31, size=2)
    shaken = rng.random() < config.chance
    if whole_clip is not None:
        whole_clip.set_random_seed(int(seeds[0]))
        frames = whole_clip(images=frames)["images"]
    if each_frame is not None and shaken:
        each_frame.set_random_seed(int(seeds[1]))
        frames = np.stack([each_frame(image=frame)["image"] for frame in frames])
    return frames


@lru_cache(maxsize=8)
def _pipelines(config: CameraMotionConfig, size: tuple[int, int]) -> tuple[Any, Any]:
    """(one draw for the clip, one draw a frame); None where nothing is to be done."""
    A = import_albumentations()
    import cv2

    height, width = size
    whole, each = [], []
    if config.translation:
        shift = {"x": (-config.translation, config.translation), "y": (0.0, 0.0)}
        whole.append(A.Affine(translate_percent=shift, p=config.chance))
    if config.vertical_flip:
        whole.append(A.VerticalFlip(p=config.vertical_flip))
    if config.rotation:
        # mirrored beyond the edge: no black corners that would tell an augmented clip
        each.append(
            A.Rotate((-config.rotation, config.rotation), border_mode=cv2.BORDER_REFLECT_101, p=1)
        )
    if config.crop:
        kept = 1 - config.crop
        each += [
            A.RandomCrop(max(1, round(height * kept)), max(1, round(width * kept)), p=1),
            A.Resize(height, width, p=1),
        ]
    return (A.Compose(whole) if whole else None, A.Compose(each) if each else None)
