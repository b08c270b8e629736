from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stadet.datasets.clips.frame_choice import FrameChoice
from stadet.datasets.clips.samplers import (
    BatchSampler,
    FixedPlan,
    Share,
    frame_sampler,
    key_frame_clip,
    key_frame_sampler,
)
from stadet.detect.batch import PADDING, ClipRequest
from tests.datasets.small_truth import annotation_set, random_set, video

SEEDS = st.integers(0, 2**32 - 1)
WORLDS = st.sampled_from([1, 2, 3])
BATCHES = st.integers(1, 7)


def epoch(samplers, number=0):
    """Batches of each rank."""
    for sampler in samplers:
        sampler.set_epoch(number)
    return [list(sampler) for sampler in samplers]


def ranks(world, make):
    return [make(Share(rank, world)) for rank in range(world)]


def frames_of(per_rank):
    requests = [r for batches in per_rank for batch in batches for r in batch]
    return [(r.video, r.frames[-1]) for r in requests if r.frames[-1] != PADDING]


@given(SEEDS, WORLDS, BATCHES, st.integers(0, 3))
def test_every_positive_frame_once_and_equal_counts(seed, world, batch_size, number):
    data = random_set(seed)
    per_rank = epoch(
        ranks(world, lambda share: frame_sampler(data, batch_size, seed=seed, share=share)), number
    )
    sampler = frame_sampler(data, batch_size, share=Share(0, world))
    assert {len(batches) for batches in per_rank} == {len(sampler)}
    assert all(len(b) == batch_size for batches in per_rank for b in batches[:-1])
    seen = Counter(frames_of(per_rank))
    assert max(seen.values()) == 1
    positive = {(v.name, f) for v in data for f in v.frames.tolist()}
    looked_at = {(v.name, f) for v in data for f in np.flatnonzero(v.looked_at).tolist()}
    assert positive <= set(seen) <= looked_at
    assert len(seen) == len(positive) + min(len(positive), len(looked_at - positive))


@given(SEEDS, WORLDS, BATCHES)
def test_ranks_together_make_the_same_epoch_as_one_process(seed, world, batch_size):
    data = random_set(seed)
    together = epoch(ranks(world, lambda s: frame_sampler(data, batch_size, share=s)))
    alone = epoch([frame_sampler(data, batch_size * world)])[0]
    for number, batch in enumerate(alone):
        parts = [r for batches in together for r in batches[number] if r.frames != (PADDING,)]
        assert sorted(parts, key=repr) == sorted(batch, key=repr)


@given(SEEDS, WORLDS, BATCHES, st.integers(0, 5))
def test_resumed_is_uninterrupted(seed, world, batch_size, epoch_number):
    data = random_set(seed)
    for share in (Share(rank, world) for rank in range(world)):
        make = lambda share=share: frame_sampler(data, batch_size, balance=0.5, share=share)  # noqa: E731
        (whole,) = epoch([make()], epoch_number)
        start = seed % (len(whole) + 1)
        resumed = make()
        resumed.set_epoch(epoch_number, start)
        assert list(resumed) == whole[start:]
        assert len(resumed) == len(whole)
        resumed.set_epoch(epoch_number)
        assert list(resumed) == whole


def test_epochs_differ_in_order_and_augmentation_and_repeat_exactly():
    data = random_set(5)
    sampler = frame_sampler(data, 4, seed=1)
    (first,), (second,), (again,) = (epoch([sampler], number) for number in (0, 1, 0))
    assert first == again != second
    seeds = [r.augment_seed for batches in (first, second) for batch in batches for r in batch]
    assert len(set(seeds)) == len(seeds)
    (unseeded,) = epoch([frame_sampler(data, 4, augment=False)])
    assert all(r.augment_seed is None for batch in unseeded for r in batch)


