"""`Detections`: selection, merging and exchange with other libraries."""

import doctest
import json
import sys

import numpy as np
import pytest

from stadet.detect import structures
from stadet.detect.structures import Detections
from stadet.engine.errors import UserError

NAMES = ("wipe", "phone", "cut")
SCORES = np.array([[0.8, 0.3, 0.0], [0.0, 0.6, 0.0], [0.2, 0.0, 0.9], [0.0, 0.0, 0.0]])


def some(**changes):
    boxes = np.array([[10, 20, 50, 80], [30, 30, 60, 90], [0, 0, 5, 5], [1, 1, 2, 2]], dtype=float)
    fields = {"names": NAMES, "video": "kitchen", "frame": 12, "seconds": 0.48, **changes}
    return Detections(boxes, np.array([0.9, 0.8, np.nan, 0.1]), SCORES.copy(), **fields)


def pairs_of(found):
    """Every (box, class name, score), the slow way."""
    return {
        (tuple(box), found.names[c], score)
        for box, row in zip(found.boxes.tolist(), found.scores.tolist(), strict=True)
        for c, score in enumerate(row)
        if score > 0
    }


def test_the_docstring_tells_the_truth():
    assert doctest.testmod(structures, extraglobs={"np": np}) == (0, 4)


def test_repr_names_place_and_classes():
    assert repr(some()) == (
        "Detections(4 boxes in kitchen on frame 12 (0.48 s): "
        "wipe 0.80 + phone 0.30, phone 0.60, cut 0.90 + wipe 0.20, no class)"
    )
    assert repr(Detections.empty(2)) == "Detections(0 boxes)"
    many = Detections(np.zeros((9, 4)), np.zeros(9), np.full((9, 1), 0.5))
    assert repr(many) == f"Detections(9 boxes: {', '.join(['0 0.50'] * 5)}, ..)"


@pytest.mark.parametrize(
    ("rows", "kept"),
    [
        (1, [1]),
        (-1, [3]),
        (np.int64(2), [2]),
        (slice(0, 2), [0, 1]),
        ([2, 0], [2, 0]),
        (np.array([False, True, True, False]), [1, 2]),
        ([], []),
    ],
)
def test_indexing_keeps_rows_and_place(rows, kept):
    part = some()[rows]
    np.testing.assert_array_equal(part.boxes, some().boxes[kept])
    np.testing.assert_array_equal(part.scores, SCORES[kept])
    assert (part.names, part.video, part.frame, part.seconds) == (NAMES, "kitchen", 12, 0.48)
    assert [len(one) for one in part] == [1] * len(kept)


def test_a_mask_of_another_length_and_an_index_outside_are_refused():
    with pytest.raises(IndexError):
        some()[np.array([True])]
    with pytest.raises(IndexError):
        some()[4]


def test_filters_work_on_pairs_of_box_and_class():
    found = some()
    assert pairs_of(found.above(0.6)) == {p for p in pairs_of(found) if p[2] >= 0.6}
    per_class = {"wipe": 0.5, "phone": 0.5, "cut": 0.95}
    assert pairs_of(found.above(list(per_class.values()))) == {
        p for p in pairs_of(found) if p[2] >= per_class[p[1]]
    }
    assert pairs_of(found.with_classes("wipe", 2)) == {
        p for p in pairs_of(found) if p[1] in ("wipe", "cut")
    }
    assert len(found.above(0)) == 3  # a box of no class is no detection
    assert found.with_classes("phone").num_classes == 3
    assert len(found.with_classes()) == 0
    np.testing.assert_array_equal(found.scores, SCORES)  # nothing changed in place


@pytest.mark.parametrize(
    ("label", "message"),
    [("fone", r"no class 'fone' \(did you mean phone"), (3, "expected 0 to 2"), (-1, "0 to 2")],
)
def test_an_unknown_class_is_told(label, message):
    with pytest.raises(UserError, match=message):
        some().with_classes(label)
    with pytest.raises(UserError, match="have no names"):
        some(names=None).with_classes("wipe")


def test_names_fit_the_scores():
    with pytest.raises(ValueError, match="expected 3 names as scores have columns, found 1"):
        some(names=("a",))


def test_pairs_are_all_of_them_best_first():
    rows, classes, scores = some().pairs()
    assert (np.diff(scores) <= 0).all()
    assert set(zip(rows.tolist(), classes.tolist(), strict=True)) == set(
        zip(*(index.tolist() for index in np.nonzero(SCORES)), strict=True)
    )
    np.testing.assert_array_equal(SCORES[rows, classes], scores)


