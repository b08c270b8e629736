import numpy as np
import pytest

from stadet.anchors.anchors import Anchors
from stadet.anchors.diagnosis import comparison, diagnose
from stadet.anchors.plot import plot_anchors
from stadet.anchors.presets import YOLOV3_COCO
from stadet.anchors.shapes import shape_iou
from stadet.engine.errors import UserError

ANCHORS = Anchors(([[10, 10]], [[40, 20], [400, 400]]), (16, 32), (416, 416))
SIZES = np.array([[10, 10], [20, 10], [40, 20], [40, 5], [12, 10]], dtype=float)
LABELS = np.array([[1, 0], [0, 1], [1, 1], [0, 1], [1, 0]], dtype=bool)


def test_figures_by_hand():
    found = diagnose(SIZES, ANCHORS, labels=LABELS, names=("a", "b"))
    # IoU with the best: 1, 100 / 200, 1, 200 / 800, 100 / 120
    assert found.mean_iou == pytest.approx((1 + 0.5 + 1 + 0.25 + 100 / 120) / 5)
    assert found.recall_50 == pytest.approx(4 / 5)
    assert found.counts.tolist() == [3, 2, 0] and found.unused.tolist() == [2]
    assert found.shares.sum() == pytest.approx(1)
    assert found.per_class["a"] == (3, pytest.approx((1 + 1 + 100 / 120) / 3), 1.0)
    assert found.per_class["b"][2] == pytest.approx(2 / 3)


def test_equal_to_the_whole_matrix():
    sizes = np.random.default_rng(0).uniform(2, 400, (5000, 2))
    found = diagnose(sizes, YOLOV3_COCO)
    iou = shape_iou(sizes, YOLOV3_COCO.sizes)
    assert found.mean_iou == pytest.approx(iou.max(axis=1).mean(), abs=1e-6)
    assert found.counts.tolist() == np.bincount(iou.argmax(axis=1), minlength=9).tolist()


def test_text_names_unused_anchors_and_puts_the_worst_class_first():
    text = diagnose(SIZES, ANCHORS, labels=LABELS, names=("a", "b")).text()
    assert text.count("no box uses it") == 1
    assert text.index("\nb ") < text.index("\na ")
    assert "class" not in diagnose(SIZES, ANCHORS).text()


def test_a_class_without_boxes_is_left_out():
    labels = np.column_stack([LABELS, np.zeros(5, dtype=bool)])
    found = diagnose(SIZES, ANCHORS, labels=labels, names=("a", "b", "none"))
    assert set(found.per_class) == {"a", "b"}


def test_comparison_has_a_line_for_each():
    one = diagnose(SIZES, ANCHORS)
    two = diagnose(SIZES, ANCHORS, labels=LABELS, names=("a", "b"))
    lines = comparison({"plain": one, "a longer name": two}).splitlines()
    assert len(lines) == 3 and lines[1].startswith("plain") and "66.7%" in lines[2]


def test_no_boxes():
    with pytest.raises(UserError, match="at least 1"):
        diagnose(np.zeros((0, 2)), ANCHORS)


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_plot_is_written_whole(tmp_path, suffix):
    path = tmp_path / f"anchors{suffix}"
    plot_anchors(path, SIZES, diagnose(SIZES, ANCHORS))
    assert path.stat().st_size > 5000
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
