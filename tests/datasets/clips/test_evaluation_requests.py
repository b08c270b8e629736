import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stadet.datasets.clips.evaluation_requests import deal_videos, evaluation_requests, stream_lanes
from stadet.datasets.clips.samplers import Share
from stadet.detect.batch import PADDING, ClipRequest
from tests.datasets.small_truth import annotation_set, random_set, video

SEEDS = st.integers(0, 2**32 - 1)


def over_ranks(data, world, *args, **options):
    return [
        evaluation_requests(data, *args, share=Share(rank, world), **options)
        for rank in range(world)
    ]


@given(
    SEEDS,
    st.sampled_from([1, 2, 3]),
    st.integers(1, 9),
    st.sampled_from(["every_frame", "last_frame"]),
)
def test_every_looked_at_frame_counts_once_over_all_ranks(seed, world, clip_length, predicts):
    data = random_set(seed)
    per_rank = over_ranks(data, world, clip_length, predicts=predicts)
    answered = Counter()
    for requests in per_rank:
        for r in requests:
            assert len(r.frames) == clip_length
            frames = r.frames if predicts == "every_frame" else r.frames[-1:]
            answered.update((r.video, f) for f in frames if f != PADDING)
    looked_at = {(v.name, f) for v in data for f in np.flatnonzero(v.looked_at).tolist()}
    assert looked_at <= set(answered)
    assert max(answered.values()) == 1
    owners = [{r.video for r in requests} for requests in per_rank]
    assert sum(map(len, owners)) == len(set().union(*owners))  # no video on two ranks


def test_windows_as_a_table():
    data = annotation_set(video("a", [0, 1, 1, 0, 1, 0, 0], {1: 0}))
    requests = evaluation_requests(data, 3)
    assert [r.frames for r in requests] == [(0, 1, 2), (3, 4, PADDING)]
    assert [r.starts_stream for r in requests] == [True, False]
    visible = {"a": np.array([0, 1, 1, 0, 1, 1, 1], dtype=bool)}
    requests = evaluation_requests(data, 3, visible=visible)
    assert [r.frames for r in requests] == [(1, 2, PADDING), (4, PADDING, PADDING)]
    assert [r.starts_stream for r in requests] == [True, True]
    assert evaluation_requests(annotation_set(video("a", [0, 0], {})), 3) == []


def test_key_frames_as_a_table():
    data = annotation_set(video("a", [0, 1, 0, 1], {1: 0}))
    requests = evaluation_requests(data, 3, predicts="last_frame")
    assert [r.frames for r in requests] == [(0, 0, 1), (1, 2, 3)]
    assert all(r.augment_seed is None for r in requests)
    apart = evaluation_requests(data, 2, clip_step=2, predicts="last_frame")
    assert [r.frames for r in apart] == [(0, 1), (1, 3)]


@given(st.dictionaries(st.text(max_size=3), st.integers(0, 50)), st.integers(1, 4))
def test_dealing_is_even(lengths, world):
    hands = deal_videos(lengths, world)
    assert sorted(name for hand in hands for name in hand) == sorted(lengths)
    loads = [sum(lengths[name] for name in hand) for hand in hands]
    assert max(loads) - min(loads) <= max(lengths.values(), default=0)


def test_more_ranks_than_videos():
    per_rank = over_ranks(annotation_set(video("a", [1], {0: 0})), 3)
    assert sorted(map(len, per_rank)) == [0, 0, 1]
    with pytest.raises(ValueError, match="rank"):
        Share(3, 3)


def test_streams_stay_in_one_lane_in_order():
    def window(video, first, starts):
        return ClipRequest(video, (first, first + 1), starts_stream=starts)

    streams = {"a": 3, "b": 1, "c": 2}
    requests = [window(v, 2 * i, i == 0) for v, n in streams.items() for i in range(n)]
    batches = stream_lanes(requests, 2)
    assert [len(batch) for batch in batches] == [2, 2, 2]
    seen = [r for lane in zip(*batches, strict=True) for r in lane if r.frames[0] != PADDING]
    assert sorted(seen, key=requests.index) == requests
    for lane in zip(*batches, strict=True):
        for before, after in itertools.pairwise(lane):
            if not after.starts_stream:
                assert after.video == before.video and after.frames[0] == before.frames[1] + 1