def test_merging_takes_parts_apart_and_together():
    found = some()
    merged = Detections.merge(found[[row]] for row in range(4))
    for key in ("boxes", "objectness", "scores"):
        np.testing.assert_array_equal(getattr(merged, key), getattr(found, key))
    assert (merged.names, merged.frame, merged.seconds) == (NAMES, 12, 0.48)
    other = Detections.merge([found, some(frame=13, names=None)])
    assert (len(other), other.names, other.frame, other.seconds) == (8, NAMES, None, 0.48)
    for parts in ([], [found, Detections.empty(2)], [found, some(names=("a", "b", "c"))]):
        with pytest.raises(ValueError, match="expected parts of the same classes"):
            Detections.merge(parts)


def test_plain_data_is_json():
    told = json.loads(json.dumps(some().to_dict()))
    assert told["video"] == "kitchen" and told["frame"] == 12 and told["seconds"] == 0.48
    assert told["detections"][0] == {
        "box": [10.0, 20.0, 50.0, 80.0],
        "objectness": 0.9,
        "scores": {"wipe": 0.8, "phone": 0.3},
    }
    assert told["detections"][2]["objectness"] is None
    assert some(names=None).to_dict()["detections"][1]["scores"] == {"1": 0.6}


def test_pandas_has_a_row_for_each_pair():
    pytest.importorskip("pandas")
    table = some().to_pandas()
    told = {
        ((row.x1, row.y1, row.x2, row.y2), row.class_name, row.score) for row in table.itertuples()
    }
    assert told == pairs_of(some())
    assert table["frame"].tolist() == [12] * 5 and table["seconds"].tolist() == [0.48] * 5
    empty = Detections.empty(3, NAMES).to_pandas()
    assert empty.columns.tolist() == table.columns.tolist() and len(empty) == 0


def test_supervision_and_back():
    supervision = pytest.importorskip("supervision")
    theirs = some().to_supervision()
    assert isinstance(theirs, supervision.Detections) and len(theirs) == 3
    assert theirs.class_id.tolist() == [0, 1, 2] and theirs.confidence.tolist() == [0.8, 0.6, 0.9]
    assert theirs.data["class_name"].tolist() == ["wipe", "phone", "cut"]
    back = Detections.from_supervision(theirs, NAMES)
    assert pairs_of(back) == pairs_of(some())
    np.testing.assert_array_equal(back.objectness, [0.9, 0.8, np.nan])
    # what the other library selects comes back as what we select
    chosen = Detections.from_supervision(theirs[theirs.confidence > 0.7], NAMES)
    assert pairs_of(chosen) == pairs_of(some()[[0, 2]])
    pairs = some().to_supervision(multi_label=True)
    assert len(pairs) == 5
    assert pairs_of(Detections.from_supervision(pairs, NAMES)) == pairs_of(some())
    for multi_label in (False, True):
        nothing = Detections.empty(3).to_supervision(multi_label=multi_label)
        assert len(nothing) == len(Detections.from_supervision(nothing)) == 0


def test_detections_of_other_programs():
    supervision = pytest.importorskip("supervision")
    boxes = np.array([[0, 0, 4, 4], [1, 1, 3, 3]], dtype=np.float32)
    theirs = supervision.Detections(boxes, class_id=np.array([2, 0]), confidence=np.array([0.5, 1]))
    ours = Detections.from_supervision(theirs)
    np.testing.assert_array_equal(ours.scores, [[0, 0, 0.5], [1, 0, 0]])
    assert np.isnan(ours.objectness).all() and ours.names is None
    changed = some().to_supervision()
    changed.confidence = changed.confidence / 2
    np.testing.assert_array_equal(
        Detections.from_supervision(changed).scores, np.diag([0.4, 0.3, 0.45])
    )
    with pytest.raises(UserError, match=r"expected class ids from 0 to 1 for 2 names, found 0 to"):
        Detections.from_supervision(theirs, ("a", "b"))
    with pytest.raises(UserError, match=r"expected supervision\.Detections with class_id"):
        Detections.from_supervision(supervision.Detections(boxes))


@pytest.mark.parametrize("package", ["pandas", "supervision"])
def test_a_missing_package_is_one_line(package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError, match=f"{package} is not installed; run: pip install {package}"):
        getattr(some(), f"to_{package}")()
