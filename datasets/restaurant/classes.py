"""The actions of the generated restaurant, the most frequent first, and what tells them apart.

The names follow the restaurant report. A *transfer* moves an item between a container and the
worker; its two directions are exact time reversals of each other, so no single
frame can tell them. Every other action is told by one frame: by tool, pose and place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

FOOD = ("tuna", "salmon", "avocado", "cucumber", "mango", "carrot", "crab", "beet")


@dataclass(frozen=True)
class Look:
    """Look of a hand: a pose of `arm.POSES`, a tool and a carried item."""

    pose: str
    tool: str | None = None
    item: str | None = None


BARE = Look("open")


@dataclass(frozen=True)
class ActionClass:
    """One class.

    kind: `transfer` (container <-> worker), `across` (past the counter from side to side) or
    `operate` (stays at a place). station: where it happens. pose, tool: the hand while it acts.
    items: what it may carry. motion: how an operating hand moves. forward: a transfer out of its
    container (across: to the right) is forward, its reversal is not.
    """

    name: str
    kind: str
    station: str
    pose: str
    tool: str | None = None
    items: tuple[str, ...] = ()
    motion: str = ""
    forward: bool = True
    reverse: str | None = None
    flip: str | None = None


def _transfer(
    out: str, back: str, station: str, tool: str | None, items: tuple[str, ...], *, put_first=False
) -> tuple[ActionClass, ...]:
    pose = "pinch" if tool is None else "grip"
    pair = (
        ActionClass(out, "transfer", station, pose, tool, items, forward=True, reverse=back),
        ActionClass(back, "transfer", station, pose, tool, items, forward=False, reverse=out),
    )
    return pair[::-1] if put_first else pair


def _across(right: str, left: str, item: str) -> tuple[ActionClass, ...]:
    return (
        ActionClass(right, "across", "counter", "pinch", None, (item,), "", True, left, left),
        ActionClass(left, "across", "counter", "pinch", None, (item,), "", False, right, right),
    )


def _operate(name: str, station: str, pose: str, tool: str | None, motion: str):
    return (ActionClass(name, "operate", station, pose, tool, (), motion),)


# One row a group: a pair of reversals or a single class. The first six rows are the demo's 8.
_GROUPS: tuple[tuple[ActionClass, ...], ...] = (
    _transfer("pick up from bin with tongs", "put back in bin with tongs", "bin", "tongs", FOOD),
    _transfer(
        "take item from meal using hands",
        "put item into meal using hands",
        "tray",
        None,
        FOOD,
        put_first=True,
    ),
    _operate("operating POS", "pos", "point", None, "tap"),
    _operate("operating roll cutter", "cutter", "grip", "lever", "slide"),
    _operate("using a phone", "counter", "hold", "phone", "hover"),
    _operate("wiping the counter", "counter", "flat", "cloth", "circle"),
    _transfer(
        "take item from meal using tongs",
        "put item into meal using tongs",
        "tray",
        "tongs",
        FOOD,
        put_first=True,
    ),
    _transfer(
        "pick up rice from bin with scooper",
        "put rice back in bin with scooper",
        "rice bin",
        "scooper",
        ("rice",),
    ),
    _operate("rolling a sushi burrito", "board", "flat", "roll", "slide"),
    _transfer(
        "take rice from meal with scooper",
        "put rice into meal with scooper",
        "tray",
        "scooper",
        ("rice",),
        put_first=True,
    ),
    _transfer("take tongs from holder", "put tongs back in holder", "tongs holder", "tongs", ()),
    _operate("cutting with a knife", "board", "grip", "knife", "slide"),
    _transfer("pick up from bin using hands", "put back in bin using hands", "bin", None, FOOD),
    _operate("pouring sauce on meal", "tray", "grip", "bottle", "circle"),
    _transfer("pick up seaweed sheet", "put back seaweed sheet", "seaweed bin", None, ("seaweed",)),
    _operate("sprinkling sesame on meal", "tray", "grip", "shaker", "shake"),
    _transfer("take lid from stack", "put lid back on stack", "lid stack", None, ("lid",)),
    _operate("spraying the counter", "counter", "grip", "spray", "hover"),
    _across("pass plate to the right", "pass plate to the left", "plate"),
    _operate("writing on a ticket", "board", "grip", "pen", "shake"),
    _transfer(
        "take scooper from holder", "put scooper back in holder", "scooper holder", "scooper", ()
    ),
    _operate("scanning a card", "pos", "hold", "card", "hover"),
    _transfer(
        "take chopsticks from holder",
        "put chopsticks back in holder",
        "chopsticks holder",
        None,
        ("chopsticks",),
    ),
    _operate("stirring the meal with a spoon", "tray", "grip", "spoon", "circle"),
    _operate("folding a napkin", "board", "flat", "napkin", "shake"),
    _operate("holding a cup", "counter", "hold", "cup", "hover"),
    _operate("counting cash", "counter", "hold", "cash", "shake"),
    _operate("wrapping the meal in foil", "board", "flat", "foil", "hover"),
)

CATALOGUE: tuple[ActionClass, ...] = tuple(action for group in _GROUPS for action in group)


@dataclass(frozen=True)
class ClassSet:
    """The N most frequent classes and how often each occurs.

    weights (N,) sum to 1; both directions of a pair are equally frequent.
    """

    actions: tuple[ActionClass, ...]
    weights: np.ndarray

    @classmethod
    def most_frequent(cls, count: int, tail: float | None = None) -> ClassSet:
        """`tail`: Zipf exponent over groups; None: 0 up to 8 classes, 1 above."""
        exponent = (0.0 if count <= 8 else 1.0) if tail is None else tail
        weights = np.concatenate(
            [np.full(len(group), (1.0 + rank) ** -exponent) for rank, group in enumerate(_GROUPS)]
        )[:count]
        return cls(CATALOGUE[:count], weights / weights.sum())

    @classmethod
    def named(cls, names: Sequence[str]) -> ClassSet:
        """These classes in their order, equally frequent; KeyError for an unknown one."""
        by_name = {action.name: action for action in CATALOGUE}
        return cls(tuple(by_name[name] for name in names), np.full(len(names), 1 / len(names)))

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(action.name for action in self.actions)

    def _couples(self, attribute: str) -> dict[str, str]:
        """Each couple once; a partner outside the set leaves none."""
        known, couples = set(self.names), {}
        for action in self.actions:
            partner = getattr(action, attribute)
            if partner in known and partner not in couples:
                couples[action.name] = partner
        return couples

    @property
    def reverses(self) -> dict[str, str]:
        """Pairs that are exact time reversals of each other, each once."""
        return self._couples("reverse")

    @property
    def flip_labels(self) -> dict[str, str]:
        """Pairs that swap under a horizontal flip, each once."""
        return self._couples("flip")

    @property
    def told_by_one_frame(self) -> tuple[str, ...]:
        """Classes without a reversal in the set."""
        paired = set(self.reverses) | set(self.reverses.values())
        return tuple(name for name in self.names if name not in paired)