@given(SEEDS, st.integers(1, 10), st.sampled_from([1, 2]))
def test_key_frame_clips_end_at_the_key_frame_and_stay_on_their_side(seed, clip_length, step):
    data = random_set(seed)
    rng = np.random.default_rng(seed)
    usable = {v.name: (rng.random(v.num_frames) < 0.8) | v.looked_at for v in data}
    sampler = key_frame_sampler(data, clip_length, 3, steps=(step,), usable=usable, seed=seed)
    for batch in epoch([sampler])[0]:
        for request in batch:
            frames = np.array(request.frames)
            assert len(frames) == clip_length
            run = usable[request.video][frames.min() : frames[-1] + 1]
            assert run.all()  # nothing barred anywhere between the first frame and the last
            gaps = np.diff(frames)
            assert set(gaps) <= set(range(step + 1))
            assert data.videos[request.video].looked_at[frames[-1]]
            free = frames > frames.min()  # before the edge is reached, steps are whole
            assert (gaps[free[:-1]] == step).all()


def test_key_frame_clips_as_a_table():
    assert key_frame_clip(5, 4) == (2, 3, 4, 5)
    assert key_frame_clip(5, 4, step=2) == (0, 1, 3, 5)
    assert key_frame_clip(1, 4) == (0, 0, 0, 1)
    assert key_frame_clip(0, 3) == (0, 0, 0)
    usable = np.array([1, 1, 0, 1, 1, 1], dtype=bool)
    assert key_frame_clip(5, 4, usable=usable) == (3, 3, 4, 5)
    assert key_frame_clip(3, 2, usable=usable) == (3, 3)
    assert key_frame_clip(1, 3, usable=usable) == (0, 0, 1)


@given(SEEDS, st.integers(1, 6), st.sampled_from([1, 2]))
def test_a_reversed_clip_is_the_clip_of_the_film_played_from_its_end(seed, clip_length, step):
    data = random_set(seed)
    rng = np.random.default_rng(seed)
    usable = {v.name: (rng.random(v.num_frames) < 0.8) | v.looked_at for v in data}
    sampler = key_frame_sampler(
        data, clip_length, 3, steps=(step,), usable=usable, reverse_share=1, seed=seed
    )
    for batch in epoch([sampler])[0]:
        for request in batch:
            assert request.reverse_time
            film = np.arange(data.videos[request.video].num_frames)[::-1]  # as it would be shown
            key = int(np.flatnonzero(film == request.frames[-1])[0])
            shown = key_frame_clip(key, clip_length, step, usable[request.video][::-1])
            assert request.frames == tuple(film[list(shown)])
            assert data.videos[request.video].looked_at[request.frames[-1]]


def test_the_share_of_reversed_clips():
    data = annotation_set(video("a", [1] * 400, dict.fromkeys(range(400), 0)))
    some, none = (
        [request.reverse_time for batch in epoch([sampler])[0] for request in batch]
        for sampler in (
            key_frame_sampler(data, 4, 8, reverse_share=0.25),
            key_frame_sampler(data, 4, 8),
        )
    )
    assert 0.18 < np.mean(some) < 0.32 and not any(none)


def test_both_steps_are_drawn():
    data = annotation_set(video("a", [1] * 60, {f: 0 for f in range(30, 60)}))
    (batches,) = epoch([key_frame_sampler(data, 4, 8, negatives=0)])
    gaps = Counter(r.frames[-1] - r.frames[-2] for batch in batches for r in batch)
    assert set(gaps) == {1, 2}


def test_fewer_requests_than_ranks_leaves_padding():
    requests = [ClipRequest("a", (0, 1))]
    per_rank = epoch(ranks(3, lambda share: BatchSampler(FixedPlan(requests), 4, share)))
    assert per_rank == [[requests], *[[[ClipRequest("a", (PADDING, PADDING))]]] * 2]
    assert list(BatchSampler(FixedPlan([]), 4)) == []


def test_shares_and_batch_sizes_are_checked():
    for rank, world in ((1, 1), (-1, 2), (0, 0)):
        with pytest.raises(ValueError, match="rank"):
            Share(rank, world)
    with pytest.raises(ValueError, match="batch size"):
        BatchSampler(FixedPlan([]), 0)


def test_choice_is_independent_of_the_plan_that_uses_it():
    choice = FrameChoice(random_set(2))
    assert len(choice) == len(choice.draw(np.random.default_rng(0)))
