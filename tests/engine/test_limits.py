from dataclasses import dataclass, field

import pytest

from stadet.engine.errors import UserError
from stadet.engine.limits import INFINITE, POSITIVE, expect_limits


@dataclass
class Numbers:
    rate: float = 1.0
    count: int | None = None
    steps: list[int] = field(default_factory=list)


def check(**values):
    limits = {"rate": (POSITIVE, 2), "count": (1, INFINITE), "steps": (1, 3)}
    expect_limits(Numbers(**values), "a.b", **limits)


def test_the_limits_themselves_pass():
    check(rate=2.0)
    check(rate=POSITIVE, count=1, steps=[1, 3])
    check(count=None, steps=[])


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"rate": 0.0}, "a.b.rate: expected more than 0 and at most 2, found 0.0"),
        ({"rate": float("nan")}, "a.b.rate: expected more than 0 and at most 2, found nan"),
        ({"count": 0}, "a.b.count: expected at least 1, found 0"),
        ({"steps": [2, 4]}, "a.b.steps: expected at least 1 and at most 3, found [2, 4]"),
    ],
)
def test_what_lies_outside_is_named(values, text):
    with pytest.raises(UserError) as found:
        check(**values)
    assert str(found.value) == text


def test_without_a_section():
    with pytest.raises(UserError, match=r"^rate: expected at least 0, found -1$"):
        expect_limits(Numbers(rate=-1), "", rate=(0, INFINITE))
