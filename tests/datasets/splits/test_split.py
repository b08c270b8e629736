"""Splits: each looked-at frame on exactly one side, views together, one seed one split."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stadet.datasets.splits.overlap import overlap, refuse_overlap
from stadet.datasets.splits.split import Split, SplitConfig, make_split
from stadet.datasets.splits.units import deal
from stadet.detect.structures import AnnotationSet, VideoAnnotations
from stadet.engine.errors import UserError


def video(name, frames, fps=10.0, actions=(), classes=3, looked_at=None):
    """actions: (class, first, last)."""
    rows = [(f, c) for c, first, last in actions for f in range(first, last + 1)]
    labels = np.zeros((len(rows), classes), bool)
    labels[np.arange(len(rows)), [c for _, c in rows]] = True
    return VideoAnnotations.build(
        name,
        (48, 64),
        fps,
        np.ones(frames) if looked_at is None else looked_at,
        [f for f, _ in rows],
        [[0, 0, 9, 9]] * len(rows),
        labels,
    )


def annotation_set(*videos):
    return AnnotationSet(tuple("abc"), {v.name: v for v in videos})


def dense(split, side, annotations):
    return {v.name: split.mask(side, v.name, v.num_frames) for v in annotations}


@settings(max_examples=40, deadline=None)
@given(
    method=st.sampled_from(["blocks", "clips", "videos"]),
    seed=st.integers(0, 99),
    shares=st.sampled_from([(0.2, 0.0), (0.2, 0.2), (0.0, 0.3), (0.5, 0.1)]),
)
def test_every_looked_at_frame_is_on_one_side(method, seed, shares):
    rng = np.random.default_rng(seed)
    videos = [
        video(
            f"v{i}",
            int(rng.integers(200, 300)),
            actions=[(i % 3, 20, 60), (0, 90, 99)],
            looked_at=None,
        )
        for i in range(5)
    ]
    seen = np.arange(250) % 100 < 80
    videos.append(video("v5", 250, actions=[(1, 110, 130)], looked_at=seen))
    annotations = annotation_set(*videos)
    config = SplitConfig(method, val=shares[0], test=shares[1], seed=seed)
    split = make_split(annotations, config)
    for v in annotations:
        total = sum(split.mask(side, v.name, v.num_frames).astype(int) for side in split.masks)
        np.testing.assert_array_equal(total, v.looked_at)
    again = make_split(annotations, config)
    assert again.digest == split.digest
    assert Split.from_record(split.record()).digest == split.digest
    for side, share in zip(("val", "test"), shares, strict=True):
        assert (side in split.masks) == (share > 0)


def test_blocks_of_all_views_fall_on_the_same_side():
    front = video("front", 400, fps=10.0, actions=[(0, 50, 80)])
    side = video("side", 1200, fps=30.0)
    late = video("alone", 400, fps=10.0)
    annotations = annotation_set(front, side, late)
    views = {"counter": ["front", "side"]}
    split = make_split(annotations, SplitConfig(block_seconds=4), views=views)
    val = dense(split, "val", annotations)
    np.testing.assert_array_equal(np.repeat(val["front"], 3), val["side"])
    blocks = val["front"].reshape(-1, 40)
    assert (blocks.all(axis=1) == blocks.any(axis=1)).all() and blocks.any()
    assert sum(m.sum() / len(m) for m in val.values()) == pytest.approx(3 * 0.2, abs=0.15)
    other = make_split(annotations, SplitConfig(block_seconds=4, seed=1), views=views)
    assert other.digest != split.digest


def test_clips_are_not_cut():
    actions = [(i % 3, 30 * i + 5, 30 * i + 14) for i in range(20)]
    annotations = annotation_set(video("a", 600, actions=actions))
    val = make_split(annotations, SplitConfig("clips")).mask("val", "a", 600)
    for _, first, last in actions:
        assert val[first] == val[last] == val[first - 5 + 1 : last + 10].all()
    assert val.sum() == 600 * 0.2


def test_rare_classes_stand_on_both_sides():
    common = [(0, 40 * i, 40 * i + 9) for i in range(50)]
    rare = [(1, 40 * i + 20, 40 * i + 29) for i in (3, 41)] + [(2, 700, 705)]
    annotations = annotation_set(video("a", 2000, actions=common + rare))
    for seed in range(20):
        split = make_split(annotations, SplitConfig(seed=seed))
        train, val = (split.select(annotations, side).videos["a"] for side in ("train", "val"))
        assert train.labels.any(axis=0).all()  # also the class that happens once
        assert val.labels.any(axis=0).tolist() == [True, True, False]
        assert val.looked_at.sum() == 400


def test_deal_gives_every_side_its_share():
    rng = np.random.default_rng(0)
    presence = rng.random((100, 6)) < [0.5, 0.2, 0.1, 0.05, 0.03, 1]
    side = deal(presence, [0.7, 0.2, 0.1], seed=3)
    assert np.bincount(side).tolist() == [70, 20, 10]
    assert deal(np.ones((2, 1), bool), [0.9, 0.1], seed=0).tolist() in ([0, 1], [1, 0])
    assert deal(np.ones((1, 1), bool), [0.5, 0.5], seed=0).tolist() == [0]
    assert len(deal(np.ones((0, 2), bool), [0.8, 0.2], seed=0)) == 0


def test_lists_by_name_file_and_frame(tmp_path):
    annotations = annotation_set(video("A/x", 10), video("A/y", 10), video("B/z", 10))
    (tmp_path / "test.txt").write_text("labels/A/y/00001.txt\nA/y/00003.txt\nC/none/00001.txt\n")
    (tmp_path / "train.txt").write_text("A/x.avi 1\n")
    config = SplitConfig("lists", lists={"train": "train.txt", "val": ["z"], "test": "test.txt"})
    split = make_split(annotations, config, folder=tmp_path)
    assert {side: list(videos) for side, videos in split.masks.items()} == {
        "train": ["A/x"],
        "val": ["B/z"],
        "test": ["A/y"],
    }
    assert np.flatnonzero(split.mask("test", "A/y", 10)).tolist() == [0, 2]


def test_the_same_video_twice_needs_a_word():
    annotations = annotation_set(video("a", 10))
    lists = {"train": ["a"], "val": ["a"]}
    with pytest.raises(UserError, match="10 frames of video 'a' are on train and on val"):
        make_split(annotations, SplitConfig("lists", lists=lists))
    split = make_split(annotations, SplitConfig("lists", lists=lists, allow_overlap=True))
    assert split.mask("val", "a", 10).all() and split.mask("train", "a", 10).all()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (dict(method="blocks", block_seconds=100), "side 'val' has no looked-at frame"),
        (dict(method="videos", test=0.2), "side 'val' has no"),
        (dict(method="clips"), "side 'val' has no"),
        (dict(method="lists", lists={"train": ["b"]}), "no annotated video 'b'"),
        (dict(method="lists", lists={"trian": ["a"]}), "did you mean train"),
        (dict(method="lists", lists={"train": "none.txt"}), "no such file"),
    ],
)
def test_empty_sides_give_one_line(config, message):
    with pytest.raises(UserError, match=message):
        make_split(annotation_set(video("a", 50)), SplitConfig(**config))


@pytest.mark.parametrize(
    "config",
    [dict(val=1.0), dict(val=0.6, test=0.5), dict(block_seconds=0), dict(method="lists")],
)
def test_bad_configurations(config):
    with pytest.raises(UserError):
        SplitConfig(**config)


def test_nothing_looked_at_is_an_error():
    annotations = annotation_set(video("a", 50, looked_at=np.zeros(50)))
    with pytest.raises(UserError, match="side 'train'"):
        make_split(annotations)


def test_select_narrows_and_refuses_an_absent_side():
    annotations = annotation_set(video("a", 100, actions=[(0, 0, 99)]), video("b", 100))
    split = make_split(annotations, SplitConfig("videos", val=0.5))
    sides = [set(split.select(annotations, side).videos) for side in ("train", "val")]
    assert sorted(map(len, sides)) == [1, 1] and sides[0] != sides[1]
    with pytest.raises(UserError, match="side 'test'"):
        split.select(annotations, "test")


def test_overlap_goes_by_content_where_it_is_known():
    annotations = annotation_set(video("a", 100), video("b", 100))
    first = Split({"train": {"a": np.ones(100, bool)}}, {"a": "k1"})
    renamed = Split({"val": {"b": np.arange(100) < 30}}, {"b": "k1"})
    assert overlap(first, renamed) == {"val": {"b": 30}}
    other = Split({"val": {"a": np.ones(100, bool)}}, {"a": "k2"})
    assert overlap(first, other) == {}
    unknown = Split({"test": {"a": np.ones(100, bool)}})
    assert overlap(first, unknown) == {"test": {"a": 100}}
    refuse_overlap(first, other)
    with pytest.raises(UserError, match="30 frames of this split's val side"):
        refuse_overlap(first, renamed)
    split = make_split(annotations, SplitConfig(block_seconds=1))
    assert overlap(split, split) == {}


def test_a_clip_may_show_what_no_other_side_holds():
    """Between AVA's key frames nobody looked, but a clip shows those frames."""
    looked_at = np.arange(100) % 10 == 0
    annotations = annotation_set(video("a", 100, looked_at=looked_at), video("b", 100))
    split = make_split(annotations, SplitConfig("videos", val=0.5))
    own, other = ("train", "val") if "a" in split.masks["train"] else ("val", "train")
    assert split.mask(own, "a", 100).sum() == 10
    assert split.visible(own, "a", 100).all()
    assert np.array_equal(split.visible(other, "a", 100), ~looked_at)
    shared = Split({side: {"a": np.ones(100, bool)} for side in ("train", "val")})
    assert shared.visible("train", "a", 100).all()
    assert Split({"val": {"a": np.ones(100, bool)}}).visible("val", "a", 100).all()
