import numpy as np
import pytest

from stadet.detect.scene.day import DAY, Day

SHIFTS = {"lunch": (11 * 3600.0, 15 * 3600.0), "night": (22.5 * 3600, 2 * 3600.0)}


def slow_shift(at):
    """By its meaning, minute by minute of two days."""
    hour = (at % DAY) / 3600
    if 11 <= hour < 15:
        return "lunch"
    return "night" if hour >= 22.5 or hour < 2 else "no shift"


@pytest.mark.parametrize("begins", [0.0, 10.9 * 3600, 22.4 * 3600])
def test_pieces_equal_a_sum_over_seconds(begins):
    day = Day(begins, SHIFTS)
    start, stop = 120.0, 9 * 3600 + 30.0
    wanted: dict = {}
    for second in np.arange(start, stop):
        at = begins + second + 0.5
        for key in (("hour", f"{int(at // 3600) % 24}:00"), ("shift", slow_shift(at))):
            wanted[key] = wanted.get(key, 0) + 1
    found: dict = {}
    for period, seconds in day.pieces(start, stop):
        key = (period.by, period.name)
        found[key] = found.get(key, 0) + seconds
    assert found == pytest.approx(wanted)


def test_a_shift_begins_with_its_first_moment_and_ends_before_its_last():
    day = Day(0.0, SHIFTS)
    hours = (11, 15, 22.5, 24, 26)
    names = ["lunch", "no shift", "night", "night", "no shift"]
    assert [day.shift(hour * 3600) for hour in hours] == names


def test_hours_keep_their_order_over_midnight():
    day = Day(23.5 * 3600, {})
    names = {p.order: p.name for s in (0, 3600, 7200) for p in day.periods(s)}
    assert [names[key] for key in sorted(names)] == ["23:00", "0:00", "1:00"]
    assert day.shift(0) == ""


def test_without_the_time_of_day_hours_are_counted_and_there_are_no_shifts():
    day = Day(None, SHIFTS)
    assert [(p.by, p.name) for p in day.periods(3601)] == [("hour", "hour 2")]
    assert day.shift(12 * 3600) == ""
