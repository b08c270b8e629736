import json

import numpy as np
import pytest

from stadet.datasets.labelled.keypoints import read_keypoint_set
from stadet.engine.errors import UserError


@pytest.fixture
def root(tmp_path):
    """Two sides under the capitals that the report's two sets use."""
    rng = np.random.default_rng(0)
    for folder, side, count in (("Train", "train", 4), ("val", "val", 2)):
        place = tmp_path / folder
        place.mkdir()
        np.save(place / f"X_{side}_frames.npy", rng.integers(0, 256, (count, 3, 8, 6, 3), np.uint8))
        np.save(place / f"X_{side}_keypoints.npy", rng.random((count, 3, 1662)))
        np.save(place / f"y_{side}.npy", np.arange(count) % 2)
    (tmp_path / "label_encoder.json").write_text(json.dumps({"walk": 1, "dive": 0}))
    return tmp_path


def test_a_whole_set(root):
    train = read_keypoint_set(root, "train")
    assert len(train) == 4 and train.names == ("dive", "walk")
    assert train.frames.shape == (4, 3, 8, 6, 3) and train.keypoints.shape == (4, 3, 1662)
    assert train.labels.tolist() == [0, 1, 0, 1]
    assert len(read_keypoint_set(root, "val")) == 2


def test_files_may_lie_flat(root):
    for path in (root / "val").iterdir():
        path.rename(root / path.name)
    (root / "val").rmdir()
    assert len(read_keypoint_set(root, "val")) == 2


def break_with(root, name, array):
    np.save(root / "Train" / name, array)


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        (
            "X_train_keypoints.npy",
            np.zeros((4, 3, 258)),
            "expected 1662 keypoint values .* found 258",
        ),
        ("X_train_keypoints.npy", np.zeros((4, 2, 1662)), "the same clips"),
        ("X_train_frames.npy", np.zeros((4, 3, 8, 6, 1)), "expected .*, 3"),
        ("X_train_frames.npy", np.zeros((4, 8, 6, 3)), "expected 5 dimensions"),
        ("y_train.npy", np.array([0, 1, 2, 0]), "clip 2: label 2 is none of the 2"),
        ("y_train.npy", np.array([0, 1, 0.5, 0]), "clip 2: label 0.5"),
        ("y_train.npy", np.array(["a", "b", "c", "d"]), "expected numbers"),
        ("y_train.npy", np.array([0, 1, 0]), "the same clips"),
    ],
)
def test_arrays_that_do_not_fit(root, name, array, message):
    break_with(root, name, array)
    with pytest.raises(UserError, match=message) as caught:
        read_keypoint_set(root, "train")
    assert "\n" not in str(caught.value)


def test_damaged_and_missing_files(root):
    (root / "Train" / "y_train.npy").write_bytes(b"\x93NUMPY broken")
    with pytest.raises(UserError, match=r"y_train.npy: not a readable"):
        read_keypoint_set(root, "train")
    (root / "Train" / "y_train.npy").unlink()
    with pytest.raises(UserError, match=r"y_train.npy"):
        read_keypoint_set(root, "train")
    with pytest.raises(UserError, match="found neither"):
        read_keypoint_set(root, "test")
    with pytest.raises(UserError, match="no such folder"):
        read_keypoint_set(root / "nowhere", "train")


def test_pickled_arrays_are_not_run(root):
    np.save(root / "Train" / "y_train.npy", np.array([print, 1, 2, 3], dtype=object))
    with pytest.raises(UserError, match="not a readable"):
        read_keypoint_set(root, "train")


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"a": 0, "b": 2}', '{"a": 0, "b": 0}', '{"a": "x"}']
)
def test_bad_label_encoders(root, content):
    (root / "label_encoder.json").write_text(content)
    with pytest.raises(UserError, match="label_encoder"):
        read_keypoint_set(root, "train")


def test_a_missing_label_encoder(root):
    (root / "label_encoder.json").unlink()
    with pytest.raises(UserError, match="found none"):
        read_keypoint_set(root, "train")
