"""Limits on the numbers of a configuration, checked where it is made."""

from __future__ import annotations

import math
from typing import Any

from stadet.engine.errors import UserError

POSITIVE = math.nextafter(0, 1)  # the least number above 0
INFINITE = math.inf


def expect_limits(config: Any, section: str, **limits: tuple[float, float]) -> None:
    """UserError where an attribute of `config` lies outside its (least, most), both inclusive.

    section: the keys above it, as in "loop.optimiser", for the message. Of a list each member is
    checked; None passes.
    """
    for name, (least, most) in limits.items():
        key = f"{section}.{name}" if section else name
        expect_within(key, getattr(config, name), least, most)


def expect_within(name: str, value: Any, least: float, most: float = INFINITE) -> None:
    """UserError unless `value` (a number, a list of them, or None) lies in [least, most]."""
    for number in value if isinstance(value, (list, tuple)) else [value]:
        if number is not None and not hasattr(number, "__float__"):
            raise UserError(f"{name}: expected a number, found {type(number).__name__} {number!r}")
        if number is not None and not least <= number <= most:  # NaN is outside, too
            raise UserError(f"{name}: expected {_words(least, most)}, found {value}")


def _words(least: float, most: float) -> str:
    low = "more than 0" if least == POSITIVE else f"at least {least:g}"
    return low if most == INFINITE else f"{low} and at most {most:g}"
