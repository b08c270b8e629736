import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stadet.engine.errors import UserError
from stadet.recurrent_yolo.lookback import LookBack

flags = st.lists(st.booleans(), min_size=12, max_size=12)


def obvious(values, valid, starts, steps, before_start):
    """One lane with a Python list for a memory: [(value, known) for each step] of valid frames."""
    stream, out = [], []
    for value, is_valid, begins in zip(values, valid, starts, strict=True):
        if begins:
            stream = []
        row = None
        if is_valid:
            stream.append(value)
            row = []
            for step in steps:
                known = len(stream) > step
                first = stream[0] if before_start == "first" else None
                row.append((stream[-1 - step] if known else first, known))
        out.append(row)
    return out


@pytest.mark.parametrize("before_start", ["missing", "first"])
@settings(max_examples=60, deadline=None)
@given(valid=st.tuples(flags, flags), starts=st.tuples(flags, flags), window=st.integers(1, 12))
def test_equals_a_list_whatever_the_window(before_start, valid, starts, window):
    steps = (1, 2, 4)
    look_back = LookBack(steps, before_start)
    values = torch.arange(24.0).view(2, 12)
    valid, starts = torch.tensor(valid), torch.tensor(starts)
    state, rows = None, [[], []]
    for at in range(0, 12, window):
        part = slice(at, at + window)
        found, state = look_back(values[:, part], state, starts[:, part], valid[:, part])
        for lane in range(2):
            for t in range(found[0][0].shape[1]):
                rows[lane].append([(f[lane, t].item(), k[lane, t].item()) for f, k in found])
    for lane in range(2):
        want = obvious(
            values[lane].tolist(), valid[lane].tolist(), starts[lane].tolist(), steps, before_start
        )
        for got, row in zip(rows[lane], want, strict=True):
            if row is None:
                continue
            assert [known for _, known in got] == [known for _, known in row]
            assert all(g == v for (g, _), (v, _) in zip(got, row, strict=True) if v is not None)


def test_frames_keep_their_type_and_gradient():
    look_back = LookBack((1,))
    (earlier, _), *_ = look_back(torch.ones(1, 3, 2, dtype=torch.uint8))[0]
    assert earlier.dtype == torch.uint8
    x = torch.ones(1, 3, 2, requires_grad=True)
    (earlier, known), *_ = look_back(x)[0]
    earlier[known].sum().backward()
    assert x.grad[0, :, 0].tolist() == [1, 1, 0]


def test_state_of_other_lanes_is_refused():
    look_back = LookBack((1, 2))
    _, state = look_back(torch.zeros(3, 4, 2))
    with pytest.raises(UserError, match="number of lanes"):
        look_back(torch.zeros(2, 4, 2), state)
