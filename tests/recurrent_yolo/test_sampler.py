from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stadet.detect.batch import PADDING
from stadet.engine.errors import UserError
from stadet.recurrent_yolo.sampler import HybridClipSampler, SamplerConfig
from stadet.recurrent_yolo.sequences import ActionSequence


def clips(lengths, **options):
    return [ActionSequence(f"v{n}", 100, 100 + k, **options) for n, k in enumerate(lengths)]


def sampler(lengths, lanes=2, window=4, *, rank=0, world=1, seed=0, epoch=0, **options):
    made = HybridClipSampler(
        clips(lengths),
        SamplerConfig(lanes=lanes, window=window, **options),
        seed=seed,
        rank=rank,
        world=world,
    )
    made.set_epoch(epoch)
    return made


def lanes_of(made):
    """The requests of each lane, in order."""
    return list(zip(*made, strict=True))


lengths = st.lists(st.integers(1, 40), min_size=1, max_size=25)


@settings(max_examples=60, deadline=None)
@given(
    lengths=lengths,
    lanes=st.integers(1, 4),
    window=st.integers(1, 9),
    world=st.integers(1, 3),
    epoch=st.integers(0, 3),
    reverse=st.sampled_from([0.0, 0.5]),
)
def test_plain_mode_shows_every_frame_of_every_clip_once(
    lengths, lanes, window, world, epoch, reverse
):
    ranks = [
        sampler(lengths, lanes, window, rank=r, world=world, epoch=epoch, reverse=reverse)
        for r in range(world)
    ]
    assert len({len(r) for r in ranks}) == 1
    shown, homes = Counter(), {}
    for rank, made in enumerate(ranks):
        batches = list(made)
        assert len(batches) == len(made)
        assert all(len(batch) == lanes for batch in batches)
        for lane, requests in enumerate(zip(*batches, strict=True)):
            current, at, direction = None, None, 1
            for request in requests:
                assert len(request.frames) == window
                frames = [f for f in request.frames if f != PADDING]
                assert request.frames[len(frames) :] == (PADDING,) * (window - len(frames))
                if not frames:
                    assert request.starts_stream
                    current = None
                    continue
                if request.starts_stream:
                    current = request.video
                    assert homes.setdefault(current, (rank, lane)) == (rank, lane)
                    direction = -1 if request.reverse_time else 1
                    at = frames[0]
                assert request.video == current  # one clip's windows follow each other
                assert request.reverse_time == (direction < 0)
                assert frames == [at + direction * n for n in range(len(frames))]
                at += direction * len(frames)
                shown.update((current, f) for f in frames)
    assert shown == Counter((f"v{n}", 100 + f) for n, k in enumerate(lengths) for f in range(k))


@settings(max_examples=30, deadline=None)
@given(lengths=lengths, start=st.integers(0, 30), world=st.integers(1, 2))
def test_resumed_epoch_goes_on_where_it_stopped(lengths, start, world):
    made = sampler(lengths, 3, 4, world=world, epoch=2, random_share=0.34, reverse=0.5)
    whole = list(made)
    again = sampler(lengths, 3, 4, world=world, random_share=0.34, reverse=0.5)
    again.set_epoch(2, start)
    assert list(again) == whole[start:]


@settings(max_examples=30, deadline=None)
@given(lengths=lengths, stride=st.integers(1, 5), world=st.integers(1, 3))
def test_every_epoch_and_rank_has_the_same_number_of_steps(lengths, stride, world):
    steps = {
        len(list(sampler(lengths, stride=stride, epoch=e, seed=s, rank=r, world=world)))
        for e in range(3)
        for s in range(2)
        for r in range(world)
    }
    assert len(steps) == 1


def test_lanes_run_dry_together():
    made = sampler([k % 37 + 1 for k in range(300)], lanes=8, window=4)
    padding = sum(f == (PADDING,) * 4 for lane in lanes_of(made) for f in (r.frames for r in lane))
    assert padding < 0.02 * 8 * len(made)


def test_epochs_and_seeds_shuffle_the_clips():
    orders = {
        tuple(r.video for lane in lanes_of(sampler([8] * 10, epoch=e, seed=s)) for r in lane)
        for e in range(2)
        for s in range(2)
    }
    assert len(orders) == 4


def test_augmentation_and_direction_are_constant_along_a_clip_and_drawn_anew():
    seeds = [{}, {}]
    for epoch in range(2):
        for lane in lanes_of(sampler([20] * 30, epoch=epoch, reverse=0.5)):
            for request in lane:
                draw = (request.augment_seed, request.reverse_time)
                assert seeds[epoch].setdefault(request.video, draw) == draw
    assert len({seed for seed, _ in seeds[0].values()}) == 30
    assert 5 < sum(reverse for _, reverse in seeds[0].values()) < 25
    assert all(seeds[0][video][0] != seeds[1][video][0] for video in seeds[0])
    plain = [r for lane in lanes_of(sampler([8], augment=False)) for r in lane]
    assert all(r.augment_seed is None for r in plain)


def test_clips_that_may_not_run_backwards_do_not():
    config = SamplerConfig(lanes=2, window=4, reverse=1.0)
    made = HybridClipSampler(clips([9] * 4, reversible=False), config)
    assert not any(r.reverse_time for batch in made for r in batch)


