"""YOLO txt: round trip, layouts, frame numbers, broken lines."""

import numpy as np
import pytest

from stadet.datasets.footage.info import VideoInfo
from stadet.datasets.formats.yolo_txt import read_yolo_txt, write_yolo_txt
from stadet.detect.structures import NO_TRACK, AnnotationSet, VideoAnnotations
from stadet.engine.errors import UserError
from stadet.engine.findings import Findings

INFO = {"a": VideoInfo("a", (100, 200), 30.0, 6), "C/b": VideoInfo("C/b", (50, 50), 30.0, 6)}


def put(tmp_path, files, names="names: [pick, put]"):
    tmp_path.mkdir(exist_ok=True)
    (tmp_path / "data.yaml").write_text(names)
    for name, text in files.items():
        path = tmp_path / "labels" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_round_trip_loses_only_tracks(tmp_path):
    rng = np.random.default_rng(0)
    videos = {}
    for name, info in INFO.items():
        looked_at = np.array([1, 0, 1, 1, 0, 1], bool)
        corner = rng.uniform(0, 20, (7, 2))
        boxes = np.column_stack([corner, corner + rng.uniform(1, 20, (7, 2))])
        labels = rng.random((7, 2)) < 0.5
        labels[:, 0] |= ~labels.any(axis=1)
        videos[name] = VideoAnnotations.build(
            name, info.size, 30.0, looked_at, rng.choice([0, 2, 5], 7), boxes, labels, range(7)
        )
    annotations = AnnotationSet(("pick", "put: in bin"), videos)
    write_yolo_txt(tmp_path / "out", annotations)
    findings = Findings()
    back = read_yolo_txt(tmp_path / "out", videos=INFO, findings=findings)
    assert back.names == annotations.names and findings.lines() == []
    for ours in annotations:
        theirs = back.videos[ours.name]
        np.testing.assert_array_equal(theirs.looked_at, ours.looked_at)
        np.testing.assert_array_equal(theirs.frames, ours.frames)
        np.testing.assert_array_equal(theirs.labels, ours.labels)
        np.testing.assert_allclose(theirs.boxes, ours.boxes, atol=1e-6)
    with pytest.raises(UserError, match="a new or an empty folder"):
        write_yolo_txt(tmp_path / "out", annotations)


def test_empty_files_are_negatives_and_missing_ones_unknown(tmp_path):
    files = {"a/000001.txt": "", "a_4.txt": "1 0.5 0.5 0.25 0.5\n\n"}
    video = read_yolo_txt(put(tmp_path, files), videos=INFO).videos["a"]
    assert video.looked_at.tolist() == [False, True, False, False, True, False]
    assert video.boxes.tolist() == [[75, 25, 125, 75]] and video.labels.tolist() == [[False, True]]


def test_numbers_may_count_from_one(tmp_path):
    root = put(tmp_path, {"b/00006.txt": ""}, names="names: {0: pick, 1: put}")
    with pytest.raises(UserError, match="set first_frame: 1"):
        read_yolo_txt(root, videos=INFO)
    annotations = read_yolo_txt(root, videos=INFO, first_frame=1)
    assert np.flatnonzero(annotations.videos["C/b"].looked_at).tolist() == [5]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"a/1.txt": "0 .5 .5 .1 .1\n0 .5 .5 .1"}, "1.txt, line 2: expected 5 numbers"),
        ({"a/1.txt": "0 .5 .5 .1 x"}, "line 1: expected a finite number"),
        ({"a/1.txt": "2 .5 .5 .1 .1"}, "line 1: expected a class of 0..1, found 2"),
        ({"a/1.txt": "0.5 .5 .5 .1 .1"}, "expected a class of 0..1, found 0.5"),
        ({"a/1.txt": "0 nan .5 .1 .1"}, "1.txt, line 1: expected a finite number"),
        ({"c/1.txt": ""}, r"c/1.txt: expected <video>/.* of one of the videos C/b, a"),
        ({"1.txt": ""}, "expected <video>/<frame>.txt"),
        ({"a/1.txt": "0 .5 .5 .1 .1 .1 .1 .1"}, "line 1: expected 5 numbers .* found 8"),
        ({"a/1.txt": "", "a/01.txt": ""}, "another label file"),
        ({}, "found none"),
    ],
)
def test_broken_files_give_one_line(tmp_path, files, message):
    (tmp_path / "labels").mkdir()
    with pytest.raises(UserError, match=message) as error:
        read_yolo_txt(put(tmp_path, files), videos=INFO)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("names", ["names: 3", "names: {1: a}", "nc: 2", "names: [1, 2]"])
def test_bad_names(tmp_path, names):
    with pytest.raises(UserError, match=r"data\.yaml"):
        read_yolo_txt(put(tmp_path, {"a/1.txt": ""}, names), videos=INFO)
    assert read_yolo_txt(tmp_path, videos=INFO, names=["x"]).names == ("x",)


