"""Tools and other things in a hand. Units as in `arm`: hand lengths, wrist at 0, ahead is -y."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from stadet.datasets.restaurant.painter import Painter, capsule, ellipse, rounded_box

STEEL = (196, 200, 206)
BLACK = (38, 38, 42)


@dataclass(frozen=True)
class Utensil:
    """focus: distance of its working point ahead of the wrist; paint: puts it into a picture."""

    focus: float
    paint: Callable[[Painter], None]


def _tongs(p: Painter) -> None:
    for side in (-1, 1):
        p.polygon(
            capsule((side * 0.1, -0.3), (side * 0.15, -0.95), 0.05, 0.045), STEEL, relief=0.05
        )
        p.polygon(
            capsule((side * 0.15, -0.95), (side * 0.1, -1.4), 0.05, 0.065), STEEL, relief=0.05
        )


def _scooper(p: Painter) -> None:
    p.polygon(capsule((0, -0.2), (0, -1.0), 0.06, 0.045), BLACK, relief=0.05)
    p.polygon(ellipse((0, -1.28), (0.36, 0.34)), STEEL, relief=0.12)
    p.polygon(ellipse((0, -1.28), (0.28, 0.26)), (150, 154, 160))


def _phone(p: Painter) -> None:
    p.polygon(rounded_box((0.02, -0.62), (0.46, 0.9), 0.07), (26, 26, 30), relief=0.04)
    p.polygon(rounded_box((0.02, -0.62), (0.39, 0.78), 0.02), (96, 160, 232))
    for row in range(4):
        width = 0.28 - 0.05 * (row % 2)
        p.polygon(rounded_box((-0.02, -0.9 + 0.17 * row), (width, 0.08), 0.03), (228, 238, 250))


def _cloth(p: Painter) -> None:
    turn = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    radius = 0.58 + 0.06 * np.sin(5 * turn) + 0.04 * np.cos(9 * turn)
    outline = np.stack([radius * np.cos(turn), -0.62 + 0.85 * radius * np.sin(turn)], axis=1)
    p.polygon(outline, (86, 148, 206), relief=0.12, grain=0.05)
    for y in (-0.95, -0.75, -0.35):
        p.polygon(rounded_box((0.05, y), (0.8, 0.045), 0.02, 0.25), (228, 234, 240), alpha=0.8)


def _knife(p: Painter) -> None:
    p.polygon(capsule((0, -0.15), (0, -0.7), 0.06, 0.055), (70, 44, 30), relief=0.05)
    blade = np.array([[-0.07, -0.7], [0.09, -0.7], [0.1, -1.35], [0.0, -1.62], [-0.07, -1.4]])
    p.polygon(blade, (214, 218, 224), relief=0.04)


def _lever(p: Painter) -> None:
    p.polygon(rounded_box((0, -0.5), (0.92, 0.17), 0.08), (206, 46, 40), relief=0.07)
    p.polygon(capsule((-0.36, -0.5), (-0.36, -0.95), 0.05, 0.05), STEEL, relief=0.05)
    p.polygon(capsule((0.36, -0.5), (0.36, -0.95), 0.05, 0.05), STEEL, relief=0.05)


def _roll(p: Painter) -> None:
    p.polygon(rounded_box((0, -0.7), (1.3, 0.44), 0.2), (34, 48, 34), relief=0.2, grain=0.12)
    for end in (-0.62, 0.62):
        p.polygon(ellipse((end, -0.7), (0.08, 0.19)), (238, 234, 224))
        p.polygon(ellipse((end, -0.7), (0.04, 0.09)), (240, 130, 80))


def _bottle(p: Painter) -> None:
    p.polygon(capsule((0, -0.3), (0, -0.85), 0.22, 0.22), (206, 60, 36), relief=0.2)
    p.polygon(capsule((0, -1.0), (0, -1.24), 0.11, 0.04), (240, 226, 210), relief=0.06)


def _shaker(p: Painter) -> None:
    p.polygon(rounded_box((0, -0.75), (0.36, 0.6), 0.08), (226, 214, 176), relief=0.12)
    p.polygon(rounded_box((0, -1.06), (0.4, 0.16), 0.06), STEEL, relief=0.06)
    for x in (-0.1, 0.0, 0.1):
        p.polygon(ellipse((x, -1.06), (0.02, 0.02)), BLACK)


def _spray(p: Painter) -> None:
    p.polygon(capsule((0, -0.4), (0, -0.72), 0.24, 0.2), (120, 204, 214), relief=0.2)
    p.polygon(rounded_box((0, -0.98), (0.16, 0.42), 0.05), (242, 242, 244), relief=0.06)
    p.polygon(rounded_box((0, -1.2), (0.3, 0.13), 0.04), (226, 50, 60), relief=0.05)


def _pen(p: Painter) -> None:
    p.polygon(capsule((0.12, -0.3), (-0.12, -1.0), 0.035, 0.03), (30, 60, 180), relief=0.03)
    p.polygon(capsule((-0.12, -1.0), (-0.14, -1.07), 0.022, 0.008), BLACK)


def _spoon(p: Painter) -> None:
    p.polygon(capsule((0, -0.2), (0, -1.1), 0.04, 0.04), (170, 120, 72), relief=0.04)
    p.polygon(ellipse((0, -1.28), (0.17, 0.24)), (184, 132, 82), relief=0.1)


def _card(p: Painter) -> None:
    p.polygon(rounded_box((0.03, -0.72), (0.54, 0.36), 0.05), (214, 164, 44), relief=0.03)
    p.polygon(rounded_box((0.03, -0.8), (0.54, 0.08), 0.0), (54, 44, 40))


def _cash(p: Painter) -> None:
    for angle in (-0.25, 0.0, 0.25):
        p.polygon(
            rounded_box((0.05, -0.72), (0.7, 0.34), 0.02, angle), (126, 164, 112), relief=0.02
        )
        p.polygon(ellipse((0.05, -0.72), (0.1, 0.1)), (92, 132, 88))


def _cup(p: Painter) -> None:
    p.polygon(ellipse((0.03, -0.66), (0.3, 0.3)), (244, 240, 234), relief=0.07)
    p.polygon(ellipse((0.03, -0.66), (0.24, 0.24)), (92, 54, 30))
    p.polygon(ellipse((-0.04, -0.74), (0.08, 0.05)), (150, 104, 70))


def _napkin(p: Painter) -> None:
    p.polygon(rounded_box((0, -0.75), (0.98, 0.8), 0.03, 0.08), (246, 244, 238), relief=0.03)
    p.polygon(rounded_box((0, -0.75), (0.03, 0.76), 0.0, 0.08), (206, 204, 198))


def _foil(p: Painter) -> None:
    p.polygon(
        rounded_box((0, -0.75), (1.35, 0.95), 0.1, -0.05), (202, 206, 212), relief=0.1, grain=0.1
    )
    for x in (-0.45, -0.15, 0.2, 0.5):
        p.polygon(rounded_box((x, -0.75), (0.035, 0.8), 0.01, 0.4 * x), (246, 248, 250), alpha=0.7)


def _lid(p: Painter) -> None:
    p.polygon(rounded_box((0, -1.05), (0.95, 0.7), 0.14), (226, 232, 236), relief=0.09, alpha=0.9)
    p.polygon(rounded_box((0, -1.05), (0.72, 0.5), 0.1), (240, 244, 246), relief=0.05, alpha=0.8)


def _plate(p: Painter) -> None:
    p.polygon(ellipse((0, -1.2), (0.56, 0.56)), (240, 238, 232), relief=0.1)
    p.polygon(ellipse((0, -1.2), (0.38, 0.38)), (222, 220, 214))
    p.polygon(ellipse((0.05, -1.22), (0.22, 0.18)), (220, 120, 70), relief=0.08)


def _chopsticks(p: Painter) -> None:
    for x in (-0.05, 0.06):
        p.polygon(capsule((x, -0.35), (x * 1.8, -1.7), 0.032, 0.02), (190, 120, 60), relief=0.03)


UTENSILS: dict[str, Utensil] = {
    "tongs": Utensil(1.38, _tongs),
    "scooper": Utensil(1.28, _scooper),
    "phone": Utensil(0.62, _phone),
    "cloth": Utensil(0.62, _cloth),
    "knife": Utensil(1.2, _knife),
    "lever": Utensil(0.5, _lever),
    "roll": Utensil(0.7, _roll),
    "bottle": Utensil(1.2, _bottle),
    "shaker": Utensil(1.1, _shaker),
    "spray": Utensil(1.2, _spray),
    "pen": Utensil(1.05, _pen),
    "spoon": Utensil(1.28, _spoon),
    "card": Utensil(0.7, _card),
    "cash": Utensil(0.7, _cash),
    "cup": Utensil(0.66, _cup),
    "napkin": Utensil(0.75, _napkin),
    "foil": Utensil(0.75, _foil),
    "lid": Utensil(1.05, _lid),
    "plate": Utensil(1.2, _plate),
    "chopsticks": Utensil(1.2, _chopsticks),
}
HELD_OVER_PALM = frozenset({"phone", "card", "cash", "cup"})
