"""The counter without hands, painted once a scene: steel, bins, meal, till, roll cutter, board."""

from __future__ import annotations

import cv2
import numpy as np

from stadet.datasets.restaurant.food import PIECES, paint_heap
from stadet.datasets.restaurant.layout import Layout, Station
from stadet.datasets.restaurant.painter import Painter, capsule, ellipse, rotate, rounded_box
from stadet.datasets.restaurant.utensils import BLACK, STEEL

MARGIN = 0.2  # counter units painted beyond the picture on every side, for cameras at an angle


def paint_counter(
    rng: np.random.Generator, layout: Layout, scale: float
) -> tuple[np.ndarray, np.ndarray]:
    """Two RGB uint8 pictures at `scale` pixels a unit, `MARGIN` beyond the counter on all sides.

    The second shows the roll cutter while somebody has its lever in hand.
    """
    fine = 2 if scale < 700 else 1
    bounds = (-MARGIN, -MARGIN, layout.aspect + MARGIN, 1 + MARGIN)
    painter = Painter(bounds, scale * fine, rng)
    _paint_steel(painter, layout)
    for station in layout.stations:
        _shadow(painter, station)
        _PAINT.get(station.kind, _paint_bin)(painter, station, layout.hand)
    _paint_clutter(painter, layout)
    lever_away = painter.pixels(fine)[..., :3].copy()
    for station in layout.of_kind("cutter"):
        _paint_lever(painter, station, layout.hand)
    return painter.pixels(fine)[..., :3].copy(), lever_away


def _paint_steel(painter: Painter, layout: Layout) -> None:
    """Brushed steel under a lamp, a dark ledge at the back, a wooden rail at the workers' edge."""
    height, width = painter.image.shape[:2]
    rng = painter.rng
    tone = np.array([176, 180, 186]) + rng.uniform(-22, 16) + rng.uniform(-6, 6, 3)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32) / painter.scale - MARGIN
    lamp = rng.uniform([0.2, 0.1], [0.8, 0.8]) * [layout.aspect, 1]
    glow = 0.86 + 0.2 * np.exp(-((x - lamp[0]) ** 2 + (y - lamp[1]) ** 2) / 0.7)
    brushed = rng.standard_normal((height, width)).astype(np.float32)
    brushed = cv2.GaussianBlur(brushed, (0, 0), sigmaX=0.06 * painter.scale, sigmaY=0.6)
    glow *= 1 + 0.035 * brushed / max(float(brushed.std()), 1e-6)
    painter.image[..., :3] = np.clip(tone.astype(np.float32) * glow[..., None], 0, 255)
    painter.image[..., 3] = 1
    wide = layout.aspect + 2 * MARGIN
    middle = layout.aspect / 2
    painter.polygon(rounded_box((middle, -0.12), (wide, 0.24), 0.0), (92, 96, 102), grain=0.03)
    rail = rounded_box((middle, 1.1), (wide, 0.2), 0.0)
    painter.shadow(rounded_box((middle, 1.08), (wide, 0.2), 0.0), 0.012, 0.4)
    painter.polygon(rail, (126, 88, 58), relief=0.02, grain=0.05)


def _shadow(painter: Painter, station: Station) -> None:
    if station.kind == "board" or station.kind == "tray":
        offset, softness = 0.012, 0.012
    else:
        offset, softness = 0.022, 0.018
    centre = np.array(station.centre) + offset
    painter.shadow(rounded_box(centre, station.size, 0.02), softness, 0.45)


def _paint_bin(painter: Painter, station: Station, hand: float) -> None:
    size, centre = np.array(station.size), np.array(station.centre)
    rim = 0.06 * size.min()
    painter.polygon(rounded_box(centre, size, 0.12 * size.min()), STEEL, relief=rim)
    painter.polygon(rounded_box(centre, size - 2 * rim, 0.1 * size.min()), (66, 68, 72))
    inside = size - 3.2 * rim
    if station.content in PIECES:
        paint_heap(painter, station.content, centre, inside, 0.46 * hand)
    elif station.content == "lid":
        for level in range(3):
            place = centre - 0.05 * hand * level
            painter.polygon(rounded_box(place, inside, 0.1 * hand), (222, 228, 232), relief=0.02)
    else:  # a holder: handles of its content
        colours = {"tongs": STEEL, "scooper": BLACK, "chopsticks": (190, 120, 60)}
        for x in np.linspace(-0.3, 0.3, 4):
            end = centre + inside * (x, -0.3)
            start = centre + inside * (0.7 * x, 0.3)
            painter.polygon(
                capsule(start, end, 0.06 * hand, 0.05 * hand),
                colours[station.content],
                relief=0.05 * hand,
            )


