"""The classifier's route on tiny frame folders: train, resume, judge, classify, explain."""

import csv
import json

import cv2
import numpy as np
import pytest

from stadet.datasets.footage.catalog import find_video_paths
from stadet.datasets.footage.video import Video, open_video
from stadet.engine.checkpoint import load_checkpoint
from stadet.engine.errors import UserError
from stadet.tools import (
    classify,
    cross_validate,
    explain,
    grid_search,
    make_reversals,
    train_classifier,
)
from stadet.tools.classification.checkpoint import open_classifier
from stadet.tools.classification.grid import plan_grid
from stadet.tools.classification.video_answers import open_classifier as open_for_use
from stadet.tools.cli import run_verb
from tests.datasets.tiny_classes import write_classes, write_frames
from tests.tools.small_checkpoints import save_small_checkpoint

QUICK = (
    "model.name=convlstm",
    "model.options={hidden: 6, grid: 2, dropout: 0.0, activation: tanh}",
    "input.size=[16, 24]",
    "input.workers=0",
    "input.batch=4",
    "sampling.frames=4",
    "loop.epochs=6",
    "loop.optimiser.lr=0.03",
    "augment.blur=0",
    "augment.noise=0",
    "augment.colour=0",
)


def stad(verb, *arguments):
    return run_verb(verb, [str(argument) for argument in arguments])


