import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stadet.engine.optimise import ScheduleConfig, lr_factor
from stadet.engine.run_length import BLOCK, PlateauConfig, PlateauLength, RunLength

SCHEDULE = ScheduleConfig("onecycle", warmup=0.2, final=0.001)


def alone(value):
    return value


def plateau(limit=100_000, least=500, fall=0.05, cooldown=0.5):
    return PlateauLength(SCHEDULE, limit, PlateauConfig(least, fall, cooldown))


def terms(value):
    return {"class": torch.tensor(value), "box": torch.tensor(2.0)}


def run(length, losses, first=1):
    """The step at which the run of these losses (by step) ends."""
    for step in range(first, 10**6):
        if step > length.total:
            return step - 1
        length.observe(step, terms(losses(step)), alone)


def test_a_given_length_follows_its_schedule():
    length = RunLength(SCHEDULE, 300)
    assert run(length, lambda _: 1.0) == 300 and length.ending() is None
    assert [length.lr_factor(s) for s in range(300)] == [
        lr_factor(SCHEDULE, s, 300) for s in range(300)
    ]


def test_a_loss_that_stops_falling_ends_the_run():
    length = plateau()
    steps = run(length, lambda step: max(0.1, 1 - step / 1000))
    # from step 900 on the loss is 0.1; the last two thirds of the run are flat from 2,700 on
    assert 1000 < length.falls_from < 2700 + BLOCK
    assert steps == length.falls_from * 1.5 and length.ending().startswith("finished")


def test_a_plateau_at_the_beginning_is_no_end():
    length = plateau(least=500)
    run(length, lambda step: 1.0 if step < 1200 else max(0.1, 1.0 - (step - 1200) / 500))
    assert length.falls_from > 1650 and length.ending().startswith("finished")


def test_a_term_that_rises_does_not_hide_one_that_falls():
    length = plateau(least=500)
    for step in range(1, 3000):
        falls = torch.tensor(1.0 / step**0.5)
        if length.observe(step, {"class": falls, "box": torch.tensor(1 + step / 1000)}, alone):
            break
    assert step == 2999 and length.has_begun
    assert length.falling[0] == "class" and 0.2 < length.falling[1] < 0.3


def test_a_run_that_never_begins_says_so():
    length = plateau(least=500)
    run(length, lambda step: 1.0)
    assert length.falls_from == 1500 and "nothing was learnt" in length.ending()


def test_a_loss_that_still_falls_is_not_finished():
    length = plateau(limit=1500)
    assert run(length, lambda step: 1 / step) == 1500
    assert length.falls_from == 1000 and length.ending().startswith("not finished")
    assert "loop.max_steps=3000" in length.ending()


def test_a_prolonged_run_takes_the_steps_of_a_longer_one():
    def losses(step):
        return step**-0.5

    short, long = plateau(limit=1500), plateau(limit=9000)
    run(short, losses)
    saved = plateau(limit=1500)
    for step in range(1, short.falls_from + 1):
        saved.observe(step, terms(losses(step)), alone)
    again = plateau(limit=9000)
    assert again.prolongs(saved.state())
    again.restore(saved.state())
    assert run(again, losses, short.falls_from + 1) == run(long, losses) == 9000
    assert again.falls_from == long.falls_from == 6000


@settings(max_examples=40, deadline=None)
@given(limit=st.integers(2, 5000), cut=st.integers(1, 2000), power=st.floats(0.01, 1))
def test_a_resumed_run_ends_where_the_whole_one_does(limit, cut, power):
    def losses(step):
        return step**-power

    whole = plateau(limit, least=300)
    end = run(whole, losses)
    assert end <= limit
    part = plateau(limit, least=300)
    cut = min(cut, end)
    for step in range(1, cut + 1):
        part.observe(step, terms(losses(step)), alone)
    resumed = plateau(limit, least=300)
    resumed.restore(part.state())
    assert (run(resumed, losses, cut + 1) if cut < end else resumed.total) == end
    assert resumed.ending() == whole.ending()


def test_the_rate_rises_stays_and_falls_by_one_minus_the_root():
    length = plateau(limit=3000, least=500, cooldown=0.5)
    assert length.lr_factor(50) == pytest.approx(0.5) and length.lr_factor(100) == 1.0
    assert length.lr_factor(1999) == 1.0
    run(length, lambda step: 1 / step)
    assert length.falls_from == 2000
    middle = length.lr_factor(2250)
    assert middle == pytest.approx(0.001 + 0.999 * (1 - math.sqrt(0.25)))
    assert length.lr_factor(3000) == pytest.approx(0.001)
