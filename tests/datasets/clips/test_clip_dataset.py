import numpy as np
import pytest
import torch

from stadet.datasets.clips.augment import AugmentConfig
from stadet.datasets.clips.clip_dataset import ClipDataset
from stadet.datasets.clips.collate import collate
from stadet.datasets.label_maps import swap_order
from stadet.detect.batch import PADDING, ClipRequest
from stadet.detect.view import PAD_VALUE
from stadet.engine.errors import UserError
from tests.datasets.small_truth import BOX, NAMES, SIZE, annotation_set, video
from tests.planted import find_rectangle, rectangle_image

GEOMETRY = AugmentConfig(zoom=(0.8, 1.1), flip=0.5, colour=0, blur=0, noise=0)
MIRROR = AugmentConfig(zoom=(1, 1), aspect=0, flip=1, colour=0, blur=0, noise=0)


def truth():
    return annotation_set(video("a", [0, 1, 1, 1, 1, 0, 1, 1], {1: 0, 2: 1, 3: 2, 6: 0}))


def read_frame(name, index):
    return rectangle_image(SIZE, BOX)


def numbered(name, index):
    return np.full((*SIZE, 3), index, dtype=np.uint8)


def dataset(read=read_frame, **options):
    return ClipDataset(truth(), read, (96, 128), **options)


def label_rows(clip):
    return [
        (int(i), NAMES[int(row.argmax())])
        for i, row in zip(clip.targets.item, clip.targets.labels, strict=True)
    ]


def test_frames_and_truth_come_in_the_order_asked_for():
    clip = dataset(numbered)[ClipRequest("a", (0, 1, 2, 4))]
    assert clip.frames.shape == (4, 3, 96, 128) and clip.frames.dtype == torch.uint8
    middle = clip.frames[:, 0, 48, 64].tolist()
    assert middle == [0, 1, 2, 4]
    assert clip.targets.looked_at.tolist() == [False, True, True, True]
    assert label_rows(clip) == [(1, "left"), (2, "right")]
    assert clip.targets.boxes.dtype == torch.float32
    assert clip.frame_indices.tolist() == [0, 1, 2, 4]
    assert clip.valid.all() and clip.starts_stream


def test_padding_is_grey_never_looked_at_and_never_read():
    def read(name, index):
        assert index >= 0
        return read_frame(name, index)

    clip = dataset(read)[ClipRequest("a", (2, PADDING), starts_stream=False)]
    assert clip.valid.tolist() == [True, False]
    assert clip.targets.looked_at.tolist() == [True, False]
    assert (clip.frames[1] == PAD_VALUE).all() and not clip.starts_stream
    nothing = dataset(read)[ClipRequest("a", (PADDING, PADDING), augment_seed=1)]
    assert not nothing.valid.any() and len(nothing.targets.boxes) == 0
    assert nothing.targets.labels.shape == (0, 3)


def test_a_repeated_frame_is_read_once():
    reads = []

    def read(name, index):
        reads.append(index)
        return read_frame(name, index)

    clip = dataset(read)[ClipRequest("a", (1, 1, 1, 2))]
    assert reads == [1, 2]
    assert torch.equal(clip.frames[0], clip.frames[2])
    assert clip.targets.item.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("resize", ["letterbox", "stretch"])
@pytest.mark.parametrize("seed", [None, 0, 1, 2, 3, 4, 5])
def test_truth_lies_on_the_planted_rectangle_in_every_frame(resize, seed):
    clip = dataset(resize=resize, augment=GEOMETRY)[ClipRequest("a", (1, 2, 3), augment_seed=seed)]
    assert len(clip.targets.boxes) == 3
    for frame, box in zip(clip.frames, clip.targets.boxes, strict=True):
        found = find_rectangle(frame.permute(1, 2, 0).numpy())
        np.testing.assert_allclose(found, box.numpy(), atol=0.35)
        back = clip.view.to_video(box.numpy()[None])
        np.testing.assert_allclose(back, [BOX], atol=1e-3)


def test_a_reduced_copy_of_the_frame_gives_the_same_truth():
    half = lambda name, index: rectangle_image((60, 100), np.array(BOX) / 2)  # noqa: E731
    request = ClipRequest("a", (1,), augment_seed=3)
    whole, reduced = (dataset(r, augment=GEOMETRY)[request] for r in (read_frame, half))
    assert torch.equal(whole.targets.boxes, reduced.targets.boxes)
    found = find_rectangle(reduced.frames[0].permute(1, 2, 0).numpy())
    np.testing.assert_allclose(found, reduced.targets.boxes[0], atol=0.35)


