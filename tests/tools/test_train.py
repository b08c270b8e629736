import json
import re
import shutil
import signal
import time

import pytest
import torch
import yaml

from stadet.datasets.splits.split import Split
from stadet.engine.checkpoint import load_checkpoint, save_checkpoint
from stadet.engine.config import load_config
from stadet.engine.folder_lock import folder_lock
from stadet.engine.runlog import read_events
from stadet.tools.cli import main
from stadet.tools.inference.detectors import open_detector
from stadet.tools.training.config import TrainConfig

LONG = ("loop.max_steps=24", "loop.ema_decay=0.9", "loop.save_minutes=0")


def errors(capsys) -> str:
    """What was said on stderr: one line."""
    text = capsys.readouterr().err
    assert text.count("\n") == 1, text
    return text


def test_a_run_leaves_what_later_verbs_need(trained):
    names = {path.name for path in trained.iterdir()}
    assert names >= {
        "anchors.yaml",
        "best.pt",
        "config.yaml",
        "environment.json",
        "last.pt",
        "metrics.jsonl",
        "report",
    }
    best = load_checkpoint(trained / "best.pt")
    figures = json.loads((trained / "report" / "metrics.json").read_text())
    assert best["threshold"] == figures["threshold"]
    assert "training" not in best and "training" in load_checkpoint(trained / "last.pt")
    detector = open_detector(trained / "best.pt")
    assert detector.threshold == best["threshold"]
    assert Split.from_record(detector.split).digest == detector.split["digest"]
    assert not detector.model.training
    steps = [event["step"] for event in read_events(trained / "metrics.jsonl", "train")]
    assert steps == [1, 2, 3]


def test_validation_is_the_figure_of_the_predicted_file(trained):
    (logged,) = read_events(trained / "metrics.jsonl", "validation")
    figures = json.loads((trained / "report" / "metrics.json").read_text())
    assert logged["frame_map_50"] > 0
    assert logged["frame_map_50"] == pytest.approx(figures["frame_map_50"], rel=1e-6)


def test_printed_configurations_are_configurations(footage, tmp_path, capsys):
    settings = footage.settings(tmp_path / "run", "yolo.anchors=yolov3-coco", "seed=3")
    assert main(["train", *settings, "--print-config"]) == 0
    printed = capsys.readouterr().out
    (tmp_path / "printed.yaml").write_text(printed)
    assert load_config(TrainConfig, tmp_path / "printed.yaml") == load_config(
        TrainConfig, None, settings
    )
    assert main(["train", str(tmp_path / "printed.yaml"), "--print-config"]) == 0
    assert capsys.readouterr().out == printed
    assert not (tmp_path / "run").exists()


def test_an_existing_run_is_not_overwritten(footage, trained, capsys):
    before = (trained / "last.pt").stat()
    assert footage.train(trained) == 2
    assert "holds a run; continue it with --resume" in errors(capsys)
    assert (trained / "last.pt").stat().st_mtime_ns == before.st_mtime_ns


def test_a_finished_run_can_be_moved_and_resuming_it_changes_no_weight(trained, tmp_path):
    folder = shutil.copytree(trained, tmp_path / "run")
    before = (trained / "last.pt").stat().st_mtime_ns
    assert main(["train", "--resume", str(folder)]) == 0
    expect_equal(load_checkpoint(folder / "best.pt"), load_checkpoint(trained / "best.pt"))
    assert read_events(folder / "metrics.jsonl") == read_events(trained / "metrics.jsonl")
    assert (trained / "last.pt").stat().st_mtime_ns == before


def expect_equal(found, wanted):
    assert found["progress"] == wanted["progress"]
    assert found["model"].keys() == wanted["model"].keys()
    for name, tensor in wanted["model"].items():
        assert torch.equal(found["model"][name], tensor), name


@pytest.mark.parametrize(
    "stop",
    [signal.SIGINT, pytest.param(signal.SIGKILL, marks=pytest.mark.slow)],
)
def test_a_stopped_run_goes_on_exactly(footage, tmp_path, start_stad, stop, capsys):
    assert footage.train(tmp_path / "whole", *LONG) == 0
    folder = tmp_path / "cut"
    process = start_stad("train", *footage.settings(folder, *LONG))
    while not ((folder / "last.pt").exists() and len(steps_of(folder)) > 2):
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.send_signal(stop)
    out, err = process.communicate(timeout=60)
    assert process.returncode == {signal.SIGINT: 130, signal.SIGKILL: -9}[stop], err
    assert len(steps_of(folder)) < 24
    assert not err
    if stop == signal.SIGINT:
        assert f"continue with: stad train --resume {folder}" in out
        assert load_checkpoint(folder / "last.pt")["progress"]["steps"] == len(steps_of(folder))
    capsys.readouterr()
    assert main(["train", "--resume", str(folder)]) == 0
    for name in ("last.pt", "best.pt"):
        expect_equal(load_checkpoint(folder / name), load_checkpoint(tmp_path / "whole" / name))
    assert steps_of(folder) == list(range(1, 25))


