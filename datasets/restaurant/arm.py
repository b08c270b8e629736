"""A worker's arm, hand, tool and carried item, seen from above, as one picture.

Units are hand lengths; the wrist is at (0, 0) and the hand points to -y. The *focus* of a look is
the point that does the work (a fingertip, the end of the tongs): paths move the focus.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import cv2
import numpy as np

from stadet.datasets.restaurant.classes import Look
from stadet.datasets.restaurant.food import PIECES
from stadet.datasets.restaurant.painter import Colour, Painter, capsule, ellipse, rounded_box
from stadet.datasets.restaurant.utensils import HELD_OVER_PALM, UTENSILS

ITEM_SIZE = 0.5  # hand lengths: width of a carried item
_REACH = (-1.15, -2.0, 1.15)  # left, top, right bounds of any look
_RADII = (0.066, 0.07, 0.066, 0.056)  # index, middle, ring, little finger

# (knuckle, tip) of the four fingers, then of the thumb
_Finger = tuple[tuple[float, float], tuple[float, float]]
POSES: dict[str, tuple[_Finger, ...]] = {
    "open": (
        ((-0.15, -0.44), (-0.25, -0.84)),
        ((-0.05, -0.48), (-0.07, -0.95)),
        ((0.06, -0.47), (0.10, -0.92)),
        ((0.15, -0.42), (0.25, -0.76)),
        ((-0.16, -0.14), (-0.41, -0.45)),
    ),
    "flat": (
        ((-0.15, -0.44), (-0.17, -0.84)),
        ((-0.05, -0.48), (-0.05, -0.95)),
        ((0.055, -0.47), (0.065, -0.91)),
        ((0.15, -0.42), (0.17, -0.77)),
        ((-0.16, -0.16), (-0.34, -0.5)),
    ),
    "pinch": (
        ((-0.15, -0.42), (-0.09, -0.74)),
        ((-0.05, -0.46), (-0.01, -0.79)),
        ((0.06, -0.45), (0.07, -0.74)),
        ((0.15, -0.39), (0.14, -0.64)),
        ((-0.16, -0.14), (-0.2, -0.64)),
    ),
    "grip": (
        ((-0.15, -0.4), (-0.05, -0.6)),
        ((-0.05, -0.43), (0.02, -0.6)),
        ((0.06, -0.42), (0.08, -0.57)),
        ((0.15, -0.37), (0.13, -0.5)),
        ((-0.16, -0.14), (-0.13, -0.54)),
    ),
    "point": (
        ((-0.13, -0.44), (-0.12, -0.97)),
        ((-0.04, -0.45), (0.02, -0.58)),
        ((0.06, -0.44), (0.08, -0.56)),
        ((0.15, -0.39), (0.14, -0.5)),
        ((-0.16, -0.14), (-0.14, -0.48)),
    ),
    "hold": (
        ((0.2, -0.34), (0.25, -0.62)),
        ((0.21, -0.28), (0.27, -0.5)),
        ((0.2, -0.2), (0.26, -0.4)),
        ((0.19, -0.12), (0.23, -0.3)),
        ((-0.19, -0.16), (-0.2, -0.6)),
    ),
}
_POSE_FOCUS = {"open": 0.5, "flat": 0.6, "pinch": 0.86, "grip": 0.55, "point": 1.0, "hold": 0.7}


@dataclass(frozen=True)
class Worker:
    """Colours of one worker. left: a left hand (mirrored)."""

    skin: Colour
    sleeve: Colour
    glove: Colour | None = None
    left: bool = False


@dataclass(frozen=True, eq=False)
class ArmPicture:
    """rgba (h, w, 4) uint8 premultiplied; shade (h, w) uint8, how much shadow it throws; scale:
    pixels a hand length; origin (2,): the wrist in pixels; focus (2,) in pixels."""

    rgba: np.ndarray
    shade: np.ndarray
    scale: float
    origin: np.ndarray
    focus: np.ndarray


def focus_of(look: Look) -> np.ndarray:
    """(2,) the focus of a look in hand lengths."""
    return np.array([0.0, -reach_of(look)])


def reach_of(look: Look) -> float:
    """Distance from the wrist to the focus in hand lengths."""
    held = look.tool or (look.item if look.item in UTENSILS else None)
    return UTENSILS[held].focus if held else _POSE_FOCUS[look.pose]


@functools.lru_cache(maxsize=256)
def outline_of(look: Look, left: bool) -> np.ndarray:
    """(K, 2) convex outline of hand, tool and item (no forearm) in hand lengths, about the focus.

    This is what an annotator draws a box around.
    """
    scale = 96.0
    painter = Painter((*_REACH, 0.2), scale, np.random.default_rng(0))
    plain = Worker((200, 150, 120), (80, 80, 80), None, left)
    _paint_hand(painter, look, plain)
    mask = (painter.image[..., 3] > 0.5).astype(np.uint8)
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    hull = cv2.convexHull(np.concatenate(contours))[:, 0].astype(np.float64) + 0.5
    points = hull / scale + painter.origin
    if left:
        points[:, 0] *= -1
    return points - focus_of(look)


def paint_arm(look: Look, worker: Worker, scale: float, length: float) -> ArmPicture:
    """Paint a look at `scale` pixels a hand length, with `length` hand lengths of arm."""
    fine = 3 if scale < 90 else 2 if scale < 180 else 1
    painter = Painter((*_REACH, length), scale * fine, np.random.default_rng(0))
    _paint_forearm(painter, worker, length)
    _paint_hand(painter, look, worker)
    rgba = painter.pixels(fine)
    origin = -painter.origin * scale
    focus = origin + focus_of(look) * scale
    if worker.left:
        rgba = np.ascontiguousarray(rgba[:, ::-1])
        origin, focus = (np.array([rgba.shape[1] - p[0], p[1]]) for p in (origin, focus))
    shade = cv2.GaussianBlur(rgba[..., 3], (0, 0), max(0.6, 0.07 * scale))
    return ArmPicture(rgba, cv2.multiply(shade, 0.45), scale, origin, focus)


def _paint_forearm(painter: Painter, worker: Worker, length: float) -> None:
    skin = worker.glove or worker.skin
    painter.polygon(
        capsule((0, -0.05), (0.0, 1.2), 0.165, 0.25), worker.skin, relief=0.14, grain=0.012
    )
    if worker.glove is not None:  # a cuff
        painter.polygon(rounded_box((0, 0.06), (0.42, 0.26), 0.06), skin, relief=0.05)
    painter.polygon(capsule((0, 1.15), (0, length), 0.31, 0.48), worker.sleeve, relief=0.24)
    dark = [0.72 * c for c in worker.sleeve]
    for fold in np.arange(1.5, length, 0.62):
        side = 0.12 * np.sin(7 * fold)
        painter.polygon(
            rounded_box((side, fold), (0.44, 0.05), 0.025, 0.3 * np.cos(5 * fold)), dark, alpha=0.5
        )
    painter.polygon(rounded_box((0, 0.96), (0.62, 0.16), 0.06), dark, relief=0.06)


def _paint_hand(painter: Painter, look: Look, worker: Worker) -> None:
    colour = worker.glove or worker.skin
    utensil = UTENSILS[look.tool] if look.tool else None
    scoops = look.tool == "scooper"  # its load lies on it, other tools close over theirs
    if utensil and scoops:
        utensil.paint(painter)
    if look.item in PIECES:
        PIECES[look.item](painter, focus_of(look) + np.array([0, -0.06]), ITEM_SIZE, 0.35)
    elif look.item:
        UTENSILS[look.item].paint(painter)
    if utensil and not scoops and look.tool not in HELD_OVER_PALM:
        utensil.paint(painter)
    painter.polygon(rounded_box((0, -0.23), (0.42, 0.54), 0.15), colour, relief=0.13, grain=0.012)
    if utensil and look.tool in HELD_OVER_PALM:
        utensil.paint(painter)
    *fingers, thumb = POSES[look.pose]
    painter.polygon(capsule(thumb[0], thumb[1], 0.085, 0.062), colour, relief=0.07, grain=0.012)
    for (knuckle, tip), radius in zip(fingers, _RADII, strict=True):
        shape = capsule(knuckle, tip, radius * 1.05, radius * 0.88)
        painter.polygon(shape, [0.93 * c for c in colour], relief=0.062, grain=0.012)
    if worker.glove is None:
        pale = [min(255, 1.12 * c + 8) for c in worker.skin]
        for _, tip in POSES[look.pose]:
            painter.polygon(ellipse(tip, (0.032, 0.04)), pale, alpha=0.8)
