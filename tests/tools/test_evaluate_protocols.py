"""`stad evaluate` with public protocols and files: AVA's csv, crowds, given tubes."""

import json

import numpy as np
import pytest

from stadet.datasets.formats.coco_video import write_coco_video
from stadet.detect.detections.writer import DetectionsWriter
from stadet.detect.metrics.video_map import video_map
from stadet.detect.structures import AnnotationSet
from stadet.detect.tubes.file import write_tubes
from stadet.detect.tubes.linking import link_video
from stadet.detect.tubes.tube_set import TubeSet, VideoTubes
from stadet.tools.cli import main
from tests.datasets.formats.test_ava_evaluation import random_rows, write
from tests.detect.metrics.literal_ava import literal_ava
from tests.detect.metrics.test_video_map import NAMES, detections_of, truth_of

PBTXT = "".join(f'item {{\n  name: "a{i}"\n  id: {i}\n}}\n' for i in range(1, 7))


def evaluate(folder, *more):
    out = ["--out", str(folder / "out"), "--bootstrap", "0", "--overwrite"]
    return main(["evaluate", *out, *map(str, more)])


def metrics(folder):
    return json.loads((folder / "out" / "metrics.json").read_text())


@pytest.fixture
def ava(tmp_path):
    truth, found = random_rows(11, detections=400)
    write(tmp_path / "truth.csv", truth)
    write(tmp_path / "found.csv", found)
    (tmp_path / "map.pbtxt").write_text(PBTXT)
    (tmp_path / "excluded.csv").write_text("video 1,902\nvideo 2,0900\n")
    return tmp_path, truth, found


def test_ava_from_csv(ava, capsys):
    folder, truth, found = ava
    flags = ["--ground-truth", folder / "truth.csv", "--detections", folder / "found.csv"]
    flags += ["--protocol", "ava", "--label-map", folder / "map.pbtxt"]
    assert evaluate(folder, *flags, "--excluded", folder / "excluded.csv") == 0
    excluded = {("video 1", 902), ("video 2", 900)}
    want = np.mean(list(literal_ava(truth, found, range(1, 7), excluded=excluded).values()))
    assert metrics(folder)["frame_map_50"] == pytest.approx(want, abs=1e-12)
    assert metrics(folder)["ava"]["map_50"] == pytest.approx(want, abs=1e-12)
    output = capsys.readouterr()
    assert "on key frames without truth are left out" in output.err
    assert f"{100 * want:.1f}" in output.out


def test_ava_from_a_data_set(ava):
    """The same detections against a data set of AVA's format, whose scores are all different."""
    folder, _, _ = ava
    truth, found = random_rows(12, detections=400, tied=False)
    write(folder / "truth.csv", truth)
    write(folder / "found.csv", found)
    for video in range(3):
        _frames(folder / "videos" / f"video {video}", 8)
    (folder / "dataset.yaml").write_text(
        "format: ava\nannotations: truth.csv\nlabel_map: map.pbtxt\nkey_seconds: [900, 904]\n"
        "first_second: 900\nframe_folder_fps: 1\nsplit: {method: lists, lists: "
        "{train: [video 0], val: [video 1, video 2]}}\n"
    )
    flags = ["--data", folder / "dataset.yaml", "--detections", folder / "found.csv"]
    assert evaluate(folder, *flags, "--protocol", "ava") == 0
    # truth is cut at the frame's edge and boxes without area are no truth: there are none here
    want = literal_ava(truth, found, range(1, 7))
    assert metrics(folder)["ava"]["map_50"] == pytest.approx(np.mean(list(want.values())), abs=1e-9)


def _frames(folder, count):
    import cv2

    folder.mkdir(parents=True)
    for frame in range(count):
        cv2.imwrite(str(folder / f"{frame:05d}.png"), np.zeros((100, 100, 3), np.uint8))


def test_ava_flags_that_do_not_fit(ava, capsys):
    folder, _, _ = ava
    both = ["--ground-truth", folder / "truth.csv", "--detections", folder / "found.jsonl"]
    assert evaluate(folder, *both) != 0
    assert "expected AVA's csv of detections" in capsys.readouterr().err
    other = ["--ground-truth", folder / "gt.json", "--detections", folder / "found.csv"]
    assert evaluate(folder, *other, "--label-map", folder / "map.pbtxt") != 0
    assert "--label-map" in capsys.readouterr().err


