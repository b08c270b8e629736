"""`stad pre-annotate`: detections, a checkpoint and hands to drafts for CVAT."""

import csv
import json
from types import SimpleNamespace

import numpy as np
import pytest

from stadet.datasets.dataset import load_dataset
from stadet.detect.detections.reader import DetectionsWriter
from stadet.detect.structures import Detections
from stadet.tools.cli import main
from stadet.tools.data import hands
from tests.datasets.numbered_videos import write_numbered


@pytest.fixture
def videos(tmp_path):
    folder = tmp_path / "videos"
    folder.mkdir()
    for name in ("monday", "tuesday"):
        write_numbered(folder / f"{name}.mp4", count=30, size=(96, 128))
    return folder


@pytest.fixture
def detections(tmp_path):
    path = tmp_path / "found.jsonl"
    with DetectionsWriter(path, ("wipe", "cut"), 0.05) as writer:
        for frame in range(30):
            boxes = np.array([[10.0 + frame, 20, 50 + frame, 70]])
            scores = np.array([[0.3 if 12 <= frame < 16 else 0.9, 0.0]])
            if 4 <= frame < 24:
                writer.write("monday", frame, Detections(boxes, np.array([0.9]), scores))
        writer.processed("monday", 0, 29)
    return path


def test_detections_become_a_draft_that_reads_as_a_data_set(videos, detections, tmp_path, capsys):
    out = tmp_path / "drafts"
    arguments = ["--detections", str(detections), "--out", str(out)]
    assert main(["pre-annotate", str(videos), *arguments]) == 0
    said = capsys.readouterr().out
    assert "1 videos, 1 tracks, 20 boxes from" in said and "4 boxes uncertain" in said
    dataset = load_dataset(out)
    video = dataset.annotations.videos["monday"]
    assert dataset.names == ("wipe", "cut")
    assert video.frames.tolist() == list(range(4, 24)) and video.looked_at.all()
    assert np.abs(video.boxes[:, 0] - (10 + video.frames)).max() <= 2
    with open(out / "uncertain.csv", newline="") as stream:
        (row,) = csv.DictReader(stream)
    assert row == {
        "video": "monday",
        "track": "0",
        "label": "wipe",
        "first": "12",
        "last": "15",
        "reason": "weak",
    }
    labels = json.loads((out / "labels.json").read_text())
    assert [label["name"] for label in labels] == ["wipe", "cut"]
    assert labels[0]["attributes"][0]["name"] == "uncertain"
    assert main(["pre-annotate", str(videos), *arguments]) == 2
    assert "expected a new or an empty folder" in capsys.readouterr().err


def test_a_checkpoint_is_run_over_the_videos(footage, trained, tmp_path, capsys):
    out = tmp_path / "drafts"
    arguments = ["--checkpoint", str(trained / "best.pt"), "--threshold", "0.05"]
    assert main(["pre-annotate", str(footage.video), *arguments, "--out", str(out)]) == 0
    assert "1 videos" in capsys.readouterr().out
    assert [path.stem for path in (out / "annotations").iterdir()] == [footage.video.stem]


class Hands:
    """Stands for MediaPipe: one hand at the same place on every second picture."""

    def __init__(self):
        self.count = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def process(self, frame):
        assert frame.shape == (96, 128, 3)
        self.count += 1
        if self.count % 2:
            return SimpleNamespace(multi_hand_landmarks=None, multi_handedness=None)
        places = [(0.25, 0.25), (0.5, 0.75), *[(0.3, 0.5)] * 19]
        points = [SimpleNamespace(x=x, y=y, z=0.0) for x, y in places]
        return SimpleNamespace(
            multi_hand_landmarks=[SimpleNamespace(landmark=points)],
            multi_handedness=[SimpleNamespace(classification=[SimpleNamespace(score=0.8)])],
        )


def test_hands_are_a_class_and_bridge_pictures_without(videos, tmp_path, monkeypatch):
    monkeypatch.setattr(hands, "open_hands", Hands)
    out = tmp_path / "hands"
    video = str(videos / "monday.mp4")
    assert main(["pre-annotate", video, "--hands", "--out", str(out)]) == 0
    dataset = load_dataset(out)
    assert dataset.names == ("hand",)
    video = dataset.annotations.videos["monday"]
    assert video.frames.tolist() == list(range(1, 30)) and (video.track_ids == 0).all()
    # x from 32 to 64 and y from 24 to 72 pixels, with 15 % of the extent around
    np.testing.assert_allclose(video.boxes[0], [27.2, 16.8, 68.8, 79.2], atol=0.01)


def test_without_mediapipe_one_line_says_what_to_do(videos, tmp_path, monkeypatch, capsys):
    import sys

    monkeypatch.setitem(sys.modules, "mediapipe.python.solutions.hands", None)
    out = tmp_path / "hands"
    assert main(["pre-annotate", str(videos), "--hands", "--out", str(out)]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "MediaPipe is not installed" in line and "pip install" in line and not out.exists()


def test_wrong_input_is_one_line(videos, detections, tmp_path, capsys):
    out = str(tmp_path / "out")
    other = tmp_path / "other"
    other.mkdir()
    write_numbered(other / "sunday.mp4", count=5, size=(48, 64))
    arguments = ["--detections", str(detections), "--out", out]
    assert main(["pre-annotate", str(other), *arguments]) == 2
    assert "expected detections of sunday, found none" in capsys.readouterr().err
    short = tmp_path / "short"
    short.mkdir()
    write_numbered(short / "monday.mp4", count=5, size=(48, 64))
    assert main(["pre-annotate", str(short), *arguments]) == 2
    assert "another cut" in capsys.readouterr().err
    assert main(["pre-annotate", str(videos), *arguments, "--tolerance", "-1"]) == 2
    assert "--tolerance: expected at least 0" in capsys.readouterr().err
