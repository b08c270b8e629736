import json

import numpy as np
import pytest
import torch

from stadet.datasets.footage.writer import VideoWriter
from stadet.detect.detections.reader import read_detections
from stadet.engine.checkpoint import save_checkpoint
from stadet.tools import cli
from stadet.tools.inference.detectors import open_detector
from stadet.tools.inference.exported import export_detector, open_exported
from stadet.tools.inference.runtimes import RuntimeOptions, open_for_runtime, prepare_model
from tests.detect.ultralytics_models.peers import frames
from tests.tools.small_checkpoints import NAMES, SIZE, save_small_checkpoint

onnx = pytest.importorskip("onnx")
KINDS = (
    "yolo",
    "recurrent-yolo",
    "stacked-yolo",
    "yowo",
    "yolo backbone",
    "recurrent-yolo backbone",
)
ULTRALYTICS = ("ultralytics", "recurrent-ultralytics")


@pytest.fixture(scope="module", params=KINDS)
def checkpoint(request, tmp_path_factory):
    return save_small_checkpoint(tmp_path_factory.mktemp("run") / "best.pt", request.param)


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    path, rng = tmp_path_factory.mktemp("footage") / "a.mp4", np.random.default_rng(0)
    with VideoWriter(path, SIZE, 25) as writer:
        for _ in range(21):
            coarse = rng.integers(0, 256, (4, 8, 3), dtype=np.uint8)
            writer.write(coarse.repeat(8, axis=0).repeat(8, axis=1))
    return path


def predict(video, checkpoint, out, *options):
    arguments = ["predict", str(video), "--checkpoint", str(checkpoint), "--out", str(out)]
    assert cli.main([*arguments, "--device", "cpu", "--for-evaluation", *options]) == 0
    return read_detections(out, NAMES).videos["a"]


def assert_same(ours, theirs, tolerance=1e-3):
    """Two files of one video: the same rows, up to the last digits that are written."""
    assert np.array_equal(ours.frames, theirs.frames)
    assert np.array_equal(ours.processed, theirs.processed)
    np.testing.assert_allclose(ours.boxes, theirs.boxes, atol=64 * tolerance)
    np.testing.assert_allclose(ours.scores, theirs.scores, atol=tolerance)


def test_the_exported_file_predicts_as_the_checkpoint(checkpoint, video, tmp_path):
    pytest.importorskip("onnxruntime")
    file = tmp_path / "small.onnx"
    assert cli.main(["export", "--checkpoint", str(checkpoint), "--out", str(file)]) == 0
    eager = predict(video, checkpoint, tmp_path / "eager.jsonl")
    assert len(eager.frames) > 20
    runtime = ("--runtime", "onnx")
    assert_same(predict(video, file, tmp_path / "file.jsonl", *runtime), eager)
    assert_same(predict(video, checkpoint, tmp_path / "memory.jsonl", *runtime), eager)


def test_openvino_predicts_as_the_checkpoint(checkpoint, video, tmp_path):
    pytest.importorskip("openvino")
    eager = predict(video, checkpoint, tmp_path / "eager.jsonl")
    found = predict(video, checkpoint, tmp_path / "ov.jsonl", "--runtime", "openvino")
    assert_same(found, eager)


def test_an_int8_file_predicts_nearly_as_the_checkpoint(checkpoint, video, tmp_path):
    pytest.importorskip("onnxruntime")
    file, whole = tmp_path / "int8.onnx", tmp_path / "float.onnx"
    start = ["export", "--checkpoint", str(checkpoint), "--out"]
    assert cli.main([*start, str(file), "--int8", str(video), "--calibration-clips", "5"]) == 0
    assert cli.main([*start, str(whole)]) == 0
    assert file.stat().st_size < 0.6 * whole.stat().st_size
    exact = predict(video, whole, tmp_path / "float.jsonl", "--runtime", "onnx")
    found = predict(video, file, tmp_path / "int8.jsonl", "--runtime", "onnx")
    assert len(found.frames) > 20 and np.array_equal(found.processed, exact.processed)
    best = [
        [detections.scores[detections.frames == frame].max() for frame in range(21)]
        for detections in (found, exact)
    ]
    np.testing.assert_allclose(*best, atol=0.1)


