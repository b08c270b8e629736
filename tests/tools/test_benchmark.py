"""stad benchmark: each runtime measured in its own process, and what counts as the same answer."""

import json

import cv2
import numpy as np
import pytest

from stadet.detect.detections.detection_set import DetectionSet, VideoDetections
from stadet.engine.errors import UserError
from stadet.tools import benchmark as verb
from stadet.tools.classification.benchmark import ClassifierSubject, ClipAnswers, clip_agreement
from stadet.tools.cli import run_verb
from stadet.tools.inference.benchmark import agreement, benchmark, recommend
from tests.datasets.tiny_classes import write_classes
from tests.tools.small_checkpoints import save_small_checkpoint, save_small_classifier


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


def test_clips_that_agree_have_the_same_class_and_nearly_its_probability():
    wanted = np.array([[0.9, 0.1], [0.9, 0.1], [0.9, 0.1], [0.52, 0.48]])
    found = np.array([[0.87, 0.13], [0.7, 0.3], [0.1, 0.9], [0.49, 0.51]])
    assert clip_agreement(found, wanted) == 0.25
    assert clip_agreement(wanted, wanted) == 1.0


@pytest.fixture(scope="module")
def classes(tmp_path_factory):
    return write_classes(tmp_path_factory.mktemp("classes"), sides=("test",))


def test_classifiers_are_timed_on_clips_and_judged_by_folders(tmp_path, classes, capsys):
    pytest.importorskip("onnxruntime")
    import stadet
    from stadet.tools.export import export

    path, exported = save_small_classifier(tmp_path / "best.pt"), tmp_path / "best.onnx"
    export(path, exported)
    out = tmp_path / "out"
    arguments = [str(path), str(exported), "--video", str(classes), "--out", str(out)]
    assert run_verb(verb, [*arguments, "--runtime", "eager", "onnx", "--clips", "8"]) == 0
    content = json.loads((out / "benchmark.json").read_text())
    ran = [row for row in content["rows"] if "refused" not in row]
    assert [(row["checkpoint"], row["runtime"]) for row in ran] == [
        (str(path), "eager"),
        (str(path), "onnx"),
        (str(exported), "onnx"),
    ]
    answers = stadet.open_classifier(path, "cpu")(classes)
    right = [name.split("_")[1].startswith(answer) for name, answer in named(answers)]
    for row in ran:
        assert row["clips_per_second"] > 0 and row["start_s"] > 0 and row["memory_mib"] > 50
        assert 0 < row["latency_p50_ms"] <= row["latency_p95_ms"] and row["agreement"] == 1.0
        assert row["top1"] == pytest.approx(np.mean(right))
    assert content["clips"] == 8 and content["video"] == "8 videos"
    printed = capsys.readouterr().out
    assert "clips/s" in printed and "top-1" in printed and "100.0% of the clips" in printed


def named(answers):
    """(name of the video's folder, predicted class) of each answer."""
    return zip(
        (video.rsplit("/", 1)[-1] for video in answers.videos), answers.predicted_names, strict=True
    )


def test_a_long_video_without_a_class_gives_several_clips(tmp_path):
    """Of 40 frames; a clip of the model takes 4."""
    from stadet.tools.classification.benchmark import measure_classifier
    from tests.datasets.tiny_classes import write_frames

    path = save_small_classifier(tmp_path / "best.pt")
    video = write_frames(tmp_path / "long", np.linspace(0, 255, 40))
    task = {"checkpoint": path, "device": "cpu", "runtime": "eager", "precision": "fp32"}
    task |= {"videos": [str(video)], "clips": 6, "answers": tmp_path / "a.npz", "started": 0.0}
    measure_classifier(task)
    found = ClassifierSubject([video], 6).read(tmp_path / "a.npz")
    assert found.probabilities.shape == (6, 2) and found.top1 is None
    assert len(np.unique(found.probabilities[:, 0])) > 2
    np.testing.assert_allclose(found.probabilities.sum(1), 1, atol=1e-6)
    measure_classifier({**task, "clips": 1000})  # no more than fit
    assert len(ClassifierSubject([video], 6).read(tmp_path / "a.npz").probabilities) == 10


def test_classifiers_that_cannot_be_compared_are_told(tmp_path, classes, footage):
    path = save_small_classifier(tmp_path / "best.pt")
    detector = save_small_checkpoint(tmp_path / "yolo.pt", "yolo")
    out = tmp_path / "out"
    for arguments, message in [
        (([path, detector], footage), "expected checkpoints of one kind, found .* .a detector"),
        (([detector], [footage, footage]), "--video: expected one video for detectors, found 2"),
        (([path], tmp_path / "nothing"), "expected a video or a folder, found nothing there"),
    ]:
        with pytest.raises(UserError, match=message):
            benchmark(*arguments, out)
    with pytest.raises(UserError, match="--data: is of detectors"):
        benchmark([path], classes, out, data=tmp_path / "dataset.yaml")
    with pytest.raises(UserError, match="--clips: expected"):
        benchmark([path], classes, out, clips=3)
    few, many = ClipAnswers(np.ones((2, 2)), None), ClipAnswers(np.ones((2, 3)), None)
    with pytest.raises(UserError, match="as many clips and classes as of the first"):
        ClassifierSubject([classes], 4).compare({"checkpoint": "b.pt"}, few, many)
    assert not out.exists()
