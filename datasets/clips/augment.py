"""Augmentation of clips: one draw for all frames of a clip, from a seed that the sampler gives.

Geometry is a `View` (zoom, aspect, shift, mirror), so boxes follow by the same map that brings
detections back to the video; colour, blur and noise are albumentations on all frames at once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from stadet.detect.boxes import area, clip_boxes
from stadet.detect.view import View
from stadet.engine.errors import UserError
from stadet.engine.host import import_albumentations


@dataclass(frozen=True)
class AugmentConfig:
    """Random changes of training clips; all frames of a clip change alike.

    A zoom of (1, 1) and probabilities of 0 switch a part off.

    Attributes:
        zoom: (least, most) magnification of the frame.
        aspect: most that one side is stretched against the other (0.1 = by 10%).
        shift: how far from the centre the view may go, as a share of the room there is.
        flip: probability of a mirrored clip.
        colour: probability of a change of brightness and contrast, and of one of hue and
            saturation.
        brightness: largest change, as a share.
        contrast: largest change, as a share.
        hue: largest change, degrees of 180.
        saturation: largest change, of 255.
        blur: probability of a blur.
        noise: probability of noise.
        min_visible: boxes of which a smaller share of the area stays in view are dropped.
    """

    zoom: tuple[float, float] = (0.8, 1.4)
    aspect: float = 0.15
    shift: float = 1.0
    flip: float = 0.5
    colour: float = 0.8
    brightness: float = 0.25
    contrast: float = 0.25
    hue: float = 9.0
    saturation: float = 50.0
    blur: float = 0.05
    noise: float = 0.1
    min_visible: float = 0.3

    def __post_init__(self) -> None:
        object.__setattr__(self, "zoom", tuple(self.zoom))  # hashable, also from YAML's list
        low, high = self.zoom
        if not 0 < low <= high:
            raise UserError(f"augment.zoom: expected 0 < least <= most, found {self.zoom}")
        for name in ("shift", "flip", "colour", "blur", "noise", "min_visible"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(
                    f"augment.{name}: expected a share from 0 to 1, found {getattr(self, name)}"
                )
        for name in ("aspect", "brightness", "contrast", "hue", "saturation"):
            if getattr(self, name) < 0:
                raise UserError(f"augment.{name}: expected 0 or more, found {getattr(self, name)}")


def draw_view(base: View, config: AugmentConfig, rng: np.random.Generator) -> View:
    """A zoomed, stretched, shifted and perhaps mirrored variant of `base`.

    Zoomed in, the network sees a part of `base` and nothing around it; zoomed out, all of it.
    """
    zoom = np.exp(rng.uniform(*np.log(config.zoom)))
    stretch = np.exp(rng.uniform(-1, 1) * np.log1p(config.aspect) / 2)
    position = 0.5 + config.shift * rng.uniform(-0.5, 0.5, size=2)  # (y, x), 0.5 = centred
    flip = rng.random() < config.flip
    factor = np.array([zoom / stretch, zoom * stretch])  # (y, x)
    offset = factor * base.offset + position * (1 - factor) * base.network_size
    scale = factor * base.scale
    view = replace(
        base,
        scale=(float(scale[0]), float(scale[1])),
        offset=(float(offset[0]), float(offset[1])),
    )
    return view.flipped() if flip else view


def visible_boxes(
    boxes: np.ndarray, view: View, min_visible: float
) -> tuple[np.ndarray, np.ndarray]:
    """(N, 4) xyxy video pixels to (M, 4) xyxy network pixels inside the view, and which: (N,) bool.

    Kept are boxes of which more than nothing, and at least `min_visible` of the area, is seen.
    """
    whole = view.to_network(boxes)
    seen = clip_boxes(whole, view.network_size)
    share = np.divide(area(seen), area(whole), out=np.zeros(len(whole)), where=area(whole) > 0)
    keep = (share > 0) & (share >= min_visible)
    return seen[keep], keep


def recolour(frames: np.ndarray, config: AugmentConfig, rng: np.random.Generator) -> np.ndarray:
    """(T, H, W, 3) uint8 frames under one draw of colour, blur and noise for all of them.

    The draw depends on the generator only, not on how many frames there are.
    """
    seed = int(rng.integers(2**31))
    if not (config.colour or config.blur or config.noise):
        return frames
    pipeline = _pipeline(config)
    pipeline.set_random_seed(seed)
    return pipeline(images=frames)["images"]


@lru_cache(maxsize=4)
def _pipeline(config: AugmentConfig) -> Any:
    A = import_albumentations()
    return A.Compose(
        [
            A.RandomBrightnessContrast(config.brightness, config.contrast, p=config.colour),
            A.HueSaturationValue(config.hue, config.saturation, 0, p=config.colour),
            A.GaussianBlur(blur_limit=(3, 5), p=config.blur),
            A.GaussNoise(std_range=(0.01, 0.04), p=config.noise),
        ]
    )
