"""A camera over the counter: perspective, colour, slow changes of light, sensor noise."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

# Where the corners of the counter (top left, top right, bottom right, bottom left) appear, as
# shares of the picture's width and height.
_CORNERS = {
    "front": np.array([[0.01, 0.0], [0.99, 0.0], [1.01, 1.01], [-0.01, 1.01]]),
    "side": np.array([[0.05, 0.05], [1.02, -0.02], [1.07, 1.04], [-0.06, 0.98]]),
}
_TINTS = {"front": (1.0, 1.0, 1.0), "side": (1.07, 1.0, 0.9)}
_NOISE_SIDE = 64  # spare pixels of the noise sheet, from which each frame takes another part


@dataclass(frozen=True, eq=False)
class Camera:
    """One view of one scene.

    size: (height, width) in pixels. matrix (3, 3): counter units to pixels, pixel (0, 0) covering
    [0, 1). gains (F, 3): red, green, blue on each frame. gamma: of the sensor. noise: sheets of
    what to add and what to subtract, uint8. offsets (F, 2): the part of the sheets each frame uses.
    """

    size: tuple[int, int]
    matrix: np.ndarray
    gains: np.ndarray
    gamma: float
    noise: tuple[np.ndarray, np.ndarray]
    offsets: np.ndarray

    @classmethod
    def draw(
        cls,
        rng: np.random.Generator,
        view: str,
        size: tuple[int, int],
        frames: int,
        fps: float,
        *,
        variety: float,
        drift: float,
        noise: float,
    ) -> Camera:
        """Draw a camera of the named view ("front" or "side") for a scene of `frames` frames."""
        height, width = size
        seen = (_CORNERS[view] + variety * rng.uniform(-0.02, 0.02, (4, 2))) * [width, height]
        aspect = width / height
        counter = np.array([[0, 0], [aspect, 0], [aspect, 1], [0, 1]])
        matrix = cv2.getPerspectiveTransform(counter.astype(np.float32), seen.astype(np.float32))
        tint = np.array(_TINTS[view]) * (1 + variety * rng.uniform(-0.05, 0.05, 3))
        sheet = rng.normal(0, noise, (height + _NOISE_SIDE, width + _NOISE_SIDE, 3))
        add = np.clip(np.round(sheet), 0, 255).astype(np.uint8)
        subtract = np.clip(np.round(-sheet), 0, 255).astype(np.uint8)
        return cls(
            size,
            matrix,
            tint * _light(rng, frames, fps, drift),
            float(1 + variety * rng.uniform(-0.12, 0.12)),
            (add, subtract),
            rng.integers(0, _NOISE_SIDE, (frames, 2)),
        )

    def project(self, points: np.ndarray) -> np.ndarray:
        """(..., 2) points in counter units to (..., 2) continuous pixels."""
        flat = np.asarray(points, dtype=np.float64).reshape(1, -1, 2)
        return cv2.perspectiveTransform(flat, self.matrix).reshape(np.shape(points))

    def shoot(self, canvas: np.ndarray, scale: float, margin: float, frame: int) -> np.ndarray:
        """(height, width, 3) uint8: `canvas` (RGB, `scale` pixels a counter unit, its corner at
        -margin) as this camera records it on `frame`."""
        to_units = np.array([[1 / scale, 0, -margin], [0, 1 / scale, -margin], [0, 0, 1]])
        centre = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])  # index -> pixel centre
        matrix = np.linalg.inv(centre) @ self.matrix @ to_units @ centre
        height, width = self.size
        picture = cv2.warpPerspective(
            canvas,
            matrix,
            (width, height),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        tones = (np.arange(256) / 255.0)[:, None] ** self.gamma * self.gains[frame]
        table = np.clip(np.round(255 * tones), 0, 255).astype(np.uint8)
        picture = cv2.LUT(picture, np.ascontiguousarray(table[None]))
        top, left = self.offsets[frame]
        part = (slice(top, top + height), slice(left, left + width))
        return cv2.subtract(cv2.add(picture, self.noise[0][part]), self.noise[1][part])


def _light(rng: np.random.Generator, frames: int, fps: float, drift: float) -> np.ndarray:
    """(F, 3) slow gains around 1: brightness, and at a third of its strength warm against cold."""
    time = np.arange(frames) / fps
    waves = np.zeros((2, frames))
    for row in waves:
        for period in rng.uniform(9, 45, 3):
            row += np.sin(2 * np.pi * (time / period + rng.uniform())) / 3
    warm = np.array([1.0, 0.0, -1.0])
    return 1 + drift * (waves[0][:, None] + waves[1][:, None] * warm / 3)
