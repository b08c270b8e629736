"""What a scene counts: meals with their items, stock of bins, use of tools and hands."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from stadet.detect.scene.scene import Condition, Rule
from stadet.detect.tubes.events import EventOptions


class Role(NamedTuple):
    """What an action counts as: kind (item, back, checkout, take, put or use) and name of the item,
    bin or tool."""

    kind: str
    name: str = ""


@dataclass(frozen=True)
class MealRules:
    """Meals: items that were served between two checkouts or two pauses.

    Attributes:
        items: by name, what serves one.
        back: what takes the last item back; None = nothing.
        checkout: what ends a meal as it begins; None = nothing.
        pause: seconds without an item after which a meal is over; infinite = never.
        bin_seconds: an item that was taken from a bin at most so many seconds before bears the
            bin's name instead of its own; 0 = never.
    """

    items: Mapping[str, Condition]
    back: Condition | None = None
    checkout: Condition | None = None
    pause: float = math.inf
    bin_seconds: float = 0.0


@dataclass(frozen=True)
class Bin:
    """A bin and what it holds.

    Attributes:
        name: of the bin.
        zone: where it is; None = the whole frame.
        initial: pieces in it at the beginning.
        take: classes that take a piece out.
        put: classes that put one in.
    """

    name: str
    zone: str | None
    initial: int
    take: tuple[str, ...]
    put: tuple[str, ...]


@dataclass(frozen=True)
class CountRules:
    """The section `counts` of a scene file.

    Attributes:
        events: least score and length of an action, and the pause over which tubes are joined.
        one_action: a hand that seems to do several of these things at once did only one of them
            (`one_action.decided`).
        anchor: point of a box that lies in a zone, as of `Rule`.
        cameras: names of the cameras whose videos are counted.
        meals: None = no meals are counted.
        bins: in the file's order.
        use: tools and hands by name.
        shifts: (begin, end) by name, in seconds after midnight; end before begin: over midnight.
    """

    events: EventOptions = field(default_factory=EventOptions)
    one_action: bool = False
    anchor: str = "center"
    cameras: tuple[str, ...] = ()
    meals: MealRules | None = None
    bins: tuple[Bin, ...] = ()
    use: Mapping[str, Condition] = field(default_factory=dict)
    shifts: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    @cached_property
    def opposites(self) -> set[tuple[str, str]]:
        """Pairs of classes, either way round: what serves an item and what takes it back, what
        takes from a bin and what puts into it."""
        pairs = {(one, other) for ones, others in self._sides for one in ones for other in others}
        return pairs | {(other, one) for one, other in pairs}

    @cached_property
    def alternatives(self) -> set[tuple[str, str]]:
        """Pairs of different classes that do the same in another way, as with another tool."""
        return {
            (one, other)
            for sides in self._sides
            for side in sides
            for one in side
            for other in side
            if one != other
        }

    @cached_property
    def _sides(self) -> list[tuple[set[str], set[str]]]:
        """Classes that take and classes that put, of each bin; of meals what serves, and what
        takes back."""
        sides = [(set(box.take), set(box.put)) for box in self.bins]
        if self.meals is not None:
            served = {name for item in self.meals.items.values() for name in item.classes or ()}
            sides.append((served, set((self.meals.back and self.meals.back.classes) or ())))
        return sides

    @cached_property
    def roles(self) -> dict[str, Role]:
        """By name of the rule in `rules`, what its hits count as."""
        return {_rule_name(role): role for role, _ in self._conditions()}

    @cached_property
    def rules(self) -> tuple[Rule, ...]:
        """For the engine: an actor who meets one does what its role says."""
        return tuple(
            Rule(
                _rule_name(role),
                "dwell",
                when=condition,
                grace=self.events.join_seconds,
                min_score=0.0,
                anchor=self.anchor,
            )
            for role, condition in self._conditions()
        )

    def _conditions(self) -> list[tuple[Role, Condition]]:
        found: list[tuple[Role, Condition]] = []
        if self.meals is not None:
            found += [(Role("item", name), c) for name, c in self.meals.items.items()]
            one = (("back", self.meals.back), ("checkout", self.meals.checkout))
            found += [(Role(kind), c) for kind, c in one if c is not None]
        for box in self.bins:
            ways = (("take", box.take), ("put", box.put))
            found += [
                (Role(kind, box.name), Condition(classes, box.zone))
                for kind, classes in ways
                if classes
            ]
        return [*found, *((Role("use", name), c) for name, c in self.use.items())]


def _rule_name(role: Role) -> str:
    return f"{role.kind} {role.name}".strip()
