import pytest
import torch

from stadet.datasets.clips.augment import AugmentConfig
from stadet.datasets.clips.clip_dataset import ClipDataset
from stadet.datasets.clips.loader import build_loader
from stadet.datasets.clips.samplers import frame_sampler
from tests.datasets.small_truth import BOX, SIZE, random_set
from tests.planted import rectangle_image


def read_frame(name, index):
    image = rectangle_image(SIZE, BOX)
    image[0, 0] = index
    return image


def batches(workers, start_method=None, epochs=(0, 1), start=0):
    data = random_set(1)
    dataset = ClipDataset(data, read_frame, (64, 96), augment=AugmentConfig(colour=1, noise=1))
    sampler = frame_sampler(data, 3, seed=4)
    loader = build_loader(dataset, sampler, workers=workers, start_method=start_method)
    out = []
    for epoch in epochs:
        sampler.set_epoch(epoch, start)
        out += list(loader)
    return out


def assert_same(ours, theirs):
    assert len(ours) == len(theirs) > 0
    for one, other in zip(ours, theirs, strict=True):
        assert torch.equal(one.frames, other.frames)
        assert torch.equal(one.targets.boxes, other.targets.boxes)
        assert one.videos == other.videos and one.views == other.views


def test_workers_change_nothing():
    assert_same(batches(2, "fork"), batches(0))


@pytest.mark.slow
def test_spawned_workers_change_nothing():
    assert_same(batches(1, "spawn", epochs=(0,)), batches(0, epochs=(0,)))


def test_resumed_in_the_middle_of_an_epoch():
    assert_same(batches(2, epochs=(1,), start=2), batches(0, epochs=(1,))[2:])


def test_loading_leaves_the_global_generator_alone():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    batches(0)
    assert torch.equal(torch.rand(3), expected)
