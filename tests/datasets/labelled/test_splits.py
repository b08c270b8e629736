"""Dealing labelled videos: shares alike in every class, groups whole, the same for a seed."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stadet.datasets.labelled.labelled_video import ClassificationSet, LabelledVideo
from stadet.datasets.labelled.splits import deal_sides, folds
from stadet.engine.errors import UserError


def made(labels, groups=None, sides=None):
    groups = groups if groups is not None else range(len(labels))
    sides = sides or [None] * len(labels)
    items = tuple(
        LabelledVideo(str(i), Path(str(i)), int(label), str(group), side)
        for i, (label, group, side) in enumerate(zip(labels, groups, sides, strict=True))
    )
    return ClassificationSet(tuple("abc"), items)


def test_stratified_shares_are_alike_in_every_class():
    labels = np.repeat([0, 1, 2], [10, 20, 40])
    data = deal_sides(made(labels), "stratified", val=0.2, test=0.1, seed=3)
    counts = Counter((item.label, item.side) for item in data.items)
    assert [counts[label, "test"] for label in range(3)] == [1, 2, 4]
    assert [counts[label, "val"] for label in range(3)] == [2, 4, 8]
    again = deal_sides(made(labels), "stratified", val=0.2, test=0.1, seed=3)
    assert again.items == data.items
    assert deal_sides(made(labels), "stratified", val=0.2, seed=4).items != data.items


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 50), st.integers(5, 12), st.floats(0.1, 0.4))
def test_grouped_sides_share_no_group(seed, groups, val):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, size=60)
    data = made(labels, rng.integers(0, groups, size=60))
    dealt = deal_sides(data, "grouped", val=val, seed=seed)
    of_side = {side: {i.group for i in dealt.side(side).items} for side in dealt.sides}
    assert set(of_side) == {"train", "val"}
    assert not of_side["train"] & of_side["val"]


def test_given_sides_stay_and_validation_comes_from_training_by_groups():
    labels = [0, 1] * 20
    groups = np.arange(40) // 4
    sides = ["train"] * 32 + ["test"] * 8
    data = deal_sides(made(labels, groups, sides), "given", val=0.25)
    assert [i.side for i in data.items[32:]] == ["test"] * 8
    of_side = {side: {i.group for i in data.side(side).items} for side in data.sides}
    assert not of_side["train"] & of_side["val"] and len(of_side["val"]) == 2
    untouched = made(labels, groups, ["train"] * 30 + ["val"] * 10)
    assert deal_sides(untouched, "given").items == untouched.items
    with pytest.raises(UserError, match="no sides of their own"):
        deal_sides(made(labels), "given")


def test_all_trains_on_everything():
    assert deal_sides(made([0, 1, 2]), "all").sides == ("train",)


def test_folds_partition_the_videos_and_keep_groups_whole():
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 9, size=90)
    data = made(rng.integers(0, 3, size=90), groups)
    fold = folds(data, 5, seed=1)
    assert set(fold) == set(range(5))
    for group in range(9):
        assert len(set(fold[groups == group])) == 1
    plain = folds(data, 5, seed=1, grouped=False)
    counts = np.array([np.bincount(data.labels[plain == f], minlength=3) for f in range(5)])
    assert (counts.max(axis=0) - counts.min(axis=0) <= 1).all()
    np.testing.assert_array_equal(fold, folds(data, 5, seed=1))


def test_impossible_shares_and_folds_are_one_line():
    with pytest.raises(UserError, match="sum below 1"):
        deal_sides(made([0, 1]), "stratified", val=0.6, test=0.5)
    with pytest.raises(UserError, match=r"folds: expected 2 to 3 \(the groups\), found 4"):
        folds(made([0, 1, 0, 1], [0, 1, 2, 2]), 4, 0)