def test_mirrored_clips_swap_declared_labels_only():
    swaps = {"left": "right", "right": "left"}
    clip = dataset(augment=MIRROR, flip_labels=swaps)[ClipRequest("a", (1, 2, 3), augment_seed=0)]
    assert clip.view.flip
    assert label_rows(clip) == [(0, "right"), (1, "left"), (2, "wave")]
    plain = dataset(augment=MIRROR)[ClipRequest("a", (1, 2, 3), augment_seed=0)]
    assert label_rows(plain) == [(0, "left"), (1, "right"), (2, "wave")]


def test_reversed_clips_swap_declared_labels_only():
    swaps = {"left": "wave", "wave": "left"}
    clip = dataset(numbered, reverses=swaps)[ClipRequest("a", (3, 2, 1), reverse_time=True)]
    assert label_rows(clip) == [(0, "left"), (1, "right"), (2, "wave")]
    assert clip.frames[:, 0, 48, 64].tolist() == [3, 2, 1]


def test_mirrored_and_reversed_apply_both_maps():
    data = dataset(
        augment=MIRROR,
        flip_labels={"left": "right", "right": "left"},
        reverses={"left": "wave", "wave": "left"},
    )
    clip = data[ClipRequest("a", (1,), augment_seed=0, reverse_time=True)]
    assert label_rows(clip) == [(0, "right")]  # left, mirrored: right, which has no reverse


def test_no_seed_or_no_configuration_means_no_augmentation():
    request = ClipRequest("a", (1,), augment_seed=5)
    plain = dataset()[ClipRequest("a", (1,))]
    assert torch.equal(dataset()[request].frames, plain.frames)
    unseeded = dataset(augment=AugmentConfig(colour=1, noise=1))[ClipRequest("a", (1,))]
    assert torch.equal(unseeded.frames, plain.frames) and unseeded.view == plain.view


def test_the_same_seed_gives_the_same_clip_also_in_parts():
    data = dataset(augment=AugmentConfig(colour=1, noise=1, blur=1))
    whole = data[ClipRequest("a", (1, 2, 3, 4), augment_seed=9)]
    parts = [data[ClipRequest("a", part, augment_seed=9)] for part in ((1, 2), (3, 4))]
    assert torch.equal(torch.cat([part.frames for part in parts]), whole.frames)
    assert parts[0].view == parts[1].view == whole.view


def test_a_frame_that_lost_its_boxes_is_still_looked_at():
    corner = annotation_set(video("a", [1], {0: 0}, box=(0, 0, 4, 4)))
    config = AugmentConfig(zoom=(3, 3), shift=0)
    data = ClipDataset(corner, read_frame, (96, 128), resize="stretch", augment=config)
    clip = data[ClipRequest("a", (0,), augment_seed=0)]
    assert len(clip.targets.boxes) == 0 and clip.targets.looked_at.all()


@pytest.mark.parametrize(
    ("swaps", "message"),
    [
        ({"left": "rigth", "rigth": "left"}, "did you mean right"),
        ({"left": "right"}, "must become"),
    ],
)
def test_wrong_label_maps_are_refused(swaps, message):
    with pytest.raises(UserError, match=message):
        dataset(flip_labels=swaps)


def test_swap_order_is_its_own_inverse():
    order = swap_order(NAMES, {"left": "wave", "wave": "left", "right": "right"}, "x")
    assert order.tolist() == [2, 1, 0]
    assert order[order].tolist() == [0, 1, 2]


def test_collated_targets_point_at_their_images():
    data = dataset(numbered)
    requests = [ClipRequest("a", (1, 2)), ClipRequest("a", (4, PADDING)), ClipRequest("a", (3, 6))]
    batch = collate([data[request] for request in requests])
    assert batch.frames.shape == (3, 2, 3, 96, 128)
    assert batch.targets.item.tolist() == [0, 1, 4, 5]
    assert batch.targets.looked_at.tolist() == [True, True, True, False, True, True]
    for image, box_class in zip(batch.targets.item, batch.targets.labels.argmax(1), strict=True):
        frame = int(batch.frame_indices.flatten()[image])
        assert truth().videos["a"][frame].labels[0, box_class]
    assert batch.valid.tolist() == [[True, True], [True, False], [True, True]]
    assert len(batch.views) == 3 and batch.videos == ["a"] * 3


def test_collate_refuses_mixed_lengths():
    data = dataset()
    with pytest.raises(ValueError, match="one shape"):
        collate([data[ClipRequest("a", (1, 2))], data[ClipRequest("a", (1,))]])
