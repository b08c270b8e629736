import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stadet.classify.layers.same_padding import SameMaxPool3d, pad_same, same_padding


@given(st.integers(1, 60), st.integers(1, 7), st.integers(1, 4), st.integers(1, 3))
def test_the_output_is_the_input_over_the_stride_rounded_up(size, kernel, stride, dilation):
    before, after = same_padding(size, kernel, stride, dilation)
    reach = (kernel - 1) * dilation + 1
    assert 0 <= before <= after <= before + 1
    if reach >= stride:  # else the last window may end before the input does
        assert (size + before + after - reach) // stride + 1 == -(-size // stride)


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "expected"),
    [
        (224, 7, 2, (2, 3)),
        (112, 3, 2, (0, 1)),
        (7, 3, 2, (1, 1)),
        (40, 3, 1, (1, 1)),
        (5, 2, 2, (0, 1)),
        (4, 1, 1, (0, 0)),
    ],
)
def test_known_paddings(size, kernel, stride, expected):
    assert same_padding(size, kernel, stride) == expected


def test_padding_never_wins_a_pool():
    pool = SameMaxPool3d((3, 3, 3), (1, 1, 1))
    assert (pool(-torch.ones(1, 1, 2, 3, 4)) == -1).all()


def test_repeated_frames():
    x = torch.arange(3.0).view(1, 1, 3, 1, 1)
    padded = pad_same(x, (3, 1, 1), (1, 1, 1), time_padding="replicate")
    assert padded.flatten().tolist() == [0, 0, 1, 2, 2]