def test_repeats():
    made = HybridClipSampler(
        [ActionSequence("often", 0, 8, repeats=3), ActionSequence("once", 0, 8)],
        SamplerConfig(lanes=2, window=4),
    )
    starts = Counter(r.video for batch in made for r in batch if r.starts_stream)
    assert starts == {"often": 3, "once": 1}


def test_stride_leaves_out_frames_and_keeps_within_the_clip():
    for request in (r for batch in sampler([21] * 6, stride=4) for r in batch):
        frames = [f for f in request.frames if f != PADDING]
        assert all(b - a == 4 for a, b in pairwise(frames))
        assert all(100 <= f < 121 for f in frames)


def test_random_lanes_come_last_and_start_a_stream_each_time():
    made = sampler([30, 2, 17] * 4, lanes=4, window=5, random_share=0.5, reverse=0.5)
    *_, third, fourth = lanes_of(made)
    for request in (*third, *fourth):
        assert request.starts_stream
        frames = [f for f in request.frames if f != PADDING]
        assert len(frames) == (2 if int(request.video[1:]) % 3 == 1 else 5)
        assert sorted(frames) == list(range(min(frames), max(frames) + 1))
        assert (frames[0] > frames[-1]) == request.reverse_time
    assert len({r.frames for r in third}) > len(made) / 2
    assert [r.frames for r in third] != [r.frames for r in fourth]


def test_random_windows_differ_between_ranks_and_may_come_from_elsewhere():
    elsewhere = [ActionSequence("quiet", 0, 500)]
    lanes = []
    for rank in range(2):
        config = SamplerConfig(lanes=2, window=4, random_share=0.5)
        made = HybridClipSampler(clips([30] * 6), config, rank=rank, world=2, random_from=elsewhere)
        lanes.append([batch[1] for batch in made])
    assert all(r.video == "quiet" for lane in lanes for r in lane)
    assert [r.frames for r in lanes[0]] != [r.frames for r in lanes[1]]


def test_fewer_clips_than_lanes_and_clips_shorter_than_a_window():
    made = sampler([3], lanes=4, window=8)
    (batch,) = list(made)
    shown = [r for r in batch if set(r.frames) != {PADDING}]
    assert [r.frames for r in shown] == [(100, 101, 102, *[PADDING] * 5)]
    assert all(r.starts_stream for r in batch)


def test_bad_input():
    with pytest.raises(UserError, match="at least one action sequence"):
        HybridClipSampler([], SamplerConfig())
    with pytest.raises(UserError, match="rank"):
        sampler([3], rank=2, world=2)
    with pytest.raises(UserError, match="leaves none"):
        SamplerConfig(lanes=1, random_share=0.6)
    with pytest.raises(UserError, match="lanes, window and stride"):
        SamplerConfig(window=0)


@settings(max_examples=40, deadline=None)
@given(
    lengths=lengths,
    window=st.integers(1, 9),
    epoch=st.integers(0, 3),
    reverse=st.sampled_from([0.0, 1.0]),
    hold=st.sampled_from([0.0, 0.3]),
)
def test_held_frames_only_repeat_frames_with_boxes(lengths, window, epoch, reverse, hold):
    sequences = clips(lengths)
    rng = np.random.default_rng(epoch)
    boxes = {s.video: rng.random(s.stop) < 0.5 for s in sequences}
    config = SamplerConfig(lanes=2, window=window, reverse=reverse, hold=hold, hold_frames=(2, 5))
    made = HybridClipSampler(sequences, config, boxes=boxes)
    plain = HybridClipSampler(sequences, SamplerConfig(lanes=2, window=window, reverse=reverse))
    for one in (made, plain):
        one.set_epoch(epoch)
    assert len(made) == len(plain)
    for requests in lanes_of(made):
        showings = []
        for request in requests:
            if request.starts_stream:
                showings.append([])
            if showings:
                showings[-1] += [(request.video, f) for f in request.frames if f != PADDING]
        for showing in showings:
            for (video, before), (_, after) in pairwise(showing):
                step = (before - after) if reverse else (after - before)
                assert step == 1 or (step == 0 and hold and boxes[video][after])


def test_held_frames_are_the_share_that_is_asked_for():
    sequence = ActionSequence("v", 0, 60_000)
    config = SamplerConfig(lanes=1, window=8, hold=0.25, hold_frames=(4, 16))
    made = HybridClipSampler([sequence], config, boxes={"v": np.ones(60_000, bool)})
    shown = [f for (request,) in made for f in request.frames if f != PADDING]
    assert len(shown) == 60_000
    assert np.mean(np.diff(shown) == 0) == pytest.approx(0.25, abs=0.02)
    runs = np.diff(np.flatnonzero(np.diff(shown, prepend=-1, append=-1)))
    assert set(runs[:-1]) <= {1, *range(5, 18)}


@pytest.mark.parametrize("settings", [{"hold": 1.0}, {"hold": 0.1, "hold_frames": (0, 4)}])
def test_impossible_holds_are_refused(settings):
    with pytest.raises(UserError, match="hold"):
        SamplerConfig(**settings)