def steps_of(folder):
    return [event["step"] for event in read_events(folder / "metrics.jsonl", "train")]


def test_nothing_to_resume(footage, tmp_path, capsys):
    assert main(["train", "--resume", str(tmp_path)]) == 2
    assert "expected last.pt to resume from, found none" in errors(capsys)
    assert main(["train", "--resume", str(tmp_path), "seed=1"]) == 2
    assert "expected last.pt to resume from" in errors(capsys)
    assert main(["train", "other.yaml", "--resume", str(tmp_path)]) == 2
    assert "give no other file" in errors(capsys)


def test_settings_that_may_not_change_are_named(trained, tmp_path, capsys):
    folder = shutil.copytree(trained, tmp_path / "run")
    assert main(["train", "--resume", str(folder), "data.workers=1", "loop.log_every=2"]) == 0
    capsys.readouterr()
    assert main(["train", "--resume", str(folder), "seed=1"]) == 2
    assert "seed was 0, is 1" in errors(capsys)
    text = (folder / "config.yaml").read_text()
    assert "lr: 0.001" in text
    (folder / "config.yaml").write_text(text.replace("lr: 0.001", "lr: 0.002"))
    assert main(["train", "--resume", str(folder)]) == 2
    assert "loop.optimiser.lr was 0.001, is 0.002; set them back" in errors(capsys)


@pytest.mark.parametrize("change", ["split", "annotations", "video", "gone", "old"])
def test_data_that_changed_since_the_run_began_is_named(footage, tmp_path, capsys, change):
    data = shutil.copytree(footage.dataset.parent, tmp_path / "data")
    setting = f"data.dataset={data / 'dataset.yaml'}"
    assert footage.train(tmp_path / "run", setting) == 0
    content = yaml.safe_load((data / "dataset.yaml").read_text())
    if change in ("split", "old"):
        content["split"]["seed"] = 77
        (data / "dataset.yaml").write_text(yaml.safe_dump(content))
        message = "the data changed since the run began: .*the split"
        if change == "old":  # a checkpoint of an earlier version knows its split alone
            last = load_checkpoint(tmp_path / "run" / "last.pt")
            last.pop("data")
            save_checkpoint(tmp_path / "run" / "last.pt", last)
    elif change == "annotations":
        (path,) = (data / "annotations").glob("counter00_front*")
        wider = lambda found: f'xtl="{int(found[1]) - 1}'  # noqa: E731
        path.write_text(re.sub(r'xtl="([1-9]\d*)', wider, path.read_text(), count=1))
        message = "the annotations of 'counter00_front'"
    elif change == "video":
        path = data / "videos" / "counter00_front.mp4"
        path.write_bytes(path.read_bytes() + b"x")
        message = "the content of 'counter00_front'"
    else:
        (data / "videos" / "counter01_side.mp4").unlink()
        for path in (data / "annotations").glob("counter01_side*"):
            path.unlink()
        message = "'counter01_side' gone"
        content["views"] = {k: v for k, v in content["views"].items() if "counter01_side" not in v}
        content["looked_at"].pop("counter01_side")
        (data / "dataset.yaml").write_text(yaml.safe_dump(content))
    capsys.readouterr()
    assert main(["train", "--resume", str(tmp_path / "run")]) == 2
    assert re.search(message, errors(capsys))


def test_a_copy_of_a_video_on_the_other_side_is_found_before_training(footage, tmp_path, capsys):
    data = shutil.copytree(footage.dataset.parent, tmp_path / "data")
    for folder in ("videos", "annotations"):
        (path,) = (data / folder).glob("counter00_front*")
        shutil.copy(path, path.with_name(path.name.replace("counter00_front", "copy")))
    content = yaml.safe_load((data / "dataset.yaml").read_text())
    content["split"] = {
        "method": "lists",
        "lists": {"train": ["counter00_front", "counter01_front"], "val": ["copy"]},
    }
    content.pop("views", None)
    (data / "dataset.yaml").write_text(yaml.safe_dump(content))
    run = tmp_path / "run"
    assert footage.train(run, f"data.dataset={data / 'dataset.yaml'}") == 2
    assert "videos 'counter00_front' and 'copy' are the same footage" in errors(capsys)
    assert not run.exists()