def _paint_tray(painter: Painter, station: Station, hand: float) -> None:
    """A lacquer tray with a bowl: rice, greens, some pieces, always about as full."""
    size, centre = np.array(station.size), np.array(station.centre)
    painter.polygon(rounded_box(centre, size, 0.14 * size.min()), (74, 28, 28), relief=0.02)
    painter.polygon(rounded_box(centre, 0.88 * size, 0.12 * size.min()), (52, 20, 22))
    radius = 0.42 * size.min()
    painter.polygon(ellipse(centre, (radius, radius)), (238, 234, 226), relief=0.3 * radius)
    painter.polygon(ellipse(centre, (0.82 * radius,) * 2), (206, 200, 190))
    for kind in ("rice",) * 9 + tuple(painter.rng.choice(sorted(PIECES), 8)):
        turn, reach = painter.rng.uniform(0, 2 * np.pi), np.sqrt(painter.rng.uniform())
        spot = centre + 0.6 * radius * reach * np.array([np.cos(turn), np.sin(turn)])
        piece = 0.3 * hand if kind not in ("rice", "seaweed") else 0.24 * hand
        PIECES[kind](painter, spot, piece, painter.rng.uniform(0, np.pi))


def _paint_pos(painter: Painter, station: Station, hand: float) -> None:
    size, centre = np.array(station.size), np.array(station.centre)
    painter.polygon(rounded_box(centre, size, 0.08 * size.min()), BLACK, relief=0.02)
    painter.polygon(rounded_box(centre, 0.88 * size, 0.02), (36, 60, 96))
    colours = [(84, 150, 214), (92, 184, 120), (232, 184, 66), (214, 92, 84), (188, 196, 206)]
    cell = 0.84 * size / (4, 3)
    for row in range(3):
        for column in range(4):
            place = centre + (np.array([column - 1.5, row - 1.0])) * cell
            colour = colours[painter.rng.integers(len(colours))]
            painter.polygon(rounded_box(place, 0.84 * cell, 0.1 * cell.min()), colour)
    painter.polygon(
        rounded_box(centre - (0, 0.36 * size[1]), (0.8 * size[0], 0.06 * size[1]), 0),
        (220, 228, 236),
    )


def _paint_cutter(painter: Painter, station: Station, hand: float) -> None:
    size, centre = np.array(station.size), np.array(station.centre)
    painter.polygon(rounded_box(centre, size, 0.1 * size.min()), (214, 216, 220), relief=0.03)
    painter.polygon(
        rounded_box(centre, (0.8 * size[0], 0.62 * size[1]), 0.03), (120, 126, 134), relief=0.015
    )
    for x in np.linspace(-0.34, 0.34, 9):
        place = centre + size * (x, 0)
        painter.polygon(rounded_box(place, (0.02 * size[0], 0.56 * size[1]), 0), (70, 74, 80))
    painter.polygon(ellipse(centre + 0.42 * size * (1, -1), (0.012,) * 2), (60, 200, 90))


def _paint_lever(painter: Painter, station: Station, hand: float) -> None:
    centre = np.array(station.centre)
    for x in (-0.36, 0.36):
        post = centre + np.array([x * hand, 0])
        painter.polygon(capsule(post, post - (0, 0.45 * hand), 0.05 * hand, 0.05 * hand), STEEL)
    bar = rounded_box(centre, (0.92 * hand, 0.17 * hand), 0.08 * hand)
    painter.shadow(bar + 0.05 * hand, 0.05 * hand, 0.35)
    painter.polygon(bar, (206, 46, 40), relief=0.07 * hand)


def _paint_board(painter: Painter, station: Station, hand: float) -> None:
    painter.polygon(
        rounded_box(station.centre, station.size, 0.03), (204, 162, 108), relief=0.015, grain=0.04
    )
    for y in np.linspace(-0.4, 0.4, 7):
        place = np.array(station.centre) + np.array([0, y * station.size[1]])
        grain = rounded_box(place, (0.94 * station.size[0], 0.006), 0)
        painter.polygon(grain, (178, 136, 86), alpha=0.6)


def _paint_clutter(painter: Painter, layout: Layout) -> None:
    """Crumbs and, sometimes, a phone or a folded cloth that lie about unused."""
    rng = painter.rng
    for _ in range(60):
        spot = rng.uniform([0, 0.35], [layout.aspect, 1.0])
        painter.polygon(
            ellipse(spot, rng.uniform(0.002, 0.006, 2), rng.uniform(0, 3)),
            rng.uniform(0.5, 1.0) * np.array([238, 226, 190]) + rng.uniform(-20, 15, 3),
            alpha=0.8,
        )
    size = np.array([0.46, 0.9]) * layout.hand
    spot = rng.uniform([0.08, 0.86], [0.6, 0.93]) * [layout.aspect, 1]
    angle = rng.uniform(0.9, 2.2)
    if rng.uniform() < 0.5:
        painter.shadow(rounded_box(spot + 0.006, size, 0.01, angle), 0.006, 0.4)
        painter.polygon(
            rounded_box(spot, size, 0.07 * layout.hand, angle), (26, 26, 30), relief=0.006
        )
    else:
        cloth = np.array([1.1, 0.6]) * layout.hand
        painter.shadow(rounded_box(spot + 0.006, cloth, 0.01, angle), 0.006, 0.4)
        painter.polygon(
            rounded_box(spot, cloth, 0.03, angle), (222, 222, 216), relief=0.01, grain=0.03
        )
        fold = spot + rotate(np.array([0.0, 0.1 * layout.hand]), angle)
        painter.polygon(rounded_box(fold, (0.9 * cloth[0], 0.008), 0, angle), (170, 172, 170))


_PAINT = {
    "tray": _paint_tray,
    "pos": _paint_pos,
    "cutter": _paint_cutter,
    "board": _paint_board,
}
