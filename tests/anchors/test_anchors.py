import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stadet.anchors.anchors import Anchors
from stadet.anchors.presets import PRESETS, YOLOV3_COCO, YOWO_UCF24, preset
from stadet.engine.errors import UserError

SIDES = st.floats(0.01, 5000, allow_nan=False)


@settings(deadline=None)
@given(
    sizes=st.lists(st.tuples(SIDES, SIDES), min_size=3, max_size=12),
    strides=st.sampled_from([(8,), (8, 16), (4, 16, 32)]),
    size=st.tuples(st.integers(32, 1000), st.integers(32, 1000)),
)
def test_saved_then_loaded_is_the_same(tmp_path_factory, sizes, strides, size):
    anchors = Anchors.from_sizes(np.array(sizes), strides, size)
    path = tmp_path_factory.mktemp("anchors") / "anchors.yaml"
    anchors.save(path)
    loaded = Anchors.load(path)
    assert loaded.strides == strides and loaded.network_size == size
    for ours, theirs in zip(anchors.levels, loaded.levels, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_sizes_are_dealt_by_area_finest_first():
    sizes = np.array([[100, 100], [1, 2], [30, 30], [5, 5], [2, 2], [50, 60], [9, 9]])
    anchors = Anchors.from_sizes(sizes, (8, 16, 32), (416, 416))
    assert anchors.num_per_level == (3, 2, 2)
    assert len(anchors) == 7
    areas = anchors.sizes.prod(axis=1)
    assert (np.diff(areas) >= 0).all()


def test_scaling_follows_each_side():
    scaled = YOLOV3_COCO.scaled_to((208, 832))
    np.testing.assert_allclose(scaled.levels[0][0], [20, 6.5])
    assert scaled.network_size == (208, 832)
    back = scaled.scaled_to((416, 416))
    np.testing.assert_allclose(back.sizes, YOLOV3_COCO.sizes)


def test_presets_have_published_numbers():
    assert YOLOV3_COCO.num_per_level == (3, 3, 3)
    assert YOLOV3_COCO.strides == (8, 16, 32)
    np.testing.assert_allclose(YOWO_UCF24.sizes[0], [0.70458 * 32, 1.18803 * 32])
    assert preset("yowo-ava") is PRESETS["yowo-ava"]
    with pytest.raises(UserError, match="yolov3-coco"):
        preset("yolov3-coc")


@pytest.mark.parametrize(
    ("levels", "strides", "size"),
    [
        ((), (), (416, 416)),
        (([[1, 2]],), (8, 16), (416, 416)),
        (([[1, 2]], [[3, 4]]), (16, 8), (416, 416)),
        ((np.zeros((0, 2)),), (8,), (416, 416)),
        (([[1, 2, 3]],), (8,), (416, 416)),
        (([[1, 0]],), (8,), (416, 416)),
        (([[1, float("nan")]],), (8,), (416, 416)),
        (([[1, 2]],), (8,), (0, 416)),
    ],
)
def test_bad_anchors_are_refused(levels, strides, size):
    with pytest.raises(ValueError, match="anchors"):
        Anchors(levels, strides, size)


def test_anchors_cannot_be_changed_by_accident():
    with pytest.raises(ValueError, match="read-only"):
        YOLOV3_COCO.levels[0][0, 0] = 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "schema: other/1",
        "schema: stad-anchors/1",
        "schema: stad-anchors/1\nnetwork_size: [416, 416]\nlevels: [{stride: 8}]",
        "schema: stad-anchors/1\nnetwork_size: [416, 416]\nlevels: [{stride: 8, sizes: [[a, 2]]}]",
        "schema: stad-anchors/1\nnetwork_size: [416]\nlevels: [{stride: 8, sizes: [[1, 2]]}]",
        "schema: stad-anchors/1\nnetwork_size: [4, 4]\nlevels: [{stride: 8, sizes: [[1], [2, 3]]}]",
        "[unclosed",
    ],
)
def test_broken_files_give_one_line_with_the_path(tmp_path, text):
    path = tmp_path / "anchors.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        Anchors.load(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_missing_file_says_how_to_make_one(tmp_path):
    with pytest.raises(UserError, match="kmeans-anchors"):
        Anchors.load(tmp_path / "none.yaml")
