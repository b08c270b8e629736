"""The generated order set: each video's reversal is in the opposite class."""

import cv2
import numpy as np
import pytest

from stadet.datasets.footage.video import open_video
from stadet.datasets.labelled.folders import read_class_folders
from stadet.datasets.labelled.reversals import PAIRS, write_reversals
from stadet.engine.errors import UserError


def test_every_performance_stands_there_forwards_and_backwards(tmp_path):
    folder = write_reversals(tmp_path / "out", performances=2, pairs=1, val=0.5, size=(32, 48))
    data = read_class_folders(folder)
    action = PAIRS[0]
    assert set(data.names) == {action.name, action.reverse}
    assert [len(data.side(side)) for side in ("train", "val")] == [2, 2]
    for side in ("train", "val"):
        (forward,), (backward,) = (
            list((folder / side / name).iterdir()) for name in (action.name, action.reverse)
        )
        a, b = open_video(forward), open_video(backward)
        assert len(a) == len(b) > 8
        for index in range(len(a)):
            np.testing.assert_array_equal(a.frame(index), b.frame(len(b) - 1 - index))
    first = [cv2.imread(str(p / "00001.png")) for p in sorted(folder.glob("*/*/*"))]
    assert (first[0] != first[-1]).any()


def test_wrong_numbers_and_full_folders_are_refused(tmp_path):
    with pytest.raises(UserError, match="1 to"):
        write_reversals(tmp_path / "a", pairs=99)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "x").write_text("")
    with pytest.raises(UserError, match="empty folder"):
        write_reversals(tmp_path / "b", performances=2, size=(32, 48))
