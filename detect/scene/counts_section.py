"""The section `counts` of a scene file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import combinations
from typing import Any

from stadet.detect.clock import time_of_day
from stadet.detect.scene.counts import Bin, CountRules, MealRules
from stadet.detect.scene.day import DAY
from stadet.detect.scene.scene import Camera, Condition
from stadet.detect.scene.values import (
    ANCHORS,
    check_places,
    condition,
    expect_known,
    flag,
    listing,
    mapping,
    named,
    names,
    one_of,
    zones_of,
)
from stadet.detect.tubes.events import EventOptions
from stadet.engine.errors import UserError
from stadet.engine.reading import finite_number, shown, whole_number

_KEYS = {
    "min_score",
    "min_seconds",
    "join_seconds",
    "one_action",
    "anchor",
    "cameras",
    "meals",
    "stock",
    "use",
    "shifts",
}


def read_counts(value: Any, cameras: Mapping[str, Camera], where: str) -> CountRules:
    """Check the section and make it one.

    Raises:
        UserError: for unknown keys, cameras and zones, values out of range, a section that counts
            nothing, and shifts that overlap.
    """
    values = mapping(value, where)
    expect_known(values, _KEYS, where)
    wanted = values.get("cameras", list(cameras))
    asked = [named(name, f"{where}: cameras") for name in listing(wanted, f"{where}: cameras")]
    check_places("camera", asked, set(cameras), where)
    zones = zones_of(cameras[name] for name in asked)

    def number(key: str, default: float, most: float = math.inf) -> float:
        return finite_number(values.get(key, default), f"{where}: {key}", least=0, most=most)

    default = EventOptions()
    counts = CountRules(
        EventOptions(
            number("min_score", default.min_score, 1),
            number("min_seconds", default.min_seconds),
            number("join_seconds", default.join_seconds),
        ),
        flag(values.get("one_action", False), f"{where}: one_action"),
        one_of(values.get("anchor", "center"), ANCHORS, f"{where}: anchor"),
        tuple(asked),
        _meals(values["meals"], f"{where}: meals") if "meals" in values else None,
        _bins(values["stock"], zones, f"{where}: stock") if "stock" in values else (),
        _conditions(values.get("use", {}), f"{where}: use"),
        _shifts(values.get("shifts", {}), f"{where}: shifts"),
    )
    if not counts.rules:
        raise UserError(f"{where}: expected meals, stock or use, found none; add one")
    for rule in counts.rules:
        check_places("zone", [rule.when.zone], zones, where)
    return counts


def _meals(value: Any, where: str) -> MealRules:
    values = mapping(value, where)
    expect_known(values, {"items", "back", "checkout", "pause", "bin_seconds"}, where)
    items = _conditions(values.get("items", {}), f"{where}: items")
    if not items:
        raise UserError(f"{where}: items: expected what serves an item, found none; add it")
    if "checkout" not in values and "pause" not in values:
        raise UserError(f"{where}: expected checkout or pause, which end a meal; add one")

    def one(key: str) -> Condition | None:
        return _classes_at(values[key], f"{where}: {key}") if key in values else None

    def seconds(key: str, default: float) -> float:
        if key not in values:
            return default
        return finite_number(values[key], f"{where}: {key}", least=0)

    meals = MealRules(
        items, one("back"), one("checkout"), seconds("pause", math.inf), seconds("bin_seconds", 0)
    )
    if meals.pause == 0:
        raise UserError(f"{where}: pause: expected more than 0 s, found 0; leave it out for none")
    return meals


def _bins(value: Any, zones: set[str], where: str) -> tuple[Bin, ...]:
    values = mapping(value, where)
    expect_known(values, {"take", "put", "bins"}, where)
    common: dict[str, Any] = {key: values[key] for key in ("take", "put") if key in values}
    bins = []
    for name, keys in mapping(values.get("bins"), f"{where}: bins").items():
        here = f"{where}: bin {shown(name)}"
        own = {**common, **mapping(keys, here)}
        expect_known(own, {"zone", "initial", "take", "put"}, here)
        zone = own.get("zone", name)
        if "zone" not in own and name not in zones:
            raise UserError(
                f"{here}: expected a zone of its name, found none; give zone: NAME, or zone: null "
                "for the whole frame"
            )
        found = Bin(
            named(name, f"{where}: bins"),
            None if zone is None else named(zone, f"{here}: zone"),
            whole_number(own.get("initial", 0), f"{here}: initial", least=0),
            names(own.get("take", []), f"{here}: take"),
            names(own.get("put", []), f"{here}: put"),
        )
        if not found.take and not found.put:
            raise UserError(
                f"{here}: expected classes that take or put, found none; add take: or put:"
            )
        both = set(found.take) & set(found.put)
        if both:
            raise UserError(f"{here}: {min(both)!r} both takes and puts; keep it in one of them")
        bins.append(found)
    if not bins:
        raise UserError(f"{where}: bins: expected at least one bin, found none; add it")
    return tuple(bins)


def _conditions(value: Any, where: str) -> dict[str, Condition]:
    return {
        named(name, where): _classes_at(entry, f"{where}: {shown(name)}")
        for name, entry in mapping(value, where).items()
    }


def _classes_at(value: Any, where: str) -> Condition:
    """A condition, or short for one: a list of classes."""
    short = isinstance(value, (str, list))
    return condition({"classes": value} if short else value, where)


def _shifts(value: Any, where: str) -> dict[str, tuple[float, float]]:
    shifts: dict[str, tuple[float, float]] = {}
    for name, ends in mapping(value, where).items():
        here = f"{where}: {shown(name)}"
        if not isinstance(ends, list) or len(ends) != 2 or not all(type(e) is str for e in ends):
            raise UserError(
                f'{here}: expected two times in quotes, ["11:00", "15:00"], found {shown(ends)}'
            )
        begin, end = (time_of_day(text, here) for text in ends)
        if begin in (end, DAY) or max(begin, end) > DAY:
            raise UserError(f"{here}: expected two times of a day, found {shown(ends)}")
        shifts[named(name, where)] = (begin, end)
    for one, other in combinations(shifts, 2):
        if any(a < d and c < b for a, b in _of_day(shifts[one]) for c, d in _of_day(shifts[other])):
            raise UserError(
                f"{where}: {one!r} and {other!r} overlap; an hour belongs to one shift at most"
            )
    return shifts


def _of_day(shift: tuple[float, float]) -> list[tuple[float, float]]:
    begin, end = shift
    return [(begin, end)] if begin < end else [(begin, DAY), (0.0, end)]
