"""Every script of examples/ runs, on tiny footage and networks that have learnt nothing."""

import runpy
from fractions import Fraction

import cv2
import numpy as np
import pytest

import stadet
from tests.conftest import ROOT
from tests.datasets.numbered_videos import write_numbered
from tests.datasets.tiny_classes import write_classes
from tests.tools.small_checkpoints import save_small_checkpoint

FOLDER = ROOT / "examples"
COUNT = 12


def example(name):
    """The names that a script defines."""
    return runpy.run_path(str(FOLDER / f"{name}.py"))


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    return write_numbered(folder / "kitchen.mp4", count=COUNT, rate=Fraction(25))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return save_small_checkpoint(tmp_path_factory.mktemp("run") / "best.pt", "yolo", threshold=0.01)


def test_every_example_is_run_by_a_test():
    tested = {name.removeprefix("test_") for name in globals() if name.startswith("test_")}
    assert {path.stem for path in FOLDER.glob("*.py")} <= tested


def test_detect_video(video, checkpoint, tmp_path, capsys):
    example("detect_video")["main"](str(checkpoint), str(video), str(tmp_path / "boxed.mp4"))
    plain, boxed = stadet.open_video(video), stadet.open_video(tmp_path / "boxed.mp4")
    assert len(boxed) == COUNT and boxed.rate == plain.rate and boxed.size == plain.size
    detector = stadet.open_detector(checkpoint)
    wanted = sum(len(found) for found in detector(video, threshold=0.01))
    assert len(capsys.readouterr().out.splitlines()) == wanted > 0
    change = [np.abs(plain.frame(i).astype(int) - boxed.frame(i)).max() for i in range(COUNT)]
    assert max(change) > 100  # something was drawn


def test_camera_stream(video, tmp_path, capsys):
    checkpoint = save_small_checkpoint(tmp_path / "best.pt", "recurrent-yolo", threshold=0.01)
    capture = cv2.VideoCapture(str(video))
    frames = ((index / 25, capture.read()[1]) for index in range(COUNT))
    count = example("camera_stream")["watch"](str(checkpoint), frames, threshold=0.01)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == count > 0
    assert all(line.startswith(("pick up: frames", "put back: frames")) for line in lines)


def test_train_on_generated_footage(tmp_path, capsys):
    tiny = ("data.size=[32, 64]", "data.workers=0", "loop.max_steps=2", "loop.validate_every=2")
    result = example("train_on_generated_footage")["main"](str(tmp_path), 0.3, *tiny)
    assert (tmp_path / "run" / "best.pt").is_file() and result.report.is_file()
    assert "frame-mAP@0.5 on the validation side: " in capsys.readouterr().out


def test_evaluate_arrays(capsys):
    result = example("evaluate_arrays")["main"]()
    assert 0.3 < result.mean_at(0.75) < result.mean_at(0.5) <= 1
    assert len(capsys.readouterr().out.splitlines()) == 6


def test_tubes_and_events(video, checkpoint, capsys):
    events = example("tubes_and_events")["main"](str(checkpoint), str(video), 0.001)
    assert len(capsys.readouterr().out.splitlines()) == len(events) > 0
    assert all(0 <= event.start < event.stop <= COUNT / 25 + 1e-9 for event in events)


def test_with_supervision(video, checkpoint, capsys):
    pytest.importorskip("supervision")
    pytest.importorskip("pandas")
    table = example("with_supervision")["main"](str(checkpoint), str(video))
    middle = (table["x1"] + table["x2"]) / 2
    assert len(table) and (middle <= 81).all() and (np.diff(table["frame"]) >= 0).all()


def test_classify_clips(tmp_path, capsys):
    data = write_classes(tmp_path / "data")
    config = stadet.load_config(
        stadet.ClassifierConfig,
        None,
        [
            "model.name=convlstm",
            "model.options={hidden: 6, grid: 2, dropout: 0.0, activation: tanh}",
            *("input.size=[16, 24]", "input.workers=0", "sampling.frames=4", "loop.epochs=1"),
            *(f"data.root={data}", f"output={tmp_path / 'run'}"),
        ],
    )
    run = stadet.train_classifier(config)
    answers = example("classify_clips")["main"](str(run.best), str(data / "val"))
    told = capsys.readouterr().out
    assert len(answers) == 8 and all(f"{video}: " in told for video in answers.videos)
    assert "Answers(1 video: noise: " in told and "  0.00 -   " in told