def test_a_second_training_in_a_run_folder_is_refused(footage, tmp_path, start_stad, capsys):
    folder = tmp_path / "run"
    more = ("loop.max_steps=100000", "loop.epochs=100000", "loop.validate_every=100000")
    process = start_stad("train", *footage.settings(folder, *LONG, *more))
    while not (folder / "last.pt").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    assert main(["train", "--resume", str(folder)]) == 2
    assert f"process {process.pid} (since" in errors(capsys)
    process.kill()
    process.wait()
    with folder_lock(folder):  # free again
        pass


def test_what_a_killed_run_left_without_a_checkpoint_is_forgotten(footage, tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"event": "train", "step": 9}\n')
    assert footage.train(tmp_path, "loop.max_steps=1") == 0
    assert steps_of(tmp_path) == [1]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("loop.epoch=3", "unknown key 'loop.epoch' (did you mean loop.epochs"),
        ("augment.flips=1", "unknown key 'augment.flips' (did you mean augment.flip"),
        ("augment.flip=2", "augment.flip: expected a share from 0 to 1, found 2.0"),
        ("augment.zoom=[2, 1]", "augment.zoom: expected 0 < least <= most"),
        ("data.batch=0", "data.batch: expected at least 1, found 0"),
        ("data.workers=-1", "data.workers: expected at least 0, found -1"),
        ("data.size=[0, 96]", "data.size: expected at least 1"),
        ("data.size=[50, 96]", "divisible by 32, found (50, 96); use (64, 96)"),
        ("data.resize=crop", "data.resize"),
        ("data.dataset=no.yaml", "no.yaml: expected YAML, found none"),
        ("yolo.width=0", "yolo.width: expected more than 0, found 0"),
        ("yolo.strides=[]", "yolo.strides: expected at least one level"),
        ("yolo.anchors=coco", "did you mean yolov3-coco"),
        ("yolo.freeze=[backbones]", "no part 'backbones' (did you mean backbone?)"),
        ("yolo.weights=no.pt", "weights no.pt: no such file"),
        ("loss.match_iou=3", "loss.match_iou: expected at least 0 and at most 1, found 3.0"),
        ("loop.epochs=0", "loop.epochs: expected at least 1, found 0"),
        ("loop.metric=map", "loop.metric: expected one of frame_map_50"),
        ("loop.optimiser.lr=-1", "loop.optimiser.lr: expected at least 0, found -1.0"),
        ("loop.schedule.warmup=2", "loop.schedule.warmup: expected at least 0 and at most 1"),
        ("inference.iou_threshold=-1", "inference.iou_threshold: expected at least 0"),
        ("recurrent.sampler.lanes=0", "sampler: expected lanes, window and stride >= 1"),
        ("recurrent.sequences.pad=-1", "sequences: expected pad"),
        ("recurrent.memory.hidden=0", "memory.hidden: expected channels"),
        ("yowo.steps=[]", "yowo.steps: expected at least one"),
        ("seed=-1", "seed: expected at least 0"),
        ("model=yollo", "model"),
    ],
)
def test_a_wrong_value_is_one_line_and_starts_no_run(footage, tmp_path, capsys, setting, message):
    assert footage.train(tmp_path / "run", setting) == 2
    assert message in errors(capsys)
    assert not list(tmp_path.glob("run/*.pt"))


@pytest.mark.parametrize(
    ("model", "setting", "message"),
    [
        ("yowo", "data.size=[64, 100]", "divisible by 32, found (64, 100); use (64, 96)"),
        ("yowo", "yowo.backbone=resnet19", "did you mean resnet18"),
        ("yowo", "yowo.backbone=shufflenet_2x", "clips of 16, 32, 48, .. frames, found 8"),
        ("recurrent-yolo", "loop.compile=true", "loop.compile: expected false for a detector with"),
    ],
)
def test_a_model_that_cannot_be_is_told_before_the_data_is_read(
    footage, tmp_path, capsys, model, setting, message
):
    absent = f"data.dataset={tmp_path / 'absent.yaml'}"
    assert footage.train(tmp_path / "run", f"model={model}", setting, absent) == 2
    assert message in errors(capsys) and not (tmp_path / "run").exists()


@pytest.mark.parametrize("model", ["yowo", "recurrent-yolo"])
def test_no_clip_runs_backwards_where_nobody_says_what_that_makes_it(
    footage, tmp_path, capsys, model
):
    content = yaml.safe_load(footage.dataset.read_text())
    assert content.pop("reverses")
    path = tmp_path / "dataset.yaml"
    path.write_text(yaml.safe_dump({**content, "path": str(footage.dataset.parent)}))
    settings = [f"model={model}", "recurrent.sampler.reverse=0.5", "loop.max_steps=1"]
    assert footage.train(tmp_path / "run", *settings, f"data.dataset={path}") == 0
    assert "no clip runs backwards, since" in capsys.readouterr().out
    assert footage.train(tmp_path / "other", *settings) == 0
    assert "no clip runs" not in capsys.readouterr().out


