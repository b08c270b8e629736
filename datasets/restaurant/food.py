"""Ingredients: one piece of each, as it lies in a bin, on a meal or in a hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from stadet.datasets.restaurant.painter import Painter, ellipse, rotate, rounded_box

Piece = Callable[[Painter, np.ndarray, float, float], None]


def _cube(colour: Sequence[float], streak: Sequence[float] | None = None) -> Piece:
    def paint(painter: Painter, centre: np.ndarray, size: float, angle: float) -> None:
        painter.polygon(
            rounded_box(centre, (size, 0.82 * size), 0.16 * size, angle),
            colour,
            relief=0.22 * size,
            grain=0.05,
        )
        for offset in (-0.22, 0.0, 0.22) if streak is not None else ():
            middle = centre + rotate(np.array([offset * size, 0.0]), angle)
            line = rounded_box(middle, (0.06 * size, 0.6 * size), 0.03 * size, angle + 0.5)
            painter.polygon(line, streak, alpha=0.75)

    return paint


def _slice(rim: Sequence[float], flesh: Sequence[float], core: Sequence[float]) -> Piece:
    def paint(painter: Painter, centre: np.ndarray, size: float, angle: float) -> None:
        for share, colour in ((0.5, rim), (0.42, flesh), (0.16, core)):
            radii = (share * size, 0.86 * share * size)
            relief = 0.12 * size if share == 0.5 else 0.0
            painter.polygon(ellipse(centre, radii, angle), colour, relief=relief, grain=0.03)

    return paint


def _stick(colour: Sequence[float], stripe: Sequence[float] | None = None) -> Piece:
    def paint(painter: Painter, centre: np.ndarray, size: float, angle: float) -> None:
        for row in (-0.22, 0.02, 0.25):
            tilt = angle + row
            middle = centre + rotate(np.array([0.0, row * size]), angle)
            painter.polygon(
                rounded_box(middle, (size, 0.22 * size), 0.07 * size, tilt),
                colour,
                relief=0.1 * size,
                grain=0.04,
            )
            if stripe is not None:
                painter.polygon(
                    rounded_box(middle, (0.9 * size, 0.08 * size), 0.03 * size, tilt), stripe
                )

    return paint


def _rice(painter: Painter, centre: np.ndarray, size: float, angle: float) -> None:
    painter.polygon(
        ellipse(centre, (0.5 * size, 0.44 * size), angle), (236, 233, 222), relief=0.3 * size
    )
    for _ in range(26):
        turn, reach = painter.rng.uniform(0, 2 * np.pi), 0.44 * np.sqrt(painter.rng.uniform())
        grain = centre + size * reach * np.array([np.cos(turn), np.sin(turn)])
        painter.polygon(
            ellipse(grain, (0.085 * size, 0.04 * size), painter.rng.uniform(0, np.pi)),
            (252, 250, 243),
            relief=0.04 * size,
        )


def _seaweed(painter: Painter, centre: np.ndarray, size: float, angle: float) -> None:
    painter.polygon(
        rounded_box(centre, (1.25 * size, 1.05 * size), 0.05 * size, angle),
        (30, 44, 30),
        relief=0.05 * size,
        grain=0.22,
    )


PIECES: dict[str, Piece] = {
    "tuna": _cube((176, 38, 48), (206, 96, 96)),
    "salmon": _cube((245, 133, 76), (255, 208, 172)),
    "avocado": _slice((66, 98, 40), (170, 196, 92), (222, 216, 130)),
    "cucumber": _slice((38, 92, 44), (196, 222, 158), (228, 236, 196)),
    "mango": _cube((250, 190, 46)),
    "carrot": _stick((238, 120, 28)),
    "crab": _stick((246, 238, 230), (222, 66, 50)),
    "beet": _cube((124, 26, 84)),
    "rice": _rice,
    "seaweed": _seaweed,
}


_SPREAD = {"seaweed": 1.3}  # share of its width by which a piece keeps clear of the rim


def paint_heap(
    painter: Painter, kind: str, centre: np.ndarray, size: np.ndarray, piece: float
) -> None:
    """Fill the box `size` around `centre` with many pieces of the width `piece`."""
    if kind == "seaweed":  # its sheets are cut large
        piece = 0.6 * float(size.min())
    area = float(size[0] * size[1]) / piece**2
    for _ in range(int(np.clip(4.5 * area, 14, 320))):
        spot = centre + painter.rng.uniform(-0.5, 0.5, 2) * np.maximum(
            size - _SPREAD.get(kind, 0.6) * piece, 0
        )
        PIECES[kind](painter, spot, piece, painter.rng.uniform(0, np.pi))
