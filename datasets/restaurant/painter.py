"""Painting shaded, anti-aliased shapes into an RGBA picture, in the units of a scene."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np

Pair = Sequence[float] | np.ndarray  # (x, y) or (width, height)
Colour = Sequence[float] | np.ndarray  # red, green, blue in 0..255
LIGHT = np.array([-0.42, -0.52, 0.74])  # towards the lamp: left, up, out of the picture
_SHIFT = 4  # cv2's fixed-point bits: 1/16 pixel


class Painter:
    """A premultiplied RGBA picture of the region `bounds` = (x1, y1, x2, y2), y pointing down.

    scale: pixels a unit. `image` is (height, width, 4) float32, colour 0..255, alpha 0..1.
    """

    def __init__(
        self,
        bounds: tuple[float, float, float, float],
        scale: float,
        rng: np.random.Generator,
    ) -> None:
        x1, y1, x2, y2 = bounds
        self.origin = np.array([x1, y1])
        self.scale = scale
        self.rng = rng
        shape = (math.ceil((y2 - y1) * scale), math.ceil((x2 - x1) * scale), 4)
        self.image = np.zeros(shape, dtype=np.float32)

    def polygon(
        self,
        points: np.ndarray,
        colour: Colour,
        *,
        relief: float = 0.0,
        grain: float = 0.0,
        alpha: float = 1.0,
    ) -> None:
        """Fill the polygon (N, 2), given in units.

        relief: width in units of its rounded edge, 0 = flat; grain: strength of its texture as a
        share of the colour; alpha: opacity.
        """
        pixels = (np.asarray(points, dtype=np.float64) - self.origin) * self.scale
        height, width = self.image.shape[:2]
        left, top = np.clip(np.floor(pixels.min(0)).astype(int) - 2, 0, [width, height])
        right, bottom = np.clip(np.ceil(pixels.max(0)).astype(int) + 3, 0, [width, height])
        if right <= left or bottom <= top:
            return
        mask = np.zeros((bottom - top, right - left), dtype=np.uint8)
        fixed = np.round((pixels - [left, top]) * (1 << _SHIFT)).astype(np.int32)
        cv2.fillPoly(mask, [fixed], 255, cv2.LINE_AA, _SHIFT)
        shade = np.ones(mask.shape, dtype=np.float32)
        if relief:
            shade = _relief_shade(mask, float(relief * self.scale))
        if grain:
            texture = self.rng.standard_normal(mask.shape).astype(np.float32)
            shade = shade * (1 + grain * texture)
        cover = mask.astype(np.float32)[..., None] * (alpha / 255)
        region = self.image[top:bottom, left:right]
        region *= 1 - cover
        lit = np.clip(shade[..., None] * np.asarray(colour, dtype=np.float32), 0, 255)
        region[..., :3] += lit * cover
        region[..., 3:] += cover

    def shadow(self, points: np.ndarray, softness: float, darkness: float) -> None:
        """Darken what is painted already under a blurred polygon; softness in units."""
        pixels = (np.asarray(points, dtype=np.float64) - self.origin) * self.scale
        mask = np.zeros(self.image.shape[:2], dtype=np.uint8)
        fixed = np.round(pixels * (1 << _SHIFT)).astype(np.int32)
        cv2.fillPoly(mask, [fixed], 255, cv2.LINE_AA, _SHIFT)
        mask = cv2.GaussianBlur(mask, (0, 0), max(0.5, float(softness * self.scale)))
        self.image[..., :3] *= (1 - mask.astype(np.float32) * (darkness / 255))[..., None]

    def pixels(self, shrink: int) -> np.ndarray:
        """(height // shrink, width // shrink, 4) uint8, premultiplied, averaged down."""
        height, width = self.image.shape[0] // shrink, self.image.shape[1] // shrink
        picture = self.image[: height * shrink, : width * shrink]
        if shrink > 1:
            picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
        picture = picture * np.array([1, 1, 1, 255], dtype=np.float32)
        return np.clip(picture + 0.5, 0, 255).astype(np.uint8)


def _relief_shade(mask: np.ndarray, edge: float) -> np.ndarray:
    """Lambert shading of a shape whose rim is rounded over `edge` pixels; 1 where it is flat."""
    padded = cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    inside = cv2.distanceTransform((padded > 100).astype(np.uint8), cv2.DIST_L2, 3)[1:-1, 1:-1]
    depth = np.clip(inside / max(edge, 1e-6), 0, 1)
    surface = np.sqrt(depth * (2 - depth)) * edge  # a quarter circle
    surface = cv2.GaussianBlur(surface, (0, 0), max(0.4, edge * 0.15))
    slope_x = cv2.Sobel(surface, cv2.CV_32F, 1, 0, scale=0.125)
    slope_y = cv2.Sobel(surface, cv2.CV_32F, 0, 1, scale=0.125)
    length = np.sqrt(1 + slope_x**2 + slope_y**2)
    lambert = (LIGHT[2] - slope_x * LIGHT[0] - slope_y * LIGHT[1]) / length
    return (0.45 + 0.55 * np.maximum(lambert, 0) / LIGHT[2]).astype(np.float32)


def ellipse(centre: Pair, radii: Pair, angle: float = 0.0) -> np.ndarray:
    """(32, 2) outline; angle in radians."""
    turn = np.linspace(0, 2 * np.pi, 32, endpoint=False)
    outline = np.stack([np.cos(turn) * radii[0], np.sin(turn) * radii[1]], axis=1)
    return rotate(outline, angle) + np.asarray(centre)


def capsule(start: Pair, end: Pair, start_radius: float, end_radius: float) -> np.ndarray:
    """Outline of a limb: the hull of a circle around `start` and one around `end`."""
    circles = np.concatenate([ellipse(start, (start_radius,) * 2), ellipse(end, (end_radius,) * 2)])
    return cv2.convexHull(circles.astype(np.float32))[:, 0].astype(np.float64)


def rounded_box(centre: Pair, size: Pair, radius: float, angle: float = 0.0) -> np.ndarray:
    """Outline of a box of `size` (width, height) with rounded corners; angle in radians."""
    half = np.asarray(size, dtype=np.float64) / 2
    radius = min(radius, *half)
    arc = np.linspace(0, np.pi / 2, 6)
    quarter = np.stack([np.cos(arc), np.sin(arc)], axis=1) * radius
    corners = []
    for index, sign in enumerate([(1, 1), (-1, 1), (-1, -1), (1, -1)]):
        corners.append(rotate(quarter, index * np.pi / 2) + (half - radius) * sign)
    return rotate(np.concatenate(corners), angle) + np.asarray(centre)


def rotate(points: np.ndarray, angle: float) -> np.ndarray:
    """(..., 2) points turned by `angle` radians about the origin."""
    cosine, sine = math.cos(angle), math.sin(angle)
    return points @ np.array([[cosine, sine], [-sine, cosine]])
