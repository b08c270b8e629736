"""Reading labelled videos from folders and lists; refusing what is wrong with them."""

import json

import numpy as np
import pytest

from stadet.datasets.label_maps import symmetric_labels
from stadet.datasets.labelled.array_clips import read_array_clips
from stadet.datasets.labelled.folders import (
    handwash_group,
    read_class_folders,
    read_handwash,
    read_ucf11,
    read_unknown,
)
from stadet.datasets.labelled.labelled_video import (
    ClassificationSet,
    LabelledVideo,
    check_sides,
    open_all,
    without_bad,
)
from stadet.datasets.labelled.lists import mirrored_labels, read_hmdb51, read_jester, read_ucf101
from stadet.engine.errors import UserError
from tests.datasets.tiny_classes import write_classes, write_frames
from tests.shared_data import SHARED


def facts(data):
    return [(i.name, data.names[i.label], i.group, i.side) for i in data.items]


def test_folders_by_class_with_and_without_sides(tmp_path):
    data = read_class_folders(write_classes(tmp_path / "sided", videos=1))
    assert data.names == ("bright", "dark")
    assert facts(data)[0] == ("train/bright/train0_bright0", "bright", "train0_bright0", "train")
    assert data.sides == ("train", "val") and len(data.side("val")) == 2
    flat = read_class_folders(tmp_path / "sided" / "train", names=["dark", "bright"])
    assert flat.names == ("dark", "bright") and flat.sides == ()
    assert flat.labels.tolist() == [1, 0] and flat.counts().tolist() == [1, 1]


def test_empty_class_folders_and_unknown_classes_are_one_line(tmp_path):
    root = write_classes(tmp_path, videos=1)
    (root / "train" / "grey").mkdir()
    with pytest.raises(UserError, match=r"train/grey: expected videos of class 'grey', found none"):
        read_class_folders(root)
    (root / "train" / "grey").rmdir()
    with pytest.raises(UserError, match=r"found 'bright' \(did you mean brigth"):
        read_class_folders(root, names=["brigth", "dark"])
    with pytest.raises(UserError, match="found nothing"):
        read_class_folders(tmp_path / "missing")


def test_a_class_that_training_lacks_is_refused(tmp_path):
    root = write_classes(tmp_path, videos=1)
    write_frames(root / "val" / "grey" / "a", [1, 2])
    with pytest.raises(UserError, match=r"training videos of class 'grey', found 1 on val"):
        check_sides(read_class_folders(root), "here")
    with pytest.raises(UserError, match="expected videos on side 'test'"):
        read_class_folders(root).side("test")


def test_unreadable_videos_are_counted_and_skipped_only_on_demand(tmp_path):
    root = write_classes(tmp_path, videos=2)
    broken = root / "train" / "dark" / "train0_dark0" / "00003.png"
    broken.unlink()
    (root / "val" / "dark" / "other.mp4").write_bytes(b"no video")
    data = read_class_folders(root)
    videos, bad = open_all(data)
    assert len(videos) == len(data) - 2
    assert {video.name for video in bad} == {"train/dark/train0_dark0", "val/dark/other"}
    with pytest.raises(UserError, match=r"2 of 9 videos cannot be used: .*--skip-bad") as caught:
        without_bad(data, bad, skip=False, remedy="copy them again")
    assert "\n" not in str(caught.value)
    assert len(without_bad(data, bad, skip=True, remedy="")) == 7


def test_handwash_groups_by_recording(tmp_path):
    for side, step, name in [
        ("train", "Step_1", "HandWash_003_A_01_G01"),
        ("train", "Step_2_Left", "HandWash_003_A_02_G_01"),
        ("val", "Step_1", "HandWash_017_A_01_G04"),
        ("val", "Step_2_Left", "someone"),
    ]:
        write_frames(tmp_path / side / step / name, [1, 2])
    data = read_handwash(tmp_path)
    assert data.groups == ["003", "003", "017", "someone"]
    assert handwash_group("HandWash_010_A_12_G_02") == "010"