@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
@pytest.mark.parametrize("kind", ULTRALYTICS)
@torch.no_grad()
def test_ultralytics_networks_answer_as_the_checkpoint(kind, runtime, tmp_path):
    """Before suppression, as an untrained network of many layers gives many equal scores."""
    pytest.importorskip("onnxruntime" if runtime == "onnx" else "openvino")
    path = save_small_checkpoint(tmp_path / "best.pt", kind)
    eager, file = open_detector(path).model, tmp_path / "small.onnx"
    assert cli.main(["export", "--checkpoint", str(path), "--out", str(file)]) == 0
    exported = open_exported(file, runtime).model
    states = [None, None]
    for seed in range(3):
        window = frames(1, 3, seed, SIZE)
        answers = []
        for place, model in enumerate((eager, exported)):
            maps, states[place] = model(window, states[place])
            answers.append(model.decode(maps))
        torch.testing.assert_close(answers[1].scores, answers[0].scores, atol=2e-3, rtol=0)
        torch.testing.assert_close(answers[1].boxes, answers[0].boxes, atol=0.1, rtol=1e-3)


@pytest.mark.slow
def test_compiled_predicts_as_the_checkpoint(checkpoint, video, tmp_path):
    eager = predict(video, checkpoint, tmp_path / "eager.jsonl")
    found = predict(video, checkpoint, tmp_path / "compiled.jsonl", "--runtime", "compiled")
    assert_same(found, eager)


def test_metadata_names_what_a_user_needs(checkpoint):
    detector = open_for_runtime(checkpoint, RuntimeOptions())
    graph = onnx.load_from_string(export_detector(detector, batch=3))
    entry, digest = graph.metadata_props
    assert (entry.key, digest.key) == ("stad", "stad.sha256")
    content = json.loads(entry.value)
    assert content["names"] == list(NAMES) and content["network_size"] == list(SIZE)
    assert content["anchors"] == (detector.anchors and detector.anchors.to_dict())
    assert content["split"] == {}
    inputs = {
        node.name: [side.dim_value for side in node.type.tensor_type.shape.dim]
        for node in graph.graph.input
    }
    clip = [3, 8, 3, *SIZE] if detector.model.predicts == "last_frame" else [3, 3, *SIZE]
    assert inputs.pop("frames") == clip
    stateful = detector.config.model.startswith(("recurrent-", "stacked-"))
    assert bool(inputs) == stateful and all(name.startswith("state.") for name in inputs)
    outputs = [node.name for node in graph.graph.output]
    assert outputs[:3] == ["boxes", "objectness", "scores"]
    assert outputs[3:] == [name.replace("state.", "next.", 1) for name in inputs]


@pytest.mark.parametrize("kind", ["yolo", "yowo"])
def test_a_fixed_batch_serves_every_number_of_frames(kind, video, tmp_path):
    pytest.importorskip("onnxruntime")
    checkpoint, file = save_small_checkpoint(tmp_path / "best.pt", kind), tmp_path / "a.onnx"
    arguments = ["--checkpoint", str(checkpoint), "--out", str(file), "--batch", "3"]
    assert cli.main(["export", *arguments]) == 0
    found = predict(video, file, tmp_path / "onnx.jsonl", "--runtime", "onnx", "--window", "4")
    assert_same(found, predict(video, checkpoint, tmp_path / "eager.jsonl"))


def test_an_exported_file_opens_with_what_the_checkpoint_says(checkpoint, tmp_path):
    pytest.importorskip("onnxruntime")
    detector = open_for_runtime(checkpoint, RuntimeOptions())
    (tmp_path / "a.onnx").write_bytes(export_detector(detector))
    opened = open_exported(tmp_path / "a.onnx", "onnx")
    assert opened.names == detector.names and opened.config == detector.config
    if detector.anchors is None:
        assert opened.anchors is None
    else:
        assert opened.anchors.to_dict() == detector.anchors.to_dict()


@pytest.mark.parametrize(
    "options",
    [["--temporal-every", "3"], ["--feature-bank"]],
    ids=lambda options: options[0],
)
def test_resuming_and_windows_change_no_answer_of_yowo(options, video, tmp_path):
    checkpoint = save_small_checkpoint(tmp_path / "best.pt", "yowo")
    whole = predict(video, checkpoint, tmp_path / "whole.jsonl", *options)
    assert whole.processed.tolist() == [[0, 20]]
    part = tmp_path / "part.jsonl"
    predict(video, checkpoint, part, "--window", "5", "--max-frames", "19", *options)
    lines = part.read_text().splitlines()
    reached = next(n for n, line in enumerate(lines) if '"processed"' in line)
    part.write_text("\n".join(lines[: reached + 1]) + "\n")  # as a kill at frame 16 leaves it
    resumed = predict(video, checkpoint, part, "--resume", "--window", "5", *options)
    assert_same(resumed, whole)


