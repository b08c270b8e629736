import json

import numpy as np
import pytest

from stadet.datasets.formats.coco_video import write_coco_video
from stadet.detect.boxes import xyxy_to_xywh
from stadet.detect.detections.reader import DetectionsWriter
from stadet.detect.metrics.evaluation import IN_SAMPLE
from stadet.detect.structures import AnnotationSet, Detections, VideoAnnotations
from stadet.tools.cli import main

NAMES = ("put", "take")


@pytest.fixture
def files(tmp_path):
    """Ten videos of ten frames; every box found but in the last video, which was not reached."""
    rng = np.random.default_rng(0)
    videos = {}
    for index in range(10):
        corner = rng.integers(0, 60, (10, 2)).astype(float)
        videos[f"v{index}"] = VideoAnnotations.build(
            f"v{index}",
            (100, 100),
            25,
            np.ones(10),
            np.arange(10),
            np.concatenate([corner, corner + 30], axis=1),
            np.eye(2)[rng.integers(0, 2, 10)],
            np.zeros(10),
        )
    annotations = AnnotationSet(NAMES, videos)
    write_coco_video(tmp_path / "gt.json", annotations)
    with DetectionsWriter(tmp_path / "run" / "d.jsonl", NAMES) as writer:
        for video in list(annotations)[:9]:
            for frame in range(10):
                truth = video[frame]
                writer.write(
                    video.name, frame, Detections(truth.boxes, np.ones(1), truth.labels * 0.8)
                )
            writer.processed(video.name, 0, 9)
    return tmp_path, annotations


def evaluate(folder, *more):
    places = ["--ground-truth", str(folder / "gt.json"), "--out", str(folder / "out")]
    return main(["evaluate", "--overwrite", *places, "--bootstrap", "20", *map(str, more)])


def metrics(folder):
    return json.loads((folder / "out" / "metrics.json").read_text())


def test_from_files(files, capsys):
    folder, _ = files
    assert evaluate(folder, "--detections", folder / "run" / "d.jsonl") == 0
    found = metrics(folder)
    assert found["frame_map_50"] == pytest.approx(0.9, abs=0.05)
    assert (found["precision"], found["recall"]) == (1.0, 0.9)
    assert found["data"]["unprocessed_ranges"] == [["v9", 0, 9]]
    output = capsys.readouterr()
    assert "10 of 100 looked-at frames were never processed ('v9' frames 0 to 9)" in output.err
    assert "report.html" in output.out
    assert evaluate(folder, "--detections", folder / "run" / "d.jsonl", "--only-processed") == 0
    assert metrics(folder)["frame_map_50"] == 1.0


def test_coco_results_give_the_same(files):
    folder, annotations = files
    assert evaluate(folder, "--detections", folder / "run" / "d.jsonl", "--protocol", "coco") == 0
    lines = metrics(folder)
    truth = json.loads((folder / "gt.json").read_text())
    videos = {video["id"]: video["name"] for video in truth["videos"]}
    ids = {category["name"]: category["id"] for category in truth["categories"]}
    results = []
    for image in truth["images"]:
        name = videos[image["video_id"]]
        if name == "v9":
            continue
        here = annotations.videos[name][image["frame_id"]]
        for box, label in zip(xyxy_to_xywh(here.boxes), here.labels.argmax(axis=1), strict=True):
            results.append(
                {
                    "image_id": image["id"],
                    "category_id": ids[NAMES[label]],
                    "bbox": box.tolist(),
                    "score": 0.8,
                }
            )
    (folder / "results.json").write_text(json.dumps(results))
    assert evaluate(folder, "--detections", folder / "results.json", "--protocol", "coco") == 0
    found = metrics(folder)
    assert found["frame_map_50"] == lines["frame_map_50"]
    assert found["localization_recall"] is None
    assert found["coco"]["AP50"] == found["frame_map_50"]


def test_thresholds_learnt_elsewhere(files):
    folder, _ = files
    evaluate(folder, "--detections", folder / "run" / "d.jsonl")
    (folder / "out" / "metrics.json").rename(folder / "val.json")
    evaluate(
        folder, "--detections", folder / "run" / "d.jsonl", "--threshold-from", folder / "val.json"
    )
    assert metrics(folder)["threshold"] == 0.8
    assert metrics(folder)["threshold_source"].startswith("from ")
    evaluate(folder, "--detections", folder / "run" / "d.jsonl", "--threshold", "0.9")
    assert (metrics(folder)["recall"], metrics(folder)["threshold_source"]) == (0.0, "given")


def test_mistakes_end_with_one_line(files, capsys):
    folder, _ = files
    detections = folder / "run" / "d.jsonl"
    with open(detections, "a") as stream:
        stream.write('{"video": "v9", "fra')
    for more, message in (
        (["--detections", detections, "--strict"], "cut off in the middle"),
        (["--detections", folder / "none.jsonl"], "found none"),
        (["--detections", detections, "--protocol", "yolo"], "did you mean yowo"),
        (["--detections", detections, "--side", "val"], "expected --data with --side"),
        (["--detections", detections, "--motionless", detections], "expected JSON"),
    ):
        capsys.readouterr()
        assert evaluate(folder, *more) == 2, more
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1
    assert evaluate(folder, "--detections", detections) == 0  # the rest counts
    assert any("cut off" in note for note in metrics(folder)["notes"])


def test_compare_command(files, capsys):
    folder, _ = files
    evaluate(folder, "--detections", folder / "run" / "d.jsonl")
    capsys.readouterr()
    out = folder / "comparison"
    same = str(folder / "out")
    assert main(["compare", same, same, "--out", str(out), "--bootstrap", "20"]) == 0
    assert "compare.html" in capsys.readouterr().out
    assert (out / "compare.html").is_file()
    assert main(["compare", same, "--out", str(folder / "other")]) == 2


def test_evaluation_does_not_need_torch():
    import subprocess
    import sys

    code = (
        "import sys, stadet.detect.metrics.evaluation, stadet.detect.report.build;"
        "import stadet.detect.detections.reader;"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_threshold_learnt_elsewhere_says_where(tmp_path):
    from stadet.tools.evaluation.evaluate import _thresholds

    path = tmp_path / "metrics.json"
    figures = {"frame_map_50": 0.5, "threshold": 0.25, "threshold_source": IN_SAMPLE}
    path.write_text(json.dumps({**figures, "per_class": {"a": {"threshold": 0.5}}}))
    found = _thresholds(None, path, ("a", "b"))
    assert found.overall == 0.25 and found.per_class[0] == 0.5 and np.isnan(found.per_class[1])
    assert str(path) in found.source and "these same frames" not in found.source


def test_a_file_for_use_is_said_to_be_cut_off(files, capsys):
    folder, annotations = files
    with DetectionsWriter(folder / "use.jsonl", NAMES, 0.1) as writer:
        for video in annotations:
            for frame in range(10):
                truth = video[frame]
                writer.write(
                    video.name, frame, Detections(truth.boxes, np.ones(1), truth.labels * 0.8)
                )
            writer.processed(video.name, 0, 9)
    assert evaluate(folder, "--detections", folder / "use.jsonl") == 0
    assert "leaves out scores below 0.1" in capsys.readouterr().err
    assert "leaves out scores below 0.1" in (folder / "out" / "report.md").read_text()