def table(path):
    with open(path, newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_classes(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    run = tmp_path_factory.mktemp("runs") / "tiny"
    assert stad(train_classifier, *QUICK, f"data.root={data}", f"output={run}") == 0
    return run


def test_training_learns_and_reports(trained):
    numbers = json.loads((trained / "report" / "metrics.json").read_text())
    assert numbers["top1"] == 1.0 and numbers["videos"] == 8
    page = (trained / "report" / "report.html").read_text()
    assert "validation accuracy (top-1)" in page and "optimistic" in page
    content = load_checkpoint(trained / "best.pt")
    assert content["heads"] == [["bright", "dark"]]
    assert 0.4 < content["rejection"]["confidence"] <= 1
    assert set(content["split"]["sides"]) == {"train", "val"}
    file = open_classifier(trained / "best.pt")
    assert file.names == ("bright", "dark") and not file.rejects


def test_a_resumed_run_ends_with_the_same_weights(data, trained, tmp_path, monkeypatch):
    run = tmp_path / "run"
    arguments = [*QUICK, f"data.root={data}", f"output={run}"]
    stopped_after = 6
    from stadet.engine import loop
    from stadet.engine.stop import StopRequest

    class Stop(StopRequest):
        """Asks to stop once so many steps are done."""

        asked = 0

        def is_set(self):
            Stop.asked += 1
            return Stop.asked == stopped_after

    import contextlib

    monkeypatch.setattr(loop, "stop_requests", lambda _: contextlib.nullcontext(Stop()))
    assert stad(train_classifier, *arguments) == 143
    monkeypatch.undo()
    assert stad(train_classifier, *arguments) == 2  # the folder holds a run
    assert stad(train_classifier, "--resume", run) == 0
    whole, resumed = (load_checkpoint(p / "last.pt")["model"] for p in (trained, run))
    assert all((whole[name] == resumed[name]).all() for name in whole)


def test_bad_videos_stop_the_job_unless_skipped(tmp_path, capsys):
    root = write_classes(tmp_path / "data", videos=2)
    (root / "train" / "dark" / "broken.mp4").write_bytes(b"x")
    write_frames(root / "train" / "dark" / "short", [1, 2])
    run = [*QUICK, f"data.root={root}", f"output={tmp_path / 'run'}", "sampling.policy=one-clip"]
    assert stad(train_classifier, *run) == 2
    error = capsys.readouterr().err
    assert "1 of 10 videos cannot be used" in error and error.count("\n") == 1
    (root / "train" / "dark" / "broken.mp4").unlink()
    assert stad(train_classifier, *run) == 2
    assert "has 2 frames, a clip needs 4; choose shorter clips" in capsys.readouterr().err
    assert stad(train_classifier, *run, "loop.epochs=1", "--skip-bad") == 0
    assert "left out: train/dark/short" in capsys.readouterr().out
    assert "1 videos were left out" in (tmp_path / "run/report/report.html").read_text()


def test_two_data_sets_two_heads(data, tmp_path):
    other = write_classes(tmp_path / "other", videos=2)
    write_frames(other / "train" / "grey" / "g", [120] * 8)
    write_frames(other / "val" / "grey" / "g", [125] * 8)
    run = tmp_path / "run"
    settings = [f"data.root={data}", f"output={run}", f"second={{root: {other}}}", "loop.epochs=2"]
    settings += ["model.allow_overlap=true"]  # some of the small videos are alike
    assert stad(train_classifier, *QUICK, *settings) == 0
    assert open_classifier(run / "best.pt", head=1).names == ("bright", "dark", "grey")
    assert (run / "report-second-val" / "metrics.json").is_file()
    row = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    assert row["top1"] == pytest.approx((row["first_top1"] + row["second_top1"]) / 2)


def test_training_on_everything_leaves_the_last_weights(data, tmp_path):
    run = tmp_path / "run"
    settings = [f"data.root={data}", f"output={run}", "data.split=all", "loop.epochs=1"]
    assert stad(train_classifier, *QUICK, *settings) == 0
    best, last = (load_checkpoint(run / name) for name in ("best.pt", "last.pt"))
    assert all((best["model"][n] == last["model"][n]).all() for n in best["model"])
    assert set(best["split"]["sides"]) == {"train"} and "training" not in best


def test_a_binary_head_learns_videos_of_no_class(data, tmp_path, capsys):
    none = tmp_path / "none"
    rng = np.random.default_rng(0)
    for side, count in (("train", 6), ("val", 3)):
        for number in range(count):
            write_frames(none / side / f"n{number}", rng.permutation(np.arange(8) % 2 * 255))
    run = tmp_path / "run"
    settings = [f"data.root={data}", f"data.none={none}", f"output={run}", "loop.epochs=8"]
    assert stad(train_classifier, *QUICK, *settings) == 0
    file = open_classifier(run / "best.pt")
    assert file.rejects and file.rejection.known is not None
    numbers = json.loads((run / "report" / "metrics.json").read_text())
    assert numbers["videos"] == 8 and numbers["rejection"]["unknown_videos"] == 3
    events = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert "top1" in events[-1]
    stad(classify, none / "val", "--checkpoint", run / "best.pt")
    assert len(capsys.readouterr().out.splitlines()) >= 3


def test_classify_prints_class_and_probability(data, trained, tmp_path, capsys):
    out = tmp_path / "answers"
    checkpoint = ["--checkpoint", trained / "best.pt", "--out", out, "--overwrite"]
    assert stad(classify, data / "val", *checkpoint, "--threshold", 0, "--checklist") == 0
    printed = capsys.readouterr().out
    assert "2 of 2 steps done, none missing" in printed
    assert "accuracy by the folders' names: 8 of 8, top-1 1.0000" in printed
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["top1"] == 1.0 and (out / "report.html").is_file()
    rows = table(out / "predictions.csv")
    assert len(rows) == 8
    assert all(row["predicted"] in row["video"] for row in rows)
    steps = json.loads((out / "checklist.json").read_text())
    assert [step["done"] for step in steps] == [True, True] and len(steps[0]["seen"]) == 4
    only = data / "val" / "dark"
    assert stad(classify, only, *checkpoint, "--threshold", 0, "--checklist") == 0
    assert "1 of 2 steps done; missing: bright" in capsys.readouterr().out
    assert stad(classify, only, *checkpoint, "--threshold", 1) == 0
    assert "none of these (nearest: dark" in capsys.readouterr().out


def test_accuracy_by_folders_counts_and_says_what_was_trained_on(data, trained, tmp_path, capsys):
    mixed = tmp_path / "mixed"
    for label, source in (("dark", "bright"), ("bright", "bright")):
        (mixed / label).mkdir(parents=True)
        for number, video in enumerate(sorted((data / "val" / source).iterdir())):
            (mixed / label / f"{label}{number}").symlink_to(video)
    checkpoint = ["--checkpoint", trained / "best.pt", "--threshold", 0]
    assert stad(classify, mixed, *checkpoint) == 0
    captured = capsys.readouterr()
    assert "4 of 8, top-1 0.5000, top-5 1.0000, mean of classes 0.5000" in captured.out
    assert "was trained on" not in captured.err
    assert stad(classify, data / "train", *checkpoint) == 0
    captured = capsys.readouterr()
    assert "accuracy by the folders' names" in captured.out
    assert "was trained on" in captured.err
    other = tmp_path / "other" / "names"
    other.mkdir(parents=True)
    (other / "a").symlink_to(data / "val" / "dark" / "val0_dark0")
    assert stad(classify, tmp_path / "other", *checkpoint) == 0
    assert "accuracy" not in capsys.readouterr().out


def test_a_long_video_becomes_a_timeline(trained, tmp_path, capsys):
    film = write_frames(tmp_path / "film", [200] * 50 + [50] * 75)  # 2 s and 3 s at 25 fps
    out = tmp_path / "out"
    arguments = ["--checkpoint", trained / "best.pt", "--threshold", 0, "--out", out]
    assert stad(classify, film, "--sliding", 0.4, "--checklist", *arguments) == 0
    printed = capsys.readouterr().out
    assert "2 of 2 steps done" in printed
    rows = table(out / "timeline.csv")
    for row in rows:
        if float(row["stop_s"]) <= 2 or float(row["start_s"]) >= 2:
            assert row["answer"] == ("bright" if float(row["start_s"]) < 2 else "dark")
    assert float(rows[-1]["stop_s"]) == pytest.approx(5.0)
    assert (out / "film.png").is_file()
    seconds = [step["seconds"] for step in json.loads((out / "checklist.json").read_text())]
    assert seconds == pytest.approx([2.0, 3.0], abs=0.25)


def test_broken_videos_are_counted_by_classify_too(data, trained, tmp_path, capsys):
    (tmp_path / "a.mp4").write_bytes(b"x")
    good = data / "val" / "dark" / "val0_dark0"
    arguments = [tmp_path / "a.mp4", good, "--checkpoint", trained / "best.pt"]
    assert stad(classify, *arguments) == 2
    assert "1 of 2 videos cannot be used" in capsys.readouterr().err
    assert stad(classify, *arguments, "--skip-bad") == 0
    assert "left out: a:" in capsys.readouterr().err
    assert stad(classify, tmp_path / "a.mp4", "--checkpoint", good, "--skip-bad") == 2


@pytest.mark.parametrize("method", ["grad-cam", "activation"])
def test_explain_writes_pictures(data, trained, tmp_path, method, capsys):
    video = data / "val" / "dark" / "val0_dark0"
    arguments = ["--checkpoint", trained / "best.pt", "--out", tmp_path, "--method", method]
    layer = ["--layer", "recurrence.layers.0.input_gates"]
    code = stad(explain, video, *arguments, *layer, "--class", "dark")
    captured = capsys.readouterr()
    assert code == 0, captured.err
    strip = cv2.imread(str(tmp_path / f"val0_dark0-{method}.png"))
    assert strip.shape == (320, 4 * 480, 3)
    assert (tmp_path / f"val0_dark0-{method}.mp4").is_file()


def test_a_network_without_rectifiers_is_one_line(data, trained, tmp_path, capsys):
    video = data / "val" / "dark" / "val0_dark0"
    method = ["--method", "guided-backpropagation"]
    checkpoint = ["--checkpoint", trained / "best.pt", "--out", tmp_path]
    assert stad(explain, video, *checkpoint, *method) == 2
    assert "has no ReLU" in capsys.readouterr().err


def test_explain_names_the_nearest_class_and_lists_layers(data, trained, tmp_path, capsys):
    video = data / "val" / "dark" / "val0_dark0"
    arguments = [video, "--checkpoint", trained / "best.pt"]
    assert stad(explain, *arguments, "--out", tmp_path, "--class", "dirk") == 2
    assert "did you mean dark" in capsys.readouterr().err
    assert stad(explain, *arguments, "--layers") == 0
    assert "recurrence" in capsys.readouterr().out.splitlines()
    assert stad(explain, *arguments) == 2


def test_a_grid_is_a_resumable_table(data, tmp_path, capsys):
    out = tmp_path / "grid"
    arguments = [*QUICK, f"data.root={data}", "loop.epochs=1", "--out", out]
    axes = ["--batches", 4, "--sizes", "16x24", "--vary", "seed=0,1"]
    assert stad(grid_search, *arguments, *axes) == 0
    rows = table(out / "table.csv")
    assert [(r["input.batch"], r["input.size"], r["seed"]) for r in rows] == [
        ("4", "[16, 24]", s) for s in "01"
    ]
    assert all(0 <= float(row["top1"]) <= 1 for row in rows)
    (out / rows[1]["run"] / "result.json").unlink()
    (out / "table.csv").unlink()
    capsys.readouterr()
    assert stad(grid_search, *arguments, *axes) == 0
    assert capsys.readouterr().out.count("run 2 of 2") == 1
    again = table(out / "table.csv")
    assert [row["top1"] for row in again] == [row["top1"] for row in rows]
    assert stad(grid_search, "loss.label_smoothing=0.1", *arguments, *axes) == 2
    assert "another configuration (loss differ)" in capsys.readouterr().err


def test_the_default_grid_is_the_reports():
    axes = grid_search.grid_axes()
    assert axes == {
        "input.batch": ["8", "16", "32"],
        "loop.optimiser.lr": ["0.01", "0.001", "0.0001"],
    }
    assert len(plan_grid(axes)) == 9
    assert list(grid_search.grid_axes(sizes=["64x64"])) == ["input.size"]


def test_cross_validation_judges_every_video_once_a_seed(data, tmp_path, capsys):
    out = tmp_path / "cv"
    arguments = [*QUICK, f"data.root={data}", "data.split=stratified", "loop.epochs=1"]
    assert stad(cross_validate, *arguments, "--folds", 2, "--seeds", 0, 1, "--out", out) == 0
    rows = table(out / "table.csv")
    assert [(r["seed"], r["fold"]) for r in rows] == [(s, f) for s in "01" for f in "01"]
    assert sum(int(r["videos"]) for r in rows if r["seed"] == "0") == 16
    summary = json.loads((out / "summary.json").read_text())
    accuracies = {s: sum(int(r["right"]) for r in rows if r["seed"] == s) / 16 for s in "01"}
    assert summary["accuracy_by_seed"] == accuracies
    assert summary["accuracy"] == pytest.approx(np.mean(list(accuracies.values())))
    predictions = table(out / "report" / "predictions.csv")
    assert len(predictions) == 16
    assert "accuracy" in capsys.readouterr().out
    for seed in "01":
        held_out = [
            row["video"]
            for fold in "01"
            for row in table(out / f"seed{seed}_fold{fold}" / "held-out.csv")
        ]
        assert len(held_out) == len(set(held_out)) == 16


def test_weights_trained_on_videos_that_judge_are_refused(data, trained, tmp_path, capsys):
    settings = [
        *QUICK,
        f"data.root={data}",
        "data.split=stratified",
        f"output={tmp_path / 'run'}",
        f"model.weights={trained / 'best.pt'}",
        "loop.epochs=1",
    ]
    assert stad(train_classifier, *settings) == 2
    assert "was trained on" in capsys.readouterr().err
    assert stad(train_classifier, *settings, "model.allow_overlap=true") == 0


def test_reversals_by_the_verb(tmp_path, capsys):
    out = tmp_path / "reversals"
    assert stad(make_reversals, "--out", out, "--performances", 2, "--size", 32, 48) == 0
    assert len(list(out.glob("*/*/*"))) == 4


@pytest.mark.parametrize(
    ("kind", "layer"), [("yolo", "backbone.6"), ("yowo", "backbone_3d.layer4")]
)
def test_detectors_are_explained_too(kind, layer, data, tmp_path, capsys):
    checkpoint = save_small_checkpoint(tmp_path / "best.pt", kind)
    arguments = [data / "val" / "dark" / "val0_dark0", "--checkpoint", checkpoint]
    assert stad(explain, *arguments, "--layers") == 0
    assert layer in capsys.readouterr().out.splitlines()
    out = tmp_path / "seen"
    arguments += ["--out", out, "--frame", 5]
    assert stad(explain, *arguments) == 0
    assert "; layer " in capsys.readouterr().out
    code = stad(explain, *arguments, "--layer", layer, "--class", "put back", "--overwrite")
    captured = capsys.readouterr()
    assert code == 0, captured.err
    assert "put back" in captured.out
    assert len(list(out.iterdir())) == 2
    assert stad(explain, *arguments, "--frame", 99, "--overwrite") == 2


def test_keypoint_sets_train_the_fused_model(tmp_path, capsys):
    rng = np.random.default_rng(0)
    root = tmp_path / "set"
    for side, count in (("train", 8), ("val", 4)):
        (root / side).mkdir(parents=True)
        labels = np.arange(count) % 2
        np.save(root / side / f"X_{side}_frames.npy", rng.random((count, 6, 8, 12, 3)))
        points = rng.normal(size=(count, 6, 1662)) + 2 * labels[:, None, None]
        np.save(root / side / f"X_{side}_keypoints.npy", points.astype(np.float32))
        np.save(root / side / f"y_{side}.npy", labels)
    (root / "label_encoder.json").write_text(json.dumps({"hello": 0, "thanks": 1}))
    run = tmp_path / "run"
    settings = [
        *QUICK,
        f"data.root={root}",
        "data.format=keypoints",
        "model.name=fused_keypoints",
        "model.options={kernels: 2, hidden: 8}",
        "input.size=[8, 12]",
        f"output={run}",
    ]
    assert stad(train_classifier, *settings) == 2
    assert "set augment.flip=0" in capsys.readouterr().err
    assert stad(train_classifier, *settings, "augment.flip=0") == 0
    assert json.loads((run / "report" / "metrics.json").read_text())["videos"] == 4
    video = write_frames(tmp_path / "video", [1] * 8)
    assert stad(classify, video, "--checkpoint", run / "best.pt") == 2
    assert "also takes keypoints" in capsys.readouterr().err


def test_streams_of_flow_and_hog_reach_their_model(data, tmp_path):
    from stadet.engine.config import from_dict
    from stadet.tools.classification.config import ClassifierConfig
    from stadet.tools.classification.data import open_footage

    values = {"data": {"root": str(data)}, "input": {"size": [32, 48], "workers": 0}}
    config = from_dict(ClassifierConfig, values, "a test")
    footage = open_footage(config.data, config.input, config.sampling)
    loader = footage.evaluation_loader("val", config, ("frames", "flow", "hog"))
    batch = next(iter(loader))
    assert {name: tuple(x.shape[1:]) for name, x in batch.inputs.items()} == dict.fromkeys(
        ("frames", "flow", "hog"), (16, 3, 32, 48)
    )


def test_a_classifier_in_python_says_what_stad_classify_writes(data, trained, tmp_path):
    videos = data / "val" if (data / "val").is_dir() else data
    assert stad(classify, videos, "--checkpoint", trained / "best.pt", "--out", tmp_path) == 0
    written = {row["video"]: row for row in table(tmp_path / "predictions.csv")}
    classifier = open_for_use(trained / "best.pt", "cpu")
    answers = classifier(videos)
    assert answers.videos == tuple(sorted(written)) and classifier.names == ("bright", "dark")
    none = classifier.rejection.rejects(answers)
    for video, row, best, rejected in zip(
        answers.videos, answers.probabilities, answers.predicted_names, none, strict=True
    ):
        assert written[video]["predicted"] == ("none of these" if rejected else best)
        shown = [float(written[video][name]) for name in answers.names]
        np.testing.assert_allclose(row, shown, atol=1e-4)
    assert repr(answers).startswith(f"Answers({len(written)} videos: {answers.videos[0]}: ")


def test_an_array_is_classified_as_its_video(data, trained):
    classifier = open_for_use(trained / "best.pt", "cpu", threshold=0)
    path = next(iter(find_video_paths(data).values()))
    wanted = classifier(path)
    images = np.stack([image for _, image in open_video(path).frames()])
    for videos in (images, Video.from_array(images), [Video.from_array(images)], [path]):
        np.testing.assert_array_equal(classifier(videos).probabilities, wanted.probabilities)
    assert not classifier.rejection.rejects(wanted).any()
    both = [Video.from_array(images), Video.from_array(images[::-1], name="backwards")]
    assert classifier(both).videos == ("array", "backwards")
    watched = [
        classifier.watch(video, 0.2, 0.1).probabilities for video in (path, open_video(path))
    ]
    np.testing.assert_array_equal(*watched)
    with pytest.raises(UserError, match="expected paths and videos, found ndarray; of arrays make"):
        classifier([images])


@pytest.mark.parametrize(
    ("videos", "message"),
    [
        (np.zeros((9, 16, 24), np.uint8), r"expected an array \(T, H, W, 3\) of uint8"),
        ([], "expected videos to classify, found none"),
        ("absent", "expected a video or a folder"),
        ([Video.from_array(np.zeros((9, 8, 8, 3), np.uint8))] * 2, "two of one name"),
    ],
)
def test_what_cannot_be_classified_is_one_line(trained, videos, message):
    with pytest.raises(UserError, match=message):
        open_for_use(trained / "best.pt", "cpu")(videos)