def test_temporal_every_one_is_the_plain_path(video, tmp_path):
    checkpoint = save_small_checkpoint(tmp_path / "best.pt", "yowo")
    predict(video, checkpoint, tmp_path / "a.jsonl")
    predict(video, checkpoint, tmp_path / "b.jsonl", "--temporal-every", "1")
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()


def test_bad_combinations_are_one_line(video, tmp_path, capsys):
    yolo = save_small_checkpoint(tmp_path / "yolo.pt", "yolo")
    yowo = save_small_checkpoint(tmp_path / "yowo.pt", "yowo")
    file = tmp_path / "yolo.onnx"
    assert cli.main(["export", "--checkpoint", str(yolo), "--out", str(file)]) == 0
    start = ["predict", str(video), "--out", str(tmp_path / "out.jsonl"), "--checkpoint"]
    export = ["export", "--checkpoint", str(yolo), "--out", str(tmp_path / "int8.onnx")]
    again = ["export", "--checkpoint", str(yolo), "--out", str(file), "--overwrite"]
    cases = [
        ([*start, str(yolo), "--feature-bank"], "expected a YOWO checkpoint, found YOLOv3Tiny"),
        ([*start, str(yolo), "--temporal-every", "2"], "expected a YOWO checkpoint"),
        ([*start, str(yowo), "--temporal-every", "0"], "k of at least 1, found 0"),
        ([*start, str(yowo), "--temporal-every", "2", "--feature-bank"], "cannot be combined"),
        ([*start, str(yowo), "--feature-bank", "--runtime", "onnx"], "needs --runtime eager"),
        ([*start, str(file), "--runtime", "eager"], "expected --runtime onnx or openvino for an"),
        ([*start, str(tmp_path / "none.onnx"), "--runtime", "onnx"], "no such file"),
        ([*start, str(yolo), "--runtime", "onnx", "--device", "cuda"], "runs on the CPU"),
        ([*start, str(yolo), "--runtime", "onnx", "--precision", "bf16"], "expected precision"),
        (["export", "--checkpoint", str(yolo), "--out", "a.pt"], "ends in .onnx, found a.pt"),
        ([*again, "--batch", "0"], "at least 1"),
        ([*export, "--int8", "camera:0"], "expected files or folders; record the camera first"),
        (
            [*export, "--int8", str(tmp_path / "none")],
            "expected a video or a folder, found nothing",
        ),
        ([*export, "--int8", str(video), "--calibration-clips", "0"], "at least 1, found 0"),
        ([*export, "--calibration-clips", "5"], "expected --int8 FOOTAGE with it, found none"),
    ]
    for arguments, expected in cases:
        capsys.readouterr()
        assert cli.main(arguments) == 2, arguments
        said = capsys.readouterr().err
        assert expected in said and said.count("\n") == 1, said


def test_a_bidirectional_memory_cannot_be_exported(tmp_path, capsys):
    path = save_small_checkpoint(tmp_path / "best.pt", "recurrent-yolo")
    content = torch.load(path, weights_only=True)
    content["config"]["recurrent"]["memory"]["bidirectional"] = True
    from stadet.engine.config import from_dict
    from stadet.tools.training.config import TrainConfig

    detector = open_for_runtime(path, RuntimeOptions())
    config = from_dict(TrainConfig, content["config"], "a test")
    content["model"] = config.recipe.build(len(NAMES), detector.anchors).state_dict()
    save_checkpoint(path, {key: value for key, value in content.items() if key != "schema"})
    out = tmp_path / "a.onnx"
    assert cli.main(["export", "--checkpoint", str(path), "--out", str(out)]) == 2
    assert "bidirectional" in capsys.readouterr().err and not out.exists()


def test_sessions_take_bf16_where_they_can(tmp_path):
    pytest.importorskip("openvino")
    detector = open_for_runtime(
        save_small_checkpoint(tmp_path / "best.pt", "yowo"), RuntimeOptions()
    )
    clips = torch.randint(0, 256, (1, 8, 3, *SIZE), dtype=torch.uint8)
    with torch.no_grad():
        expected = detector.model.decode(detector.model(clips)[0]).scores
    options = RuntimeOptions("openvino", "bf16")
    assert options.autocast is None
    model = prepare_model(detector, options, torch.device("cpu"))
    found = model.decode(model(clips)[0]).scores
    torch.testing.assert_close(found, expected, rtol=0, atol=0.02)
