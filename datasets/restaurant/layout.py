"""Layout of a counter.

Counter units: a picture height is 1, x runs from 0 to the aspect (width / height), y points down.
Bins and other containers are along the top, each in a lane of its own down to the workers at the
bottom; the meal has a lane next to them, the till and the roll cutter are at the far side.
So the place tells the actions at a bin from those at a meal, and only the direction tells the two
actions of a pair apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stadet.datasets.restaurant.classes import FOOD, ClassSet


@dataclass(frozen=True)
class Station:
    """A place of work.

    Attributes:
        kind: as in `ActionClass.station`.
        content: an ingredient, or empty.
        centre: (x, y) in counter units.
        size: (width, height) in counter units.
    """

    kind: str
    content: str
    centre: tuple[float, float]
    size: tuple[float, float]


@dataclass(frozen=True)
class Layout:
    """aspect: width / height of the picture; hand: hand length; stations; mirrored: left and
    right exchanged."""

    aspect: float
    hand: float
    stations: tuple[Station, ...]
    mirrored: bool

    def of_kind(self, kind: str) -> list[Station]:
        return [station for station in self.stations if station.kind == kind]

    @classmethod
    def draw(
        cls,
        rng: np.random.Generator,
        aspect: float,
        hand: float,
        classes: ClassSet,
        variety: float,
    ) -> Layout:
        """Draw a counter that has what `classes` need."""
        wanted = {action.station for action in classes.actions}
        stations = _containers(rng, aspect, hand, wanted, variety)

        def jitter(amount: float) -> np.ndarray:
            return rng.uniform(-amount, amount, 2) * variety

        board = min(2.3 * hand, 0.22 * aspect)
        fixed = [
            ("tray", (0.67 * aspect, 0.34), (min(1.75 * hand, 0.2 * aspect), 1.5 * hand)),
            ("pos", (0.89 * aspect, 0.27), (min(1.7 * hand, 0.19 * aspect), 1.35 * hand)),
            ("cutter", (0.87 * aspect, 0.66), (min(1.7 * hand, 0.19 * aspect), 1.25 * hand)),
            ("board", (0.30 * aspect, 0.68), (board, 0.7 * board)),
        ]
        for kind, centre, size in fixed:
            if kind == "board" and kind not in wanted:
                continue
            place = np.array(centre) + jitter(0.035)
            stations.append(Station(kind, "", tuple(place), size))
        mirrored = bool(rng.uniform() < 0.5 * variety)
        if mirrored:
            stations = [
                Station(s.kind, s.content, (aspect - s.centre[0], s.centre[1]), s.size)
                for s in stations
            ]
        return cls(aspect, hand, tuple(stations), mirrored)


def _containers(
    rng: np.random.Generator, aspect: float, hand: float, wanted: set[str], variety: float
) -> list[Station]:
    """Bins and holders in one row, or two where hands are small."""
    special = {
        "rice bin": "rice",
        "seaweed bin": "seaweed",
        "tongs holder": "tongs",
        "scooper holder": "scooper",
        "chopsticks holder": "chopsticks",
        "lid stack": "lid",
    }
    kinds = [(kind, content) for kind, content in special.items() if kind in wanted]
    left, right = 0.02 * aspect, 0.56 * aspect
    rows = 2 if hand < 0.15 else 1
    fitting = max(2, int((right - left) / (1.3 * hand)))
    count = max(rows * fitting, len(kinds) + 2)
    per_row = -(-count // rows)
    foods = rng.permutation(FOOD)
    for index in range(per_row * rows - len(kinds)):
        kinds.append(("bin", str(foods[index % len(foods)])))
    kinds = [kinds[i] for i in rng.permutation(len(kinds))]
    width = (right - left) / per_row
    height = min(1.5 * hand, 0.3)
    top = 0.05 + 0.03 * variety * rng.uniform()
    shift = 0.02 * aspect * variety * rng.uniform(-1, 1)
    return [
        Station(
            kind,
            content,
            (left + width * (i % per_row + 0.5) + shift, top + height * (i // per_row + 0.5)),
            (0.92 * width, 0.9 * height),
        )
        for i, (kind, content) in enumerate(kinds)
    ]