def test_labels_beside_a_frame_folder_pair_with_the_images_of_their_number(tmp_path):
    folder = {"a": VideoInfo("a", (100, 200), 25.0, 6, first_number=100)}
    files = {f"a/{number:05d}.txt": "" for number in range(100, 106)}
    path = put(tmp_path, {**files, "a/00103.txt": "0 .5 .5 .2 .2\n"})
    assert read_yolo_txt(path, videos=folder).videos["a"].frames.tolist() == [3]
    assert read_yolo_txt(path, videos=INFO, first_frame=100).videos["a"].frames.tolist() == [3]
    with pytest.raises(UserError, match=r"numbers 100\.\.105; .* set first_frame: 100"):
        read_yolo_txt(path, videos=INFO)


def test_written_labels_say_that_they_count_from_0(tmp_path):
    folder = {"a": VideoInfo("a", (100, 200), 25.0, 6, first_number=1)}
    video = VideoAnnotations.build(
        "a", (100, 200), 25.0, np.ones(6, bool), [2], [[10, 10, 50, 50]], [[True]]
    )
    write_yolo_txt(tmp_path / "out", AnnotationSet(("pick",), {"a": video}))
    again = read_yolo_txt(tmp_path / "out", videos=folder).videos["a"]
    assert again.frames.tolist() == [2] and again.looked_at.all()
    put(tmp_path, {"a/000000.txt": ""})
    with pytest.raises(UserError, match="set first_frame: 0"):
        read_yolo_txt(tmp_path, videos=folder)


def test_frames_with_an_ignored_region_are_not_written(tmp_path):
    columns = {"boxes": [[10, 10, 50, 50]] * 2, "labels": [[True]] * 2, "ignored": [True, False]}
    video = VideoAnnotations.build("a", (100, 200), 25.0, np.ones(6, bool), [2, 3], **columns)
    write_yolo_txt(tmp_path / "out", AnnotationSet(("pick",), {"a": video}))
    again = read_yolo_txt(tmp_path / "out", videos=INFO).videos["a"]
    assert again.frames.tolist() == [3]
    assert np.flatnonzero(~again.looked_at).tolist() == [2]


def test_polygons_of_segmentation_and_oriented_boxes_become_upright_boxes(tmp_path):
    findings = Findings()
    line = "1 .5 .2 .7 .4 .5 .6 .3 .4\n0 .5 .5 .2 .2"
    video = read_yolo_txt(put(tmp_path, {"a/1.txt": line}), videos=INFO, findings=findings).videos[
        "a"
    ]
    height, width = video.size
    upright = [0.3 * width, 0.2 * height, 0.7 * width, 0.6 * height]
    np.testing.assert_allclose(video.boxes[video.labels[:, 1]], [upright])
    assert "1 polygons read as the boxes around them (first: 1.txt line 1)" in findings.lines()[0]


def test_a_sixth_whole_number_is_a_track_and_a_score_is_left_out(tmp_path):
    tracked = put(tmp_path / "t", {"a/1.txt": "0 .5 .5 .1 .1 7", "a/2.txt": "0 .5 .5 .1 .1 7"})
    assert read_yolo_txt(tracked, videos=INFO).videos["a"].track_ids.tolist() == [7, 7]
    findings = Findings()
    scored = put(tmp_path / "s", {"a/1.txt": "0 .5 .5 .1 .1 .83"})
    found = read_yolo_txt(scored, videos=INFO, findings=findings).videos["a"]
    assert found.track_ids.tolist() == [NO_TRACK] and "scores?" in findings.lines()[0]


def test_keypoints_behind_a_box_are_left_out(tmp_path):
    described = "names: [x, y]\nkpt_shape: [2, 2]"
    files = {"a/1.txt": "0 .5 .5 .2 .2 .1 .1 .9 .9", "a/2.txt": "0 .5 .5 .2 .2 .1 .1 .9 .9 3"}
    video = read_yolo_txt(put(tmp_path, files, described), videos=INFO).videos["a"]
    np.testing.assert_allclose(np.ptp(video.boxes[:, ::2], axis=1), 0.2 * video.size[1])


def test_layouts_of_other_programs(tmp_path):
    """Sides as folders, lists of names beside the labels, Roboflow's names, CVAT's frame names."""
    files = {"train/a_1.txt": "", "val/a_2.txt": "", "test/a_mp4-3_jpg.rf.0a1b2c.txt": ""}
    root = put(tmp_path / "sides", files)
    (root / "labels" / "README.roboflow.txt").write_text("exported by ..")
    video = read_yolo_txt(root, videos=INFO).videos["a"]
    assert np.flatnonzero(video.looked_at).tolist() == [1, 2, 3]
    alone = tmp_path / "cvat"
    (alone / "obj_train_data").mkdir(parents=True)
    (alone / "obj_train_data" / "frame_000002.txt").write_text("1 .5 .5 .1 .1")
    (alone / "obj.names").write_text("pick up\nput back\n")
    (alone / "train.txt").write_text("data/obj_train_data/frame_000002.PNG\n")
    found = read_yolo_txt(alone, videos={"a": INFO["a"]})
    assert found.names == ("pick up", "put back") and found.videos["a"].frames.tolist() == [2]
    with pytest.raises(UserError, match="of one of the videos C/b, a"):
        read_yolo_txt(alone, videos=INFO)
