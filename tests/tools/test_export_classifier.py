"""stad export of classifiers, and every verb that runs what it writes."""

import json

import numpy as np
import pytest
import torch

import stadet
from stadet.classify.models.classifier import ClipClassifier
from stadet.classify.models.registry import MODELS
from stadet.datasets.clips.timing import Timing
from stadet.datasets.live.reader import LiveFrame
from stadet.datasets.splits.split import Split
from stadet.detect.runtime.seal import seal, without_seal
from stadet.engine.checkpoint import load_checkpoint, save_checkpoint
from stadet.engine.config import from_dict
from stadet.tools import cli
from stadet.tools.classification.checkpoint import (
    build_classifier,
    checkpoint_description,
    open_classifier,
)
from stadet.tools.classification.config import ClassifierConfig
from stadet.tools.classification.exported import export_classifier
from stadet.tools.inference.runtimes import RuntimeOptions
from stadet.tools.service.models import ModelShelf
from stadet.tools.streams.sessions import session_maker
from tests.datasets.tiny_classes import write_classes
from tests.tools.small_checkpoints import (
    SMALL_CLASSIFIER,
    save_small_checkpoint,
    save_small_classifier,
)

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("export")


@pytest.fixture(scope="module")
def videos(folder):
    return write_classes(folder / "data")


@pytest.fixture(scope="module")
def checkpoint(folder):
    return save_small_classifier(folder / "best.pt")


@pytest.fixture(scope="module")
def exported(folder, checkpoint):
    out = folder / "best.onnx"
    assert cli.main(["export", "--checkpoint", str(checkpoint), "--out", str(out)]) == 0
    return out


def assert_same(ours, theirs, tolerance=1e-5):
    assert ours.videos == theirs.videos and ours.names == theirs.names
    np.testing.assert_allclose(ours.probabilities, theirs.probabilities, atol=tolerance)
    np.testing.assert_allclose(ours.known, theirs.known, atol=tolerance)


def test_the_exported_file_classifies_as_the_checkpoint(videos, checkpoint, exported):
    eager = stadet.open_classifier(checkpoint, "cpu")(videos)
    assert len(eager) > 4 and np.ptp(eager.probabilities[:, 0]) > 0.01
    file = stadet.open_classifier(exported)
    assert_same(file(videos), eager)
    assert file.rejection == stadet.open_classifier(checkpoint, "cpu").rejection
    assert_same(stadet.open_classifier(checkpoint, runtime="onnx")(videos), eager)
    pytest.importorskip("openvino")
    assert_same(stadet.open_classifier(exported, runtime="openvino")(videos), eager, 1e-4)


@pytest.mark.slow
def test_compiled_and_bf16_classify_as_the_checkpoint(videos, checkpoint):
    eager = stadet.open_classifier(checkpoint, "cpu")(videos)
    assert_same(stadet.open_classifier(checkpoint, "cpu", runtime="compiled")(videos), eager)
    half = stadet.open_classifier(checkpoint, "cpu", precision="bf16")(videos)
    assert_same(half, eager, 0.03)
    assert not np.array_equal(half.probabilities, eager.probabilities)


def test_the_verb_prints_the_same_for_the_file(videos, checkpoint, exported, capsys):
    said = []
    for path in (checkpoint, exported):
        assert cli.main(["classify", str(videos), "--checkpoint", str(path)]) == 0
        said.append(capsys.readouterr().out)
    assert said[0] == said[1] and "accuracy by the folders' names" in said[0]


def test_int8_classifies_nearly_as_the_checkpoint(folder, videos, checkpoint, exported):
    out = folder / "int8.onnx"
    arguments = ["export", "--checkpoint", str(checkpoint), "--out", str(out)]
    assert cli.main([*arguments, "--int8", str(videos), "--calibration-clips", "6"]) == 0
    graph = onnx.load(str(out))
    made_by = {name: node.op_type for node in graph.graph.node for name in node.output}
    convolutions = [node for node in graph.graph.node if node.op_type == "Conv"]
    assert convolutions  # and the last of them too
    assert {made_by.get(node.input[0]) for node in convolutions} == {"DequantizeLinear"}
    assert json.loads(graph.metadata_props[0].value)["precision"] == "int8"
    exact, found = (stadet.open_classifier(path)(videos) for path in (exported, out))
    assert np.abs(found.probabilities - exact.probabilities).max() < 0.1
    assert not np.array_equal(found.probabilities, exact.probabilities)
    assert cli.main([*arguments, "--overwrite", "--batch", "2", "--int8", str(videos)]) == 0
    fixed = stadet.open_classifier(out)(videos)
    assert np.abs(fixed.probabilities - exact.probabilities).max() < 0.1


