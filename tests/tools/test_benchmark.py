"""stad benchmark: each runtime measured in its own process, and what counts as the same answer."""

import json

import cv2
import numpy as np
import pytest

from stadet.detect.detections.detection_set import DetectionSet, VideoDetections
from stadet.engine.errors import UserError
from stadet.tools import benchmark as verb
from stadet.tools.cli import run_verb
from stadet.tools.inference.benchmark import agreement, benchmark, recommend
from tests.tools.small_checkpoints import save_small_checkpoint


def detections(boxes, scores, frames=None) -> DetectionSet:
    frames = np.arange(len(boxes)) if frames is None else np.array(frames)
    video = VideoDetections(
        "v",
        frames,
        np.array(boxes, float).reshape(-1, 4),
        np.full(len(boxes), np.nan),
        np.array(scores, float).reshape(-1, 2),
        np.array([[0, 9]]),
    )
    return DetectionSet(("a", "b"), 0.005, {"v": video})


BOX = [10, 10, 30, 30]


@pytest.mark.parametrize(
    ("boxes", "scores", "share"),
    [
        ([BOX, BOX], [[0.9, 0], [0.8, 0]], 1.0),
        ([BOX, BOX], [[0.9, 0], [0.7, 0]], 0.5),  # a score that differs
        ([BOX, BOX], [[0.9, 0], [0, 0.8]], 0.5),  # another class
        ([BOX, [10, 10, 30, 40]], [[0.9, 0], [0.8, 0]], 0.5),  # another place
        ([BOX], [[0.9, 0]], 2 / 3),  # one of three boxes of both has no partner
        ([BOX, BOX, BOX], [[0.9, 0], [0.8, 0], [0.1, 0]], 1.0),  # one below the threshold
    ],
)
def test_the_same_answers_are_counted_in_both_directions(boxes, scores, share):
    wanted = detections([BOX, BOX], [[0.9, 0], [0.8, 0]])
    assert agreement(detections(boxes, scores), wanted, 10, 0.3) == pytest.approx(share)
    assert agreement(wanted, detections(boxes, scores), 10, 0.3) == pytest.approx(share)


def test_the_fastest_that_agrees_is_recommended():
    rows = [
        {"checkpoint": "a.pt", "runtime": "eager", "frames_per_second": 10.0, "agreement": 1.0},
        {
            "checkpoint": "a.pt",
            "runtime": "openvino:bf16",
            "frames_per_second": 40.0,
            "agreement": 0.5,
        },
        {"checkpoint": "a.pt", "runtime": "onnx", "frames_per_second": 25.0, "agreement": 0.99},
        {"checkpoint": "a.pt", "runtime": "compiled", "refused": "no compiler"},
    ]
    said = recommend(rows)
    assert "--runtime onnx:" in said and "2.50 times eager" in said


@pytest.fixture(scope="module")
def footage(tmp_path_factory):
    folder = tmp_path_factory.mktemp("video") / "frames"
    folder.mkdir()
    random = np.random.default_rng(0)
    for number in range(12):
        picture = random.integers(0, 256, (32, 64, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f"{number:03d}.png"), picture)
    return folder


def test_every_runtime_has_its_figures_and_what_cannot_run_its_reason(tmp_path, footage, capsys):
    pytest.importorskip("onnxruntime")
    path = save_small_checkpoint(tmp_path / "best.pt", "recurrent-yolo")
    exported = tmp_path / "best.onnx"
    from stadet.tools.export import export

    export(path, exported)
    out = tmp_path / "out"
    arguments = [str(path), str(exported), "--video", str(footage), "--out", str(out)]
    assert run_verb(verb, [*arguments, "--runtime", "eager", "onnx"]) == 0
    content = json.loads((out / "benchmark.json").read_text())
    ran = [row for row in content["rows"] if "refused" not in row]
    (refused,) = [row for row in content["rows"] if "refused" in row]
    assert [(row["checkpoint"], row["runtime"]) for row in ran] == [
        (str(path), "eager"),
        (str(path), "onnx"),
        (str(exported), "onnx"),
    ]
    assert (refused["checkpoint"], refused["runtime"]) == (str(exported), "eager")
    assert "--runtime onnx or openvino" in refused["refused"]
    for row in ran:
        assert row["frames_per_second"] > 0 and row["start_s"] > 0 and row["memory_mib"] > 50
        assert 0 < row["latency_p50_ms"] <= row["latency_p95_ms"]
        assert row["agreement"] == 1.0
    printed = capsys.readouterr().out
    assert "Not run here" in printed and "recommended:" in printed
    assert cv2.imread(str(out / "benchmark.png")).shape[1] == 1000
    assert run_verb(verb, arguments) == 2
    assert "--overwrite" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"runtimes": ["fast"]}, "expected some of eager"),
        ({"checkpoints": ["missing.pt"]}, "expected a checkpoint"),
        ({"frames": 3}, "at least 8 frames"),
    ],
)
def test_what_cannot_be_timed_is_told(tmp_path, footage, options, message):
    path = save_small_checkpoint(tmp_path / "best.pt", "yolo")
    arguments = {"checkpoints": [path], "video": footage, "out": tmp_path / "out", **options}
    with pytest.raises(UserError, match=message):
        benchmark(**arguments)
    assert not (tmp_path / "out").exists()