def test_crowds_of_a_coco_file(tmp_path):
    """A detection inside a crowd region costs nothing."""
    document = {
        "videos": [{"id": 1, "name": "v", "width": 200, "height": 100, "fps": 5, "length": 1}],
        "images": [{"id": 7, "video_id": 1, "frame_id": 0}],
        "categories": [{"id": 1, "name": "wipe"}],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 1, "bbox": [10, 10, 20, 20]},
            {"id": 2, "image_id": 7, "category_id": 1, "bbox": [90, 40, 80, 50], "iscrowd": 1},
        ],
    }
    found = [
        {"image_id": 7, "category_id": 1, "bbox": [10, 10, 20, 20], "score": 0.9},
        {"image_id": 7, "category_id": 1, "bbox": [100, 60, 20, 20], "score": 0.95},
    ]
    (tmp_path / "gt.json").write_text(json.dumps(document))
    (tmp_path / "found.json").write_text(json.dumps(found))
    flags = ["--ground-truth", tmp_path / "gt.json", "--detections", tmp_path / "found.json"]
    for protocol in ("coco", "voc", "yowo"):
        assert evaluate(tmp_path, *flags, "--protocol", protocol) == 0
        assert metrics(tmp_path)["frame_map_50"] == pytest.approx(1.0)
        assert metrics(tmp_path)["precision"] == 1.0


@pytest.fixture
def tubes(tmp_path):
    rng = np.random.default_rng(3)
    truth = {f"v{i}": truth_of(f"v{i}", rng) for i in range(3)}
    annotations = AnnotationSet(NAMES, truth)
    write_coco_video(tmp_path / "gt.json", annotations)
    found = {name: detections_of(video, rng) for name, video in truth.items()}
    order = (NAMES[1], NAMES[0], NAMES[2])
    column = [1, 0, 2]
    videos = {
        name: VideoTubes(
            name,
            [
                type(tube)(tube.start, tube.boxes.round(3), column[tube.label], tube.score)
                for tube in link_video(video)
            ],
        )
        for name, video in found.items()
    }
    write_tubes(tmp_path / "tubes.json", TubeSet(order, videos))
    return tmp_path, annotations, found


def test_given_tubes(tubes, capsys):
    folder, annotations, found = tubes
    flags = ["--ground-truth", folder / "gt.json", "--tubes", folder / "tubes.json"]
    assert evaluate(folder, *flags) == 0
    from stadet.detect.detections.detection_set import DetectionSet

    want = video_map(annotations, DetectionSet(NAMES, 0.0, found))
    got = metrics(folder)["video_map"]
    assert got == pytest.approx(want, abs=1e-6)
    assert f"video-mAP@0.5 {want['0.5']:.4f}" in capsys.readouterr().out
    assert "| video-mAP at | % |" in (folder / "out" / "report.md").read_text()
    assert evaluate(folder, *flags, "--thresholds", "0.3", "--protocol", "multisports") == 0
    assert {"0.2", "0.3", "0.5", "0.10:0.90"} < set(metrics(folder)["video_map"])


def test_tubes_that_do_not_fit(tubes, capsys):
    folder, _, _ = tubes
    flags = ["--ground-truth", folder / "gt.json", "--tubes", folder / "tubes.json"]
    assert evaluate(folder, *flags, "--thresholds", "1.5") != 0
    assert "found 1.5" in capsys.readouterr().err
    text = (folder / "tubes.json").read_text()
    (folder / "tubes.json").write_text(text.replace('"wipe"', '"wipes"'))
    assert evaluate(folder, *flags) != 0
    assert "did you mean wipe" in capsys.readouterr().err
    (folder / "tubes.json").write_text(text.replace('"start": ', '"start": 10'))
    assert evaluate(folder, *flags) != 0
    assert "another cut of the video" in capsys.readouterr().err


def test_events_are_the_same_from_tubes_and_from_detections(tubes):
    """stad tubes then --tubes says what --detections with --video-map says."""
    folder, _, found = tubes
    with DetectionsWriter(folder / "found.jsonl", NAMES, 0.0) as writer:
        for name, video in found.items():
            for frame in np.unique(video.frames).tolist():
                writer.write(name, frame, video[frame])
    truth = ["--ground-truth", str(folder / "gt.json")]
    files = ["--detections", str(folder / "found.jsonl")]
    assert main(["tubes", *files, *truth, "--out", str(folder / "own.json")]) == 0
    at = ["--threshold", "0.4"]
    assert evaluate(folder, *truth, "--tubes", folder / "own.json", *at) == 0
    by_tubes = metrics(folder)["events"]
    page = (folder / "out" / "report.md").read_text()
    assert evaluate(folder, *truth, *files, "--video-map", *at) == 0
    by_detections = metrics(folder)["events"]
    assert by_tubes["options"]["min_score"] == 0.4 and by_tubes["events"] > 0
    assert by_tubes.keys() == by_detections.keys()
    for key in ("truths", "events", "count_error", "segment_map", "delay_seconds"):
        assert by_tubes[key] == pytest.approx(by_detections[key]), key
    assert by_tubes["tracking"]["hota"] == pytest.approx(by_detections["tracking"]["hota"])
    assert "## Events" in page and "## Events" in (folder / "out" / "report.md").read_text()
    assert "was what happened caught?" in (folder / "out" / "report.html").read_text()
