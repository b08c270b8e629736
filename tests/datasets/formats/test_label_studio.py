"""Label Studio's JSON: files written by hand, its SDK's interpolation and export, round trips."""

import json
from copy import deepcopy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stadet.datasets.footage.info import VideoInfo
from stadet.datasets.formats.label_studio import read_label_studio, write_label_studio
from stadet.detect.structures import AnnotationSet, VideoAnnotations
from stadet.engine.errors import UserError
from stadet.engine.findings import Findings

VIDEOS = {"kitchen/monday": VideoInfo("kitchen/monday", (100, 200), 10.0, 30)}


def key(frame, x, enabled=True, **more):
    box = {"x": x, "y": 10.0, "width": 10.0, "height": 20.0, "rotation": 0, "time": frame / 10}
    return {"frame": frame, "enabled": enabled, **box, **more}


def region(sequence, labels=("wipe",), count=30, kind="videorectangle"):
    value = {"sequence": sequence, "labels": list(labels), "framesCount": count, "duration": 3.0}
    return {"id": "r", "type": kind, "value": value, "from_name": "box", "to_name": "video"}


def task(*regions, video="/data/upload/1/0a1b2c3d-monday.mp4", cancelled=()):
    annotations = [{"result": [], "was_cancelled": True}] * len(cancelled)
    return {
        "id": 7,
        "data": {"video": video},
        "annotations": [*annotations, {"result": [*regions]}],
    }


def read(tmp_path, *tasks, findings=None, names=None):
    (tmp_path / "a.json").write_text(json.dumps(tasks))
    return read_label_studio(tmp_path, videos=VIDEOS, names=names, findings=findings)


def test_keyframes_are_interpolated_while_they_are_enabled(tmp_path):
    sequence = [key(3, 0), key(7, 40, enabled=False), key(20, 50), key(28, 58)]
    found = read(tmp_path, task(region(sequence), cancelled=[1]))
    video = found.videos["kitchen/monday"]
    # frames from 1 become frames from 0; the last keyframe lasts to the end of the video
    assert video.frames.tolist() == [2, 3, 4, 5, 6, *range(19, 30)]
    x = video.boxes[:, 0] / 2  # percent of 200 pixels
    np.testing.assert_allclose(x, [0, 10, 20, 30, 40, *range(50, 59), 58, 58])
    np.testing.assert_allclose(video.boxes[0], [0, 10, 20, 30])
    assert video.looked_at.all() and (video.track_ids == 0).all()


def test_several_labels_and_regions(tmp_path):
    one = region([key(1, 0), key(2, 0, enabled=False)], ["wipe", "phone"])
    two = region([key(2, 50, enabled=False)], ["cut"])
    found = read(tmp_path, task(one, two))
    assert found.names == ("wipe", "phone", "cut")
    video = found.videos["kitchen/monday"]
    assert video.labels.tolist() == [[True, True, False]] * 2 + [[False, False, True]]
    assert video.track_ids.tolist() == [0, 0, 1]
    order = read(tmp_path, task(one, two), names=["cut", "phone", "wipe"])
    assert order.videos["kitchen/monday"].labels[0].tolist() == [False, True, True]


def test_a_turned_box_becomes_the_one_around_it(tmp_path):
    """Label Studio turns around the top left corner: 20 x 20 pixels at (100, 10), by 90 degrees."""
    findings = Findings()
    turned = region([key(1, 50, enabled=False, rotation=90)])
    video = read(tmp_path, task(turned), findings=findings).videos["kitchen/monday"]
    np.testing.assert_allclose(video.boxes[0], [80, 10, 100, 30], atol=1e-9)
    assert "turned boxes" in findings.lines()[0]


def test_frames_of_another_rate_are_converted_and_told(tmp_path):
    findings = Findings()
    double = region([key(1, 0), key(41, 40, enabled=False)], count=60)
    video = read(tmp_path, task(double), findings=findings).videos["kitchen/monday"]
    assert video.frames.tolist() == list(range(21))
    np.testing.assert_allclose(video.boxes[:, 0], np.linspace(0, 80, 21))
    assert "another frame rate" in findings.lines()[0]


def test_what_is_no_track_of_boxes_is_told(tmp_path):
    findings = Findings()
    other = region([key(1, 0)], kind="timelinelabels")
    blank = region([key(1, 0)], labels=())
    found = read(tmp_path, task(other, blank), findings=findings)
    assert len(found.videos["kitchen/monday"].boxes) == 0
    assert "'timelinelabels' left out" in findings.lines()[0]
    assert "without a label" in findings.lines()[0]
    empty = {"id": 1, "data": {"video": "x.mp4"}, "annotations": []}
    assert read(tmp_path, empty, task(), findings=findings).videos


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        ([{"video": "monday.mp4", "box": []}], "not as JSON-MIN"),
        ([task(video="/data/upload/sunday.mp4")], "the footage has kitchen/monday"),
        ([task(), task()], "another task of video"),
        ([task(region([key(0, 1)]))], "frame"),
        ([task(region([key(1, "a")]))], "x: expected"),
        ([task(region([key(31, 1, enabled=False)]))], "the video has 30 frames"),
        ([task({"type": "videorectangle"})], "regions with a value"),
    ],
)
def test_broken_files_give_one_line(tmp_path, tasks, message):
    with pytest.raises(UserError, match=message) as error:
        read(tmp_path, *tasks)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("seed", range(5))
