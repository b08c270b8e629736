import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stadet.engine.errors import UserError
from stadet.recurrent_yolo.sequences import (
    ActionSequence,
    SequenceConfig,
    action_sequences,
    repeat_factors,
    runs,
)


def flags(length, *spans):
    out = np.zeros(length, dtype=bool)
    for start, stop in spans:
        out[start:stop] = True
    return out


def cut(length, *spans, fps=1.0, looked_at=None, allowed=None, **seconds):
    options = {"pad": 0, "merge": 0, "shortest": 1, "longest": 1000, "overlap": 0, **seconds}
    looked_at = flags(length, (0, length)) if looked_at is None else looked_at
    config = SequenceConfig(**options)
    return action_sequences(flags(length, *spans), looked_at, fps, config, allowed=allowed)


@pytest.mark.parametrize(
    ("spans", "options", "expected"),
    [
        ([], {}, []),
        ([(10, 20)], {}, [(10, 20)]),
        ([(10, 20)], {"pad": 3}, [(7, 23)]),
        ([(10, 20)], {"pad": 3, "fps": 2.0}, [(4, 26)]),
        ([(1, 20)], {"pad": 3}, [(0, 23)]),
        ([(90, 99)], {"pad": 3}, [(87, 100)]),
        ([(10, 20), (25, 30)], {"merge": 5}, [(10, 30)]),
        ([(10, 20), (26, 30)], {"merge": 5}, [(10, 20), (26, 30)]),
        ([(10, 20), (26, 30)], {"merge": 5, "pad": 4}, [(6, 24), (22, 34)]),  # they overlap
        ([(10, 20)], {"shortest": 16}, [(7, 23)]),
        ([(2, 6)], {"shortest": 16}, [(0, 16)]),
        ([(95, 99)], {"shortest": 16}, [(84, 100)]),
        ([(10, 60)], {"longest": 20}, [(10, 30), (25, 45), (40, 60)]),
        ([(10, 50)], {"longest": 20}, [(10, 30), (30, 50)]),
        ([(10, 50)], {"longest": 20, "overlap": 5}, [(10, 30), (20, 40), (30, 50)]),
    ],
)
def test_table(spans, options, expected):
    assert cut(100, *spans, **options) == expected


def test_actions_nobody_looked_at_do_not_count():
    assert cut(100, (10, 20), (40, 50), looked_at=flags(100, (30, 100))) == [(40, 50)]


def unseen(length, *spans):
    return ~flags(length, *spans)


@pytest.mark.parametrize(
    ("hidden", "options", "expected"),
    [
        ([(20, 30)], {"shortest": 10}, [(10, 40)]),  # nobody looked between: no pause
        ([(20, 29)], {"shortest": 10}, [(10, 20), (30, 40)]),  # one looked-at frame is a pause
        ([(20, 29)], {"shortest": 10, "merge": 1}, [(10, 40)]),
        ([(20, 30)], {"shortest": 9}, [(10, 20), (30, 40)]),  # too long a pause
        ([(15, 25), (5, 10)], {"shortest": 15, "merge": 5, "pad": 3}, [(7, 43)]),
    ],
)
def test_frames_that_nobody_looked_at_are_shown(hidden, options, expected):
    actions, everything = ((10, 20), (30, 40)), flags(100, (0, 100))
    found = cut(100, *actions, looked_at=unseen(100, *hidden), allowed=everything, **options)
    assert found == expected


def test_a_sequence_stays_on_its_side():
    side = flags(100, (10, 30), (50, 100))
    assert cut(100, (5, 60), pad=8, looked_at=side, merge=50) == [(10, 30), (50, 68)]
    key_frames = flags(100)
    key_frames[::5] = True
    sparse = cut(100, (20, 31), looked_at=key_frames, allowed=flags(100, (0, 100)), merge=5)
    assert sparse == [(20, 31)]


@settings(max_examples=100, deadline=None)
@given(
    action=st.lists(st.booleans(), min_size=1, max_size=120),
    allowed=st.lists(st.booleans(), min_size=120, max_size=120),
    pad=st.integers(0, 5),
    shortest=st.integers(1, 12),
    extra=st.integers(0, 20),
)
def test_bounds_cover_and_sides(action, allowed, pad, shortest, extra):
    allowed = np.array(allowed[: len(action)])
    longest = shortest + extra
    config = SequenceConfig(pad, 3, shortest, longest, overlap=min(2, longest - 1))
    action = np.array(action)
    found = action_sequences(action, allowed, 1.0, config)
    covered = np.zeros(len(action), dtype=bool)
    for start, stop in found:
        side = next((a, b) for a, b in runs(allowed) if a <= start < b)
        assert stop <= side[1] and stop - start <= longest
        assert stop - start >= min(shortest, side[1] - side[0])
        covered[start:stop] = True
    assert covered[action & allowed].all()


def test_rare_classes_are_shown_more_often():
    labels = np.zeros((100, 3), dtype=bool)
    labels[:, 0] = True
    labels[:4, 1] = True  # 4 %
    assert repeat_factors(labels, 0.36).tolist() == [3] * 4 + [1] * 96
    assert repeat_factors(labels, 0).tolist() == [1] * 100
    assert repeat_factors(np.zeros((0, 3)), 0.5).shape == (0,)
    assert repeat_factors(np.zeros((2, 3)), 0.5).tolist() == [1, 1]


def test_bad_input():
    with pytest.raises(UserError, match="longest"):
        SequenceConfig(shortest=5, longest=4)
    with pytest.raises(UserError, match="expected pad"):
        SequenceConfig(pad=-1)
    with pytest.raises(ValueError, match="three"):
        action_sequences(flags(4), flags(5), 30)
    with pytest.raises(ValueError, match="start < stop"):
        ActionSequence("a", 5, 5)
