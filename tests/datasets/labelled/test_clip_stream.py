"""Clips in one pass equal clips read one by one, and little is held at a time."""

import numpy as np
import pytest

from stadet.datasets.footage.video import open_video
from stadet.datasets.labelled.clip_stream import stream_clips
from stadet.detect.view import View
from tests.datasets.tiny_classes import write_frames


@pytest.fixture
def video(tmp_path):
    return open_video(write_frames(tmp_path / "v", range(0, 200, 4), size=(8, 12)))


def test_streamed_clips_equal_those_read_one_by_one(video):
    view = View.resize(video.size, (8, 12))
    rng = np.random.default_rng(0)
    clips = [rng.integers(0, len(video), size=4) for _ in range(7)] + [np.array([0, 0, 1, 1])]
    found = dict(stream_clips(video, clips, view))
    assert sorted(found) == list(range(8))
    for number, frames in found.items():
        expected = np.stack([video.frame(int(i)) for i in clips[number]])
        np.testing.assert_array_equal(frames, expected)
    assert list(stream_clips(video, [], view)) == []


def test_frames_are_let_go_when_no_later_clip_needs_them(video, monkeypatch):
    view = View.resize(video.size, (8, 12))
    clips = [np.arange(start, start + 8) for start in range(0, 40, 4)]
    stream = stream_clips(video, clips, view)
    most = 0
    for _ in stream:
        most = max(most, len(stream.gi_frame.f_locals["held"]))
    assert most <= 8