@pytest.mark.skipif(SHARED is None, reason="the developers' data is not here")
def test_real_handwash_videos():
    from stadet.datasets.labelled.splits import folds

    data = read_handwash(SHARED / "handwash_mini")
    assert len(data.names) == 12 and len(data) == 93
    assert (len(data.side("train")), len(data.side("val"))) == (69, 24)
    assert data.counts().min() >= 5
    assert {"002", "003", "010", "017"} <= set(data.groups)
    fold = folds(data, 5, seed=0)
    groups = np.array(data.groups)
    assert all(len(set(fold[groups == group])) == 1 for group in set(groups))
    assert mirrored_labels(data.names)["Step_4_Left"] == "Step_4_Right"
    assert "Step_1" not in mirrored_labels(data.names)


def test_ucf11_groups_are_folders(tmp_path):
    write_frames(tmp_path / "diving" / "v_diving_01" / "v_diving_01_01", [1, 2])
    write_frames(tmp_path / "diving" / "v_diving_02" / "v_diving_02_01", [1, 2])
    (tmp_path / "diving" / "Annotation").mkdir()
    data = read_ucf11(tmp_path)
    assert data.groups == ["diving/v_diving_01", "diving/v_diving_02"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="empty: expected groups of clips"):
        read_ucf11(tmp_path)


def ucf101(root):
    for entry in ("Archery/v_Archery_g01_c01", "Bowling/v_Bowling_g02_c03"):
        write_frames(root / entry, [1, 2])
    lists = root / "lists"
    lists.mkdir()
    (lists / "classInd.txt").write_text("1 Archery\n2 Bowling\n")
    (lists / "trainlist02.txt").write_text("Archery/v_Archery_g01_c01.avi 1\n")
    (lists / "testlist02.txt").write_text("Bowling/v_Bowling_g02_c03.avi\n")
    return lists


def test_ucf101_official_split(tmp_path):
    lists = ucf101(tmp_path)
    data = read_ucf101(tmp_path, lists, split=2)
    assert facts(data) == [
        ("Archery/v_Archery_g01_c01", "Archery", "Archery/g01", "train"),
        ("Bowling/v_Bowling_g02_c03", "Bowling", "Bowling/g02", "test"),
    ]
    (lists / "testlist02.txt").write_text("Bowling/v_Bowling_g02_c03.avi\n\nBowlin/v_x.avi\n")
    with pytest.raises(UserError, match=r"testlist02.txt, line 3: .*did you mean Bowling"):
        read_ucf101(tmp_path, lists, split=2)
    with pytest.raises(UserError, match=r"trainlist01\.txt"):
        read_ucf101(tmp_path, lists, split=1)
    (lists / "classInd.txt").write_text("1 Archery\n3 Bowling\n")
    with pytest.raises(UserError, match=r"line 2: expected '2 ClassName', found '3 Bowling'"):
        read_ucf101(tmp_path, lists, split=2)


def test_hmdb51_flags(tmp_path):
    for name in ("film_wave_f_0", "film_wave_f_1", "other_wave_0"):
        write_frames(tmp_path / "wave" / name, [1, 2])
    path = tmp_path / "wave_test_split1.txt"
    path.write_text("film_wave_f_0.avi 1 \nother_wave_0.avi 2 \nfilm_wave_f_1.avi 0 \n")
    data = read_hmdb51(tmp_path, tmp_path)
    assert facts(data) == [
        ("wave/film_wave_f_0", "wave", "film", "train"),
        ("wave/other_wave_0", "wave", "other", "test"),
    ]
    path.write_text("film_wave_f_0.avi 3\n")
    with pytest.raises(UserError, match="line 1: expected a video and 0, 1 or 2"):
        read_hmdb51(tmp_path, tmp_path)
    path.write_text("gone.avi 1\n")
    with pytest.raises(UserError, match=r"line 1: expected the video .*gone.avi, found nothing"):
        read_hmdb51(tmp_path, tmp_path)