def test_the_file_shows_frames_at_the_rate_of_the_training(folder, checkpoint):
    timed = folder / "timed.pt"
    content = {**load_checkpoint(checkpoint), "timing": Timing(12.5).to_dict()}
    save_checkpoint(timed, content)
    out = folder / "timed.onnx"
    assert cli.main(["export", "--checkpoint", str(timed), "--out", str(out)]) == 0
    assert stadet.open_classifier(timed, "cpu").fps == stadet.open_classifier(out).fps == 12.5


def test_streams_and_other_inputs(folder, videos):
    """A model of three streams takes flow and HOG images, made from the clip."""
    changes = {"model": {"name": "three_stream", "options": {"backbone": "resnet18"}}}
    torch.manual_seed(0)
    config = from_dict(
        ClassifierConfig, {**SMALL_CLASSIFIER, "input": {"size": [32, 48]}, **changes}, ""
    )
    heads = [("bright", "dark")]
    description = checkpoint_description(config, heads, Split({}).record())
    path = folder / "streams.pt"
    save_checkpoint(path, {**description, "model": build_classifier(config, heads).state_dict()})
    out = folder / "streams.onnx"
    assert cli.main(["export", "--checkpoint", str(path), "--out", str(out), "--batch", "2"]) == 0
    assert_same(stadet.open_classifier(out)(videos), stadet.open_classifier(path, "cpu")(videos))


def test_a_binary_head_and_one_head_of_two(folder, videos):
    rejecting = save_small_classifier(folder / "rejects.pt", data={"none": "elsewhere"})
    content = export_classifier(open_classifier(rejecting))
    (folder / "rejects.onnx").write_bytes(content)
    outputs = [node.name for node in onnx.load_from_string(content).graph.output]
    assert outputs == ["logits", "probabilities", "known"]
    eager = stadet.open_classifier(rejecting, "cpu")(videos)
    assert np.isfinite(eager.known).all()
    assert_same(stadet.open_classifier(folder / "rejects.onnx")(videos), eager)

    two = save_small_classifier(folder / "two.pt", (("bright", "dark"), ("a", "b", "c")))
    out = folder / "second.onnx"
    start = ["export", "--checkpoint", str(two), "--out", str(out)]
    assert cli.main([*start, "--head", "1"]) == 0
    found = stadet.open_classifier(out)(videos)
    assert found.names == ("a", "b", "c")
    assert_same(found, stadet.open_classifier(two, "cpu", head=1)(videos))


def test_metadata_names_what_a_user_needs(checkpoint, exported):
    graph = onnx.load(str(exported))
    entry, digest = graph.metadata_props
    assert (entry.key, digest.key) == ("stad", "stad.sha256")
    content = json.loads(entry.value)
    assert content["heads"] == [["bright", "dark"]] and content["network_size"] == [16, 24]
    assert content["clip_length"] == 4 and content["inputs"] == ["frames"]
    assert content["rejection"] == {"confidence": 0.5, "known": None}
    assert content["split"]["sides"] == {}
    assert content["config"]["sampling"]["policy"] == "uniform-frames"
    (frames,) = graph.graph.input
    sides = frames.type.tensor_type.shape.dim
    assert [side.dim_param or side.dim_value for side in sides] == ["batch", 4, 3, 16, 24]


def test_live_and_the_service_take_the_file(folder, checkpoint, exported):
    random = np.random.default_rng(0)
    frames = [
        LiveFrame(random.integers(0, 256, (32, 48, 3), dtype=np.uint8), n / 10, 0.0, n, n == 0)
        for n in range(12)
    ]
    pictures = []
    for path in (checkpoint, exported):
        session = session_maker(path, device="cpu", window_seconds=0.5, stride_seconds=0.2)("one")
        answers = [session(frame) for frame in frames]
        pictures.append(np.stack([answer.image for answer in answers if answer]))
    assert np.array_equal(*pictures) and len(pictures[0]) == 12
    entries = {entry.name: entry for entry in ModelShelf(folder).entries()}
    assert (entries["best.onnx"].kind, entries["best.onnx"].classes) == (
        "classifier",
        ("bright", "dark"),
    )


