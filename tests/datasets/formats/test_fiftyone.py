"""FiftyOne's folders: written by hand, round trips, and FiftyOne's own importer and exporter."""

import json

import numpy as np
import pytest

from stadet.datasets.footage.info import VideoInfo
from stadet.datasets.formats.fiftyone import read_fiftyone, write_fiftyone
from stadet.detect.structures import NO_TRACK, AnnotationSet, VideoAnnotations
from stadet.engine.errors import UserError
from stadet.engine.findings import Findings

VIDEOS = {"a/monday": VideoInfo("a/monday", (100, 200), 10.0, 12)}
NAMES = ("wipe", "cut")


def thing(label="wipe", x=0.1, **more):
    box = {"top_left": {"x": x, "y": 0.2}, "bottom_right": {"x": x + 0.25, "y": 0.6}}
    return {"label": label, "bounding_box": box, **more}


def frame(number, *objects):
    return {"frame_number": number, "objects": {"objects": [*objects]}}


def write(tmp_path, frames, data="data/monday.mp4", **more):
    (tmp_path / "labels").mkdir(exist_ok=True)
    (tmp_path / "labels" / "m.json").write_text(json.dumps({"frames": frames, **more}))
    index = [{"data": data, "labels": "labels/m.json"}]
    (tmp_path / "manifest.json").write_text(json.dumps({"type": "x", "index": index}))
    return tmp_path


def sample():
    """Two tracks, one of two classes, a box without a track; frames 2 to 9 looked at."""
    looked_at = np.zeros(12, bool)
    looked_at[2:10] = True
    frames = [3, 4, 5, 4, 5, 7]
    boxes = [[10, 20, 50, 60.5], [12, 20, 52, 60.5], [14, 20, 54, 60]] + [[100, 5, 140.25, 99]] * 3
    labels = [[True, False], [True, True], [True, False]] + [[False, True]] * 3
    tracks = [1, 1, 1, 8, 8, NO_TRACK]
    video = VideoAnnotations.build(
        "a/monday", (100, 200), 10.0, looked_at, frames, boxes, labels, tracks
    )
    return AnnotationSet(NAMES, {"a/monday": video})


def test_reads_frames_objects_and_tracks(tmp_path):
    both = [thing("wipe", index=3), thing("cut", index=3)]
    frames = {"2": frame(2, *both), "4": frame(4, thing("cut", 0.5)), "6": {"frame_number": 6}}
    found = read_fiftyone(write(tmp_path, frames), videos=VIDEOS)
    assert found.names == NAMES
    video = found.videos["a/monday"]
    assert np.flatnonzero(video.looked_at).tolist() == [1, 3, 5]  # numbered from 1
    assert video.frames.tolist() == [1, 3] and video.track_ids.tolist() == [3, NO_TRACK]
    assert video.labels.tolist() == [[True, True], [False, True]]
    np.testing.assert_allclose(video.boxes, [[20, 20, 70, 60], [100, 20, 150, 60]])
    # frames as a list, and a manifest by its own path
    listed = write(tmp_path, [frame(2, *both)]) / "manifest.json"
    assert read_fiftyone(listed, videos=VIDEOS).videos["a/monday"].frames.tolist() == [1]


def test_what_is_left_out_is_told(tmp_path):
    findings = Findings()
    frames = {"1": frame(1, {**thing(), "label": None})}
    read_fiftyone(write(tmp_path, frames, attrs=[1]), videos=VIDEOS, findings=findings)
    assert "without a label" in findings.lines()[0] and "whole videos" in findings.lines()[0]
    write(tmp_path, frames, data="data/sunday.mp4")
    found = read_fiftyone(tmp_path, videos=VIDEOS, findings=findings)
    assert not found.videos and "without footage" in " ".join(findings.lines())


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        ({"13": frame(13)}, "the video has 12"),
        ({"0": frame(0)}, "frame_number"),
        ({"x": {}}, "frame"),
        ({"1": frame(1, {"label": "wipe"})}, "bounding_box"),
        ({"1": frame(1, {**thing(), "bounding_box": {}})}, "top_left.x"),
        ({"1": 3}, "expected an object"),
        (7, "expected frames by their number"),
    ],
)
def test_broken_files_give_one_line(tmp_path, frames, message):
    with pytest.raises(UserError, match=message) as error:
        read_fiftyone(write(tmp_path, frames), videos=VIDEOS)
    assert "\n" not in str(error.value)