def test_as_label_studios_sdk_fills_a_sequence(tmp_path, seed):
    tool = pytest.importorskip(
        "label_studio_sdk._extensions.label_studio_tools.postprocessing.video"
    )
    rng = np.random.default_rng(seed)
    frames = np.sort(rng.choice(np.arange(1, 31), 5, replace=False)).tolist()
    sequence = [key(f, float(rng.uniform(0, 60)), enabled=bool(rng.integers(2))) for f in frames]
    (filled,) = tool.extract_key_frames([deepcopy(region(sequence))])
    filled = sorted(filled["value"]["sequence"], key=lambda row: row["frame"])
    video = read(tmp_path, task(region(sequence))).videos["kitchen/monday"]
    assert video.frames.tolist() == [row["frame"] - 1 for row in filled]
    np.testing.assert_allclose(video.boxes[:, 0] / 2, [row["x"] for row in filled], atol=1e-9)


def test_label_studios_sdk_takes_and_exports_what_is_written(tmp_path):
    interface = pytest.importorskip("label_studio_sdk.label_interface")
    converter = pytest.importorskip("label_studio_sdk.converter")
    info = VIDEOS["kitchen/monday"]
    frames = np.array([3, 4, 5, 6, 7, 12])
    boxes = np.array([[10.0 + f**1.5, 20, 50 + f**1.5, 60.5] for f in frames])
    labels = np.array([[True, f == 12] for f in frames])
    tracks = np.array([0, 0, 0, 0, 0, 1])
    video = VideoAnnotations.build(
        info.name, info.size, info.fps, np.ones(30, bool), frames, boxes, labels, tracks
    )
    written = AnnotationSet(("a & b", "c"), {info.name: video})
    write_label_studio(tmp_path / "tasks.json", written, keyframe_tolerance=0)
    configuration = (tmp_path / "tasks.xml").read_text()
    label_interface = interface.LabelInterface(configuration)
    label_interface.validate()
    (one,) = json.loads((tmp_path / "tasks.json").read_text())
    assert label_interface.validate_task({"data": one["data"]})
    (annotation,) = one["annotations"]
    assert label_interface.validate_prediction(annotation, return_errors=True) == []
    (tmp_path / "project").mkdir()  # as the server stores a task, a file each
    stored = {"id": 1, "data": one["data"], "annotations": [{"id": 2, **annotation}]}
    (tmp_path / "project" / "1.json").write_text(json.dumps(stored))
    exporter = converter.Converter(configuration, str(tmp_path))
    exporter.convert_to_json(str(tmp_path / "project"), str(tmp_path / "export"))
    again = read_label_studio(tmp_path / "export", videos=VIDEOS, names=written.names)
    theirs = again.videos[info.name]
    for column in ("frames", "labels", "track_ids"):
        np.testing.assert_array_equal(getattr(theirs, column), getattr(video, column))
    np.testing.assert_allclose(theirs.boxes, video.boxes, atol=1e-9)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), tolerance=st.sampled_from([0.0, 2.0]))
def test_round_trip(tmp_path_factory, seed, tolerance):
    rng = np.random.default_rng(seed)
    frames, boxes, labels, tracks = [], [], [], []
    for track in range(int(rng.integers(0, 4))):
        own = np.flatnonzero(rng.uniform(size=30) < 0.7)
        corner = rng.uniform(0, 60, 2) + np.cumsum(rng.normal(0, 2, (len(own), 2)), axis=0).clip(
            -20
        )
        corner = corner.clip(0, 60)
        frames.append(own)
        boxes.append(np.concatenate([corner, corner + np.array([30.0, 25.0])], axis=1))
        labels.append(np.tile(rng.permutation([True, rng.uniform() < 0.5]), (len(own), 1)))
        tracks.append(np.full(len(own), track))
    joined = lambda parts, empty: np.concatenate([empty, *parts])  # noqa: E731
    info = VIDEOS["kitchen/monday"]
    video = VideoAnnotations.build(
        info.name,
        info.size,
        info.fps,
        np.ones(30, bool),
        joined(frames, np.zeros(0, int)),
        joined(boxes, np.zeros((0, 4))),
        joined(labels, np.zeros((0, 2), bool)),
        joined(tracks, np.zeros(0, int)),
    )
    path = tmp_path_factory.mktemp("ls") / "tasks.json"
    write_label_studio(
        path, AnnotationSet(("a", "b"), {info.name: video}), keyframe_tolerance=tolerance
    )
    assert '<Label value="a"/>' in path.with_suffix(".xml").read_text()
    again = read_label_studio(path, videos=VIDEOS, names=("a", "b")).videos[info.name]
    # tracks are numbered by their first frame
    first = {t: (video.frames[video.track_ids == t][0], t) for t in np.unique(video.track_ids)}
    number = {t: n for n, t in enumerate(sorted(first, key=first.get))}
    renamed = np.array([number[t] for t in video.track_ids], dtype=int)
    ours = np.lexsort((renamed, video.frames))
    theirs = np.lexsort((again.track_ids, again.frames))
    np.testing.assert_array_equal(again.frames[theirs], video.frames[ours])
    np.testing.assert_array_equal(again.track_ids[theirs], renamed[ours])
    np.testing.assert_array_equal(again.labels[theirs], video.labels[ours])
    np.testing.assert_allclose(again.boxes[theirs], video.boxes[ours], atol=tolerance + 1e-9)
