"""What of a data set a resumed run compares."""

from dataclasses import replace

import numpy as np
import pytest

from stadet.datasets.identity import annotations_digest, differences
from stadet.datasets.splits.overlap import refuse_duplicates
from stadet.datasets.splits.split import Split
from stadet.detect.structures import VideoAnnotations
from stadet.engine.errors import UserError


def video(**changes):
    made = VideoAnnotations.build(
        "v",
        (64, 96),
        25.0,
        np.ones(10, dtype=bool),
        np.array([2, 5]),
        np.array([[1.0, 2, 30, 40], [5, 5, 20, 20]]),
        np.array([[True, False], [False, True]]),
    )
    return replace(made, **changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"fps": 24.0},
        {"size": (64, 97)},
        {"looked_at": np.arange(10) > 0},
        {"frames": np.array([2, 6])},
        {"boxes": np.array([[1.0, 2, 30, 40], [5, 5, 20, np.nextafter(20, 21)]])},
        {"labels": np.array([[True, True], [False, True]])},
        {"track_ids": np.array([7, 8])},
        {"ignored": np.array([True, False])},
        {"times": np.arange(10) / 24},
    ],
)
def test_any_change_of_annotations_changes_the_digest(changes):
    assert annotations_digest(video()) == annotations_digest(video())
    assert annotations_digest(video(**changes)) != annotations_digest(video())


def test_what_changed_is_named():
    before = {
        "names": ["a", "b"],
        "split": "0" * 16,
        "videos": {"v": "1", "w": "2", "x": "3"},
        "annotations": {"v": "1", "w": "2", "x": "3"},
        "reverses": {},
    }
    now = {
        "names": ["b", "a"],
        "split": "f" * 16,
        "videos": {"v": "9", "w": "2", "y": "3"},
        "annotations": {"v": "1", "w": "8", "y": "3"},
        "reverses": {},
    }
    assert differences(before, before) == []
    assert differences(before, now) == [
        "the classes ('a', 'b' before, 'b', 'a' now)",
        "the content of 'v'",
        "'x' gone",
        "'y' added",
        "the annotations of 'w'",
        f"the split ({'0' * 16} before, {'f' * 16} now)",
    ]
    assert differences({"split": "0" * 16}, now) == [
        f"the split ({'0' * 16} before, {'f' * 16} now)"  # all that an earlier version wrote
    ]


@pytest.mark.parametrize("side", ["val", "test"])
def test_the_same_footage_under_two_names(side):
    frames = np.arange(10) < 6
    masks = {"train": {"a": frames}, side: {"b": np.arange(12) > 3, "c": frames}}
    with pytest.raises(UserError, match=f"'a' and 'b' are the same footage, and 2 .* on {side}"):
        refuse_duplicates(Split(masks, {"a": "1", "b": "1", "c": "2"}))
    refuse_duplicates(Split(masks, {"a": "1", "b": "3", "c": "2"}))
    refuse_duplicates(Split(masks))
    apart = {"train": {"a": frames}, side: {"b": ~frames}}  # no frame is on both
    refuse_duplicates(Split(apart, {"a": "1", "b": "1"}))
