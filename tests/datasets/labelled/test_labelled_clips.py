"""Labelled clips: the epoch's plan, labels under flip and reversal, alternating data sets."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from stadet.datasets.clips.augment import AugmentConfig
from stadet.datasets.clips.loader import build_loader
from stadet.datasets.clips.samplers import BatchSampler, FixedPlan, Share
from stadet.datasets.labelled.clip_sampling import SamplingConfig
from stadet.datasets.labelled.labelled_clips import (
    AlternatingSampler,
    LabelledClips,
    Pixels,
    SeveralSets,
    TrainingPlan,
    evaluation_requests,
)
from stadet.datasets.labelled.labelled_video import ClassificationSet, LabelledVideo
from stadet.detect.batch import PADDING, ClipRequest
from stadet.detect.classification_batch import UNKNOWN, collate_labelled
from stadet.engine.errors import UserError

NAMES = ("left", "right", "still")
STEADY = AugmentConfig(zoom=(1, 1), aspect=0, colour=0, blur=0, noise=0, flip=0.0)
MIRROR = AugmentConfig(zoom=(1, 1), aspect=0, colour=0, blur=0, noise=0, flip=1.0)


def made(labels, flips=None):
    items = tuple(
        LabelledVideo(f"v{i}", Path(f"v{i}"), label, f"v{i}") for i, label in enumerate(labels)
    )
    return ClassificationSet(NAMES, items, None, flips or {})


def read(name, index):
    image = np.zeros((8, 12, 3), np.uint8)
    image[:, 0] = 200  # a bright left edge
    image[0, 1] = index
    return image


def pixels(count, length=20):
    names = [f"v{i}" for i in range(count)]
    return Pixels(dict.fromkeys(names, length), dict.fromkeys(names, (8, 12)), read)


def clips(data, **options):
    return LabelledClips(data, pixels(len(data)), (8, 12), **options)


def test_a_mirrored_clip_swaps_its_label_and_a_padding_clip_is_not_valid():
    data = made([0, 2], {"left": "right", "right": "left"})
    seen = clips(data, augment=MIRROR)
    clip = seen[ClipRequest("v0", (3, 4), augment_seed=1)]
    assert clip.label == 1 and clip.valid
    assert clip.inputs["frames"].shape == (2, 3, 8, 12)
    assert clip.inputs["frames"][0, :, :, -1].float().mean() > 190  # the edge is on the right
    assert seen[ClipRequest("v1", (0, 1), augment_seed=1)].label == 2
    assert seen[ClipRequest("v0", (3, 4))].label == 0  # no seed: no augmentation
    assert not seen[ClipRequest("v0", (PADDING, PADDING))].valid


def test_backwards_time_swaps_reverses_only():
    data = made([0, 2])
    seen = clips(data, reverses={"left": "right", "right": "left"})
    assert seen[ClipRequest("v0", (5, 4), reverse_time=True)].label == 1
    assert seen[ClipRequest("v1", (5, 4), reverse_time=True)].label == 2
    with pytest.raises(UserError, match="reverses"):
        clips(data, reverses={"left": "rigth", "rigth": "left"})


def test_videos_of_no_class_keep_their_label():
    data = ClassificationSet(NAMES, (LabelledVideo("v0", Path("v0"), UNKNOWN, "v0"),))
    assert clips(data, augment=MIRROR)[ClipRequest("v0", (0,), augment_seed=0)].label == UNKNOWN


def test_extra_inputs_see_the_request_and_the_pixels():
    def count(request, frames):
        return np.array([len(request.frames), *frames.shape], dtype=np.float32)

    seen = clips(made([0]), extras={"count": count})
    assert seen[ClipRequest("v0", (1, 2, 3))].inputs["count"].tolist() == [3, 3, 8, 12, 3]


def test_an_epoch_shows_every_video_in_an_order_of_its_own():
    sampling = SamplingConfig("uniform-clips", 4, clips=5)
    plan = TrainingPlan(made([0, 1, 2, 0]), pixels(4).lengths, sampling, seed=1)
    first = plan.requests(0)
    assert len(first) == len(plan) == 20
    assert Counter(r.video for r in first) == {f"v{i}": 5 for i in range(4)}
    assert plan.requests(0) == first and plan.requests(1) != first
    assert len({r.augment_seed for r in first}) == 20


def test_an_epoch_draws_several_clips_of_a_video():
    sampling = SamplingConfig("strided", 4, step=1, train_clips=6)
    plan = TrainingPlan(made([0, 1]), pixels(2).lengths, sampling)
    drawn = plan.requests(0)
    assert Counter(r.video for r in drawn) == {"v0": 6, "v1": 6}
    assert len({(r.video, r.frames) for r in drawn}) > 4


def test_rare_classes_are_repeated_and_time_turned_back():
    plan = TrainingPlan(
        made([0, 0, 0, 0, 1]),
        pixels(5).lengths,
        SamplingConfig(frames=4),
        balance=1.0,
        reverse_share=0.5,
    )
    counts = Counter(r.video for r in plan.requests(0))
    assert counts["v4"] == 4 and counts["v0"] == 1
    turned = [r for epoch in range(20) for r in plan.requests(epoch)]
    for request in turned:
        assert (np.diff(request.frames) <= 0).all() == request.reverse_time
    assert 50 < sum(r.reverse_time for r in turned) < 110


def test_evaluation_asks_for_all_clips_of_all_videos_once():
    sampling = SamplingConfig("one-clip", 4, test_clips=3)
    requests = evaluation_requests(made([0, 1]), pixels(2).lengths, sampling)
    assert [r.video for r in requests] == ["v0"] * 3 + ["v1"] * 3
    assert all(r.augment_seed is None for r in requests)


def test_batches_of_every_rank_together_hold_every_request_once():
    data = made([0, 1, 2, 0, 1])
    requests = evaluation_requests(data, pixels(5).lengths, SamplingConfig(frames=2))
    seen = []
    for rank in range(2):
        sampler = BatchSampler(FixedPlan(requests), 2, Share(rank, 2))
        loader = build_loader(clips(data), sampler, workers=0, collate=collate_labelled)
        for batch in loader:
            seen += [v for v, valid in zip(batch.videos, batch.valid, strict=True) if valid]
            assert batch.frames.shape[1:] == (2, 3, 8, 12) and batch.labels.dtype == torch.int64
    assert sorted(seen) == [f"v{i}" for i in range(5)]


def alternating(counts=(5, 2), batch=2):
    samplers = []
    for count in counts:
        plan = TrainingPlan(made([0] * count), pixels(count).lengths, SamplingConfig(frames=2))
        samplers.append(BatchSampler(plan, batch))
    return AlternatingSampler(samplers)


def test_data_sets_take_turns_until_the_largest_is_through():
    sampler = alternating()
    batches = list(sampler)
    assert len(batches) == len(sampler) == 6
    assert [{number for number, _ in batch} for batch in batches] == [{0}, {1}] * 3
    shown = Counter(request.video for batch in batches for n, request in batch if n == 0)
    assert shown == {f"v{i}": 1 for i in range(5)}


def test_alternation_resumes_at_any_batch():
    whole = alternating()
    whole.set_epoch(1)
    batches = list(whole)
    for start in range(len(batches)):
        resumed = alternating()
        resumed.set_epoch(1, start)
        assert list(resumed) == batches[start:]


def test_clips_of_several_sets_say_whose_they_are():
    both = SeveralSets([clips(made([0])), clips(made([1]), head=1)])
    batch = collate_labelled([both[1, ClipRequest("v0", (0, 1))]] * 2)
    assert batch.head == 1 and batch.labels.tolist() == [1, 1]
    with pytest.raises(ValueError, match="one head"):
        collate_labelled([both[n, ClipRequest("v0", (0, 1))] for n in (0, 1)])


def test_steady_augmentation_changes_nothing():
    seen = clips(made([0]), augment=STEADY)
    plain = seen[ClipRequest("v0", (7,))].inputs["frames"]
    assert torch.equal(seen[ClipRequest("v0", (7,), augment_seed=5)].inputs["frames"], plain)