def changed(footage, tmp_path, **split):
    """The data set with another split, as a file of its own."""
    content = yaml.safe_load(footage.dataset.read_text())
    content.update(path=str(footage.dataset.parent), split={"method": "blocks", **split})
    path = tmp_path / "dataset.yaml"
    path.write_text(yaml.safe_dump(content))
    return f"data.dataset={path}"


def test_a_split_without_validation(footage, tmp_path, capsys):
    assert footage.train(tmp_path / "run", changed(footage, tmp_path, val=0.0)) == 2
    assert "expected looked-at frames on side 'val', found none" in errors(capsys)


def test_footage_without_boxes(footage, tmp_path, capsys):
    shutil.copytree(footage.dataset.parent, tmp_path / "empty")
    for path in (tmp_path / "empty" / "annotations").iterdir():
        head, _, rest = path.read_text().partition("<track")
        path.write_text(head + "</annotations>" * bool(rest))
    setting = f"data.dataset={tmp_path / 'empty' / 'dataset.yaml'}"
    assert footage.train(tmp_path / "run", setting) == 2
    assert "expected boxes on side 'train', found none on its" in errors(capsys)


def test_weights_that_have_seen_the_validation_side(footage, trained, tmp_path, capsys):
    data = changed(footage, tmp_path, block_seconds=4, val=0.2, seed=5)
    weights = f"yolo.weights={trained / 'best.pt'}"
    assert footage.train(tmp_path / "run", data, weights) == 2
    assert "of this split's val side" in errors(capsys)
    assert footage.train(tmp_path / "run", data, weights, "allow_overlap=true") == 0
    assert "starting weights: best.pt" in capsys.readouterr().out


def test_starting_weights_of_the_same_split_are_used(footage, trained, tmp_path):
    more = ("loop.max_steps=1", "loop.optimiser.lr=0", f"yolo.weights={trained / 'best.pt'}")
    assert footage.train(tmp_path / "run", *more) == 0
    found, wanted = (load_checkpoint(run / "best.pt") for run in (tmp_path / "run", trained))
    for name, tensor in wanted["model"].items():
        if "running" not in name and "num_batches" not in name:
            assert torch.equal(found["model"][name], tensor), name


def test_a_malicious_checkpoint_is_refused(footage, tmp_path, capsys):
    class Malicious:
        def __reduce__(self):
            return print, ("code ran",)

    torch.save({"schema": "stad-checkpoint/1", "model": Malicious()}, tmp_path / "bad.pt")
    assert footage.train(tmp_path / "run", f"yolo.weights={tmp_path / 'bad.pt'}") == 2
    said = capsys.readouterr()
    assert "code ran" not in said.out
    assert "refused, it holds more than tensors and plain data" in said.err


def test_a_last_checkpoint_cut_short_is_refused(trained, tmp_path, capsys):
    folder = shutil.copytree(trained, tmp_path / "run")
    content = (folder / "last.pt").read_bytes()
    (folder / "last.pt").write_bytes(content[: len(content) // 2])
    assert main(["train", "--resume", str(folder)]) == 2
    assert "not a whole checkpoint file" in errors(capsys)


def test_a_last_checkpoint_of_another_model(trained, tmp_path, capsys):
    folder = shutil.copytree(trained, tmp_path / "run")
    content = load_checkpoint(folder / "last.pt")
    content["training"]["model"] = {"w": torch.zeros(1)}
    save_checkpoint(folder / "last.pt", content)
    assert main(["train", "--resume", str(folder)]) == 2
    assert "written by another model" in errors(capsys)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("trouble", "message"),
    [
        ("killed", "a loading process was killed"),
        ("cache", "the cache was changed under a running"),
    ],
)
def test_trouble_in_a_loading_process_ends_the_run_at_once(
    footage, tmp_path, start_stad, trouble, message
):
    psutil = pytest.importorskip("psutil")
    settings = [*LONG, "loop.max_steps=1000", "loop.epochs=100", "loop.validate_every=100"]
    settings += ["data.workers=1", f"data.cache={tmp_path / 'cache'}", "data.batch=2"]
    process = start_stad("train", *footage.settings(tmp_path / "run", *settings))
    while not len(steps_of(tmp_path / "run")) > 2:
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    if trouble == "killed":
        psutil.Process(process.pid).children()[0].kill()
    else:
        for path in (tmp_path / "cache").glob("*.raw"):
            path.unlink()
    started = time.monotonic()
    _, err = process.communicate(timeout=60)
    assert time.monotonic() - started < 15
    assert process.returncode == 2
    assert message in err and err.count("\n") == 1
    assert load_checkpoint(tmp_path / "run" / "last.pt")["progress"]["steps"] > 0