def test_jester_rate_and_mirrored_labels(tmp_path):
    for identity in ("7", "12"):
        write_frames(tmp_path / identity, [1, 2])
    (tmp_path / "jester-v1-labels.csv").write_text("Swiping Right\nSwiping Left\nThumb Up\n")
    (tmp_path / "jester-v1-train.csv").write_text("7;Swiping Left\n")
    (tmp_path / "jester-v1-validation.csv").write_text("12;Thumb Up\n")
    data = read_jester(tmp_path, tmp_path)
    assert facts(data) == [("7", "Swiping Left", "7", "train"), ("12", "Thumb Up", "12", "val")]
    assert data.fps == 12
    assert data.flip_labels == {"Swiping Left": "Swiping Right", "Swiping Right": "Swiping Left"}
    videos, _ = open_all(data)
    assert videos["7"].fps == 12
    (tmp_path / "jester-v1-train.csv").write_text("7,Swiping Left\n")
    with pytest.raises(UserError, match="line 1: expected ID;label"):
        read_jester(tmp_path, tmp_path)


def test_mirrored_labels_of_turns():
    names = ("Turning Hand Clockwise", "Turning Hand Counterclockwise", "Left alone", "Stop")
    assert mirrored_labels(names) == {names[0]: names[1], names[1]: names[0]}


def test_wrong_label_maps():
    assert symmetric_labels({"a": "b"}, ("a", "b", "c")) == {"a": "b", "b": "a"}
    with pytest.raises(UserError, match=r"found 'lift' \(did you mean left"):
        symmetric_labels({"lift": "right"}, ("left", "right"))
    with pytest.raises(UserError, match="'a' is paired with 'b' and with 'c'"):
        symmetric_labels({"a": "b", "c": "a"}, ("a", "b", "c"))


def test_two_videos_of_one_name_are_refused(tmp_path):
    item = LabelledVideo("x", tmp_path, 0, "x")
    with pytest.raises(UserError, match="'x' twice"):
        ClassificationSet(("a",), (item, item))
    with pytest.raises(ValueError, match="a label outside"):
        ClassificationSet(("a",), (LabelledVideo("y", tmp_path, 1, "y"),))


def test_videos_of_no_class(tmp_path):
    write_frames(tmp_path / "train" / "a", [1, 2])
    write_frames(tmp_path / "val" / "b", [1, 2])
    assert [(i.name, i.side) for i in read_unknown(tmp_path)] == [
        ("none/train/a", "train"),
        ("none/val/b", "val"),
    ]


def test_arrays_as_labelled_videos(tmp_path):
    rng = np.random.default_rng(0)
    frames = {side: rng.random((count, 5, 8, 12, 3)) for side, count in (("train", 3), ("val", 2))}
    for side, clips in frames.items():
        (tmp_path / side).mkdir()
        np.save(tmp_path / side / f"X_{side}_frames.npy", clips.astype(np.float32))
        points = np.arange(len(clips) * 5 * 1662, dtype=np.float32).reshape(-1, 5, 1662)
        np.save(tmp_path / side / f"X_{side}_keypoints.npy", points)
        np.save(tmp_path / side / f"y_{side}.npy", np.arange(len(clips)) % 2)
    (tmp_path / "label_encoder.json").write_text(json.dumps({"hello": 0, "thanks": 1}))
    data, arrays = read_array_clips(tmp_path)
    assert facts(data)[1] == ("train/00001", "thanks", "train/00001", "train")
    np.testing.assert_allclose(
        arrays.read_frame("val/00001", 3), frames["val"][1, 3] * 255, atol=0.51
    )
    found = arrays.read_keypoints("val/00001", (3, -1))
    assert found[0, 0] == (1 * 5 + 3) * 1662 and not found[1].any()