def test_bad_files_and_combinations_are_one_line(folder, videos, checkpoint, exported, capsys):
    detector = save_small_checkpoint(folder / "yolo.pt", "yolo")
    detects = folder / "yolo.onnx"
    assert cli.main(["export", "--checkpoint", str(detector), "--out", str(detects)]) == 0
    graph = onnx.load_from_string(without_seal(exported.read_bytes()))
    said = json.loads(graph.metadata_props[0].value)

    def written(name, text):
        graph.metadata_props[0].value = text
        (folder / name).write_bytes(seal(graph.SerializeToString()))
        return str(folder / name)

    lacking = written("lacking.onnx", json.dumps({k: said[k] for k in said if k != "heads"}))
    garbled = written("garbled.onnx", "{")
    sampling = {**said["config"]["sampling"], "frames": 8}
    longer = {**said, "config": {**said["config"], "sampling": sampling}}
    other = written("other.onnx", json.dumps(longer))
    foreign = folder / "foreign.onnx"
    graph.metadata_props[0].key = "theirs"
    foreign.write_bytes(graph.SerializeToString())
    damaged = folder / "damaged.onnx"
    content = bytearray(exported.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    start = ["classify", str(videos), "--checkpoint"]
    predict = ["predict", str(videos), "--out", str(folder / "out.jsonl"), "--checkpoint"]
    export = ["export", "--out", str(folder / "new.onnx"), "--checkpoint"]
    cases = [
        ([*start, str(detects)], "expected an exported classifier, found a detector"),
        ([*predict, str(exported)], "expected an exported detector, found a classifier"),
        ([*start, lacking], "expected the metadata of stad export, found it incomplete ('heads')"),
        ([*start, garbled], "expected JSON in its metadata property 'stad'"),
        ([*start, other], "its metadata says clips of 8 frames, its graph takes 4"),
        ([*start, str(foreign)], "expected an ONNX file made by stad export, found another"),
        ([*start, str(damaged)], "damaged, cut off or changed by another program"),
        ([*start, str(folder / "none.onnx")], "no such file"),
        ([*start, str(exported), "--runtime", "eager"], "expected --runtime onnx or openvino for"),
        ([*start, str(exported), "--head", "1"], "export the checkpoint with --head 1"),
        ([*start, str(exported), "--device", "cuda"], "runs on the CPU, found --device cuda"),
        ([*start, str(checkpoint), "--runtime", "onnx", "--precision", "bf16"], "precision fp32"),
        ([*export, str(exported)], "expected a checkpoint, found an exported file"),
        ([*export, str(detector), "--head", "1"], "--head: expected a classifier of two data"),
        ([*export, str(checkpoint), "--head", "2"], "expected a head from 0 to 0"),
        ([*export, str(checkpoint), "--batch", "0"], "at least 1"),
        ([*export, str(checkpoint), "--int8", str(folder / "nothing")], "found nothing there"),
    ]
    for arguments, expected in cases:
        capsys.readouterr()
        assert cli.main(arguments) == 2, arguments
        told = capsys.readouterr().err
        assert expected in told and told.count("\n") == 1, told


def test_a_network_that_counts_its_clips_is_not_exported_open(folder, monkeypatch, capsys):
    class Stubborn(ClipClassifier):
        def __init__(self, num_classes, *, clip_length=4):
            super().__init__()
            self.clip_length = clip_length
            self.head = torch.nn.Linear(3, num_classes)

        def forward(self, frames):
            return self.head(frames.float().mean(dim=(1, 3, 4)) / 255) * float(len(frames))

    monkeypatch.setitem(MODELS, "stubborn", Stubborn)
    path = save_small_classifier(folder / "stubborn.pt", model={"name": "stubborn"})
    arguments = ["export", "--checkpoint", str(path), "--out", str(folder / "stubborn.onnx")]
    assert cli.main(arguments) == 2
    said = capsys.readouterr().err
    assert "computes with the number of clips" in said and "give --batch 1" in said
    assert cli.main([*arguments, "--batch", "1"]) == 0


def test_options_of_yowo_are_refused(checkpoint):
    options = RuntimeOptions(temporal_every=2)
    with pytest.raises(stadet.UserError, match="expected a YOWO checkpoint, found a classifier"):
        session_maker(checkpoint, options)