def test_a_manifest_may_not_lead_out_of_its_folder(tmp_path):
    index = [{"data": "monday.mp4", "labels": "../secret.json"}]
    (tmp_path / "manifest.json").write_text(json.dumps({"index": index}))
    with pytest.raises(UserError):
        read_fiftyone(tmp_path, videos=VIDEOS)


def test_round_trip(tmp_path):
    original = sample()
    write_fiftyone(tmp_path, original)
    again = read_fiftyone(tmp_path, videos=VIDEOS, names=NAMES)
    ours, theirs = original.videos["a/monday"], again.videos["a/monday"]
    for column in ("looked_at", "frames", "labels", "track_ids"):
        np.testing.assert_array_equal(getattr(theirs, column), getattr(ours, column))
    np.testing.assert_allclose(theirs.boxes, ours.boxes, atol=1e-9)


def test_fiftyones_own_importer_reads_it(tmp_path):
    importers = pytest.importorskip("fiftyone.utils.data.importers")
    original = sample()
    write_fiftyone(tmp_path, original, files={"a/monday": "../footage/monday.mp4"})
    importer = importers.FiftyOneVideoLabelsDatasetImporter(str(tmp_path))
    importer.setup()
    ((path, _, _, frames),) = list(importer)
    assert path.endswith("footage/monday.mp4")
    video = original.videos["a/monday"]
    assert sorted(frames) == (np.flatnonzero(video.looked_at) + 1).tolist()
    for number, labels in frames.items():
        rows = np.flatnonzero(video.frames == number - 1)
        expected = sorted(
            (NAMES[c], int(video.track_ids[r]), *np.round(video.boxes[r], 6))
            for r in rows
            for c in np.flatnonzero(video.labels[r])
        )
        found = []
        for field in labels.values():
            for d in getattr(field, "detections", None) or []:
                x, y, w, h = d.bounding_box
                box = np.round([200 * x, 100 * y, 200 * (x + w), 100 * (y + h)], 6)
                found.append((d.label, NO_TRACK if d.index is None else d.index, *box))
        assert sorted(found) == expected


def test_fiftyones_own_exporter_writes_what_it_was_given(tmp_path):
    importers = pytest.importorskip("fiftyone.utils.data.importers")
    exporters = pytest.importorskip("fiftyone.utils.data.exporters")
    original = sample()
    (tmp_path / "monday.mp4").write_bytes(b"a video, which is only copied")
    write_fiftyone(tmp_path / "ours", original, files={"a/monday": "../monday.mp4"})
    importer = importers.FiftyOneVideoLabelsDatasetImporter(str(tmp_path / "ours"))
    importer.setup()
    exporter = exporters.FiftyOneVideoLabelsDatasetExporter(str(tmp_path / "theirs"))
    with exporter:
        for path, _, label, frames in importer:
            exporter.export_sample(path, label, frames)
    findings = Findings()
    again = read_fiftyone(tmp_path / "theirs", videos=VIDEOS, names=NAMES, findings=findings)
    assert not findings.lines()
    ours, theirs = original.videos["a/monday"], again.videos["a/monday"]
    for column in ("looked_at", "frames", "labels", "track_ids"):
        np.testing.assert_array_equal(getattr(theirs, column), getattr(ours, column))
    np.testing.assert_allclose(theirs.boxes, ours.boxes, atol=1e-9)
