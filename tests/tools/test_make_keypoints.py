from types import SimpleNamespace

import numpy as np
import pytest

from stadet.classify import keypoints
from stadet.classify.keypoints import part_slice
from stadet.datasets.footage.video import open_video
from stadet.datasets.labelled.keypoints import read_keypoint_set
from stadet.tools.cli import main
from stadet.tools.data import keypoints as make_keypoints
from tests.datasets.numbered_videos import write_numbered

COUNTS = {"hello": (3, 9), "thanks": (12, 12)}  # class: frames of its videos


class BrightnessHolistic:
    """Stands for MediaPipe: a right hand whose every value is the frame's mean."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        pass

    def process(self, frame):
        mean = float(frame.mean())
        hand = SimpleNamespace(landmark=[SimpleNamespace(x=mean, y=mean, z=mean)] * 21)
        return SimpleNamespace(
            pose_landmarks=None,
            face_landmarks=None,
            left_hand_landmarks=None,
            right_hand_landmarks=hand,
        )


def stand_in(monkeypatch):
    """Both modules that hold the function's name use the stand-in, whichever was imported first."""
    for module in (keypoints, make_keypoints):
        monkeypatch.setattr(module, "open_holistic", BrightnessHolistic)


@pytest.fixture
def videos(tmp_path):
    for name, counts in COUNTS.items():
        (tmp_path / "signs" / name).mkdir(parents=True)
        for number, count in enumerate(counts):
            path = tmp_path / "signs" / name / f"{number}.mp4"
            write_numbered(path, count=count, size=(48, 64))
    return tmp_path / "signs"


def test_videos_become_a_set_that_training_reads(videos, tmp_path, monkeypatch, capsys):
    stand_in(monkeypatch)
    out = tmp_path / "set"
    arguments = ["--data", str(videos), "--out", str(out), "--frames", "6", "--size", "24", "32"]
    assert main(["make-keypoints", *arguments, "--val", "0.5"]) == 0
    assert "right_hand 100%" in capsys.readouterr().out
    hand = part_slice("right_hand")
    for side in ("train", "val"):
        made = read_keypoint_set(out, side)
        assert made.names == ("hello", "thanks") and sorted(made.labels) == [0, 1]
        assert made.frames.shape == (2, 6, 24, 32, 3)
        means = made.frames.mean(axis=(2, 3, 4))
        assert np.allclose(made.keypoints[:, :, hand], means[:, :, None], atol=1.5)
        assert not made.keypoints[:, :, : hand.start].any()
        found = np.load(out / side / f"X_{side}_found.npy")
        assert found.shape == (2, 6, 4) and found[..., 3].all() and not found[..., :3].any()
    short = open_video(videos / "hello" / "0.mp4")
    sides = [read_keypoint_set(out, side) for side in ("train", "val")]
    clips = [clip for made in sides for clip in made.keypoints[:, :, hand.start]]
    expected = [frame.mean() for _, frame in short.frames() for _ in range(2)]  # 3 frames, 6 wanted
    assert any(np.allclose(clip, expected) for clip in clips)


def test_without_mediapipe_nothing_is_written(videos, tmp_path, monkeypatch, capsys):
    import sys

    monkeypatch.setitem(sys.modules, "mediapipe.python.solutions.holistic", None)
    out = tmp_path / "set"
    assert main(["make-keypoints", "--data", str(videos), "--out", str(out)]) == 2
    assert "MediaPipe is not installed" in capsys.readouterr().err and not out.exists()


def test_a_broken_video_is_named_before_anything_is_extracted(
    videos, tmp_path, monkeypatch, capsys
):
    stand_in(monkeypatch)
    (videos / "hello" / "2.mp4").write_bytes(b"no video")
    out = tmp_path / "set"
    arguments = ["make-keypoints", "--data", str(videos), "--out", str(out), "--val", "0.5"]
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert "1 of 5 videos" in said and "2.mp4" in said and not out.exists()
    assert main([*arguments, "--skip-bad"]) == 0
    assert sum(len(read_keypoint_set(out, side)) for side in ("train", "val")) == 4
