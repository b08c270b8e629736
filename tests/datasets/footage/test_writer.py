"""Written files: H.264 that browsers play, exact rates, right colours, whole or absent."""

from __future__ import annotations

import errno
from fractions import Fraction

import av
import numpy as np
import pytest

from stadet.datasets.footage import writer as video_writer
from stadet.datasets.footage.video import open_video
from stadet.datasets.footage.writer import VideoWriter
from stadet.engine.errors import UserError
from tests.datasets.numbered_videos import SIZE, number_of, numbered_frame


def write(path, count=20, fps=30, size=SIZE, **options):
    with VideoWriter(path, size, fps, **options) as writer:
        for number in range(count):
            writer.write(numbered_frame(number, size))
    return writer


def boxes_of_mp4(path):
    """The top-level boxes of an mp4, read by hand (ISO 14496-12, 4.2)."""
    content, place, kinds = path.read_bytes(), 0, []
    while place < len(content):
        kinds.append(content[place + 4 : place + 8].decode())
        place += int.from_bytes(content[place : place + 4], "big")
    return kinds


@pytest.mark.parametrize("fps", [25, 30000 / 1001, Fraction(24000, 1001), 12.5])
def test_written_frames_and_rate_come_back(tmp_path, fps):
    write(tmp_path / "a.mp4", fps=fps)
    video = open_video(tmp_path / "a.mp4")
    assert [number_of(frame) for _, frame in video.frames()] == list(range(20))
    assert video.rate == Fraction(fps).limit_denominator(1001) and video.constant_rate
    assert not video.notes


def test_browsers_play_it(tmp_path):
    write(tmp_path / "a.mp4")
    kinds = boxes_of_mp4(tmp_path / "a.mp4")
    assert kinds.index("moov") < kinds.index("mdat")
    with av.open(str(tmp_path / "a.mp4")) as container:
        context = container.streams.video[0].codec_context
        assert (context.name, context.pix_fmt) == ("h264", "yuv420p")
        assert context.colorspace == 1  # BT.709, said in the file


@pytest.mark.parametrize("colour", [(255, 0, 0), (0, 255, 0), (0, 0, 255), (30, 200, 120)])
def test_colours_come_back(tmp_path, colour):
    frame = np.full((64, 64, 3), colour, dtype=np.uint8)
    with VideoWriter(tmp_path / "a.mp4", (64, 64), 30) as writer:
        writer.write(frame)
    error = open_video(tmp_path / "a.mp4").frame(0).astype(int) - frame
    assert np.abs(error).max() <= 6


def test_variable_rate_keeps_the_times(tmp_path):
    times = np.cumsum(np.random.default_rng(0).uniform(0.01, 0.2, 20))
    with VideoWriter(tmp_path / "a.mp4", SIZE, 10, variable_rate=True) as writer:
        for number, time in enumerate(times):
            writer.write(numbered_frame(number), time)
    video = open_video(tmp_path / "a.mp4")
    np.testing.assert_allclose(video.timestamps, times - times[0], atol=2e-4)
    assert [number_of(frame) for _, frame in video.frames()] == list(range(20))


def test_odd_sizes_are_padded_and_said(tmp_path):
    writer = write(tmp_path / "a.mp4", size=(65, 161))
    assert "161x65 is written as 162x66" in writer.notes[0]
    video = open_video(tmp_path / "a.mp4")
    assert video.size == (66, 162)
    frame = video.frame(7)
    assert number_of(frame) == 7
    # the added row repeats the last one, up to compression
    assert np.abs(frame[65].astype(int) - frame[64]).mean() < 8


def test_an_error_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.mp4"
    path.write_bytes(b"old")
    with pytest.raises(RuntimeError), VideoWriter(path, SIZE, 30) as writer:
        writer.write(numbered_frame(0))
        raise RuntimeError
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_no_frames(tmp_path):
    with pytest.raises(UserError, match="expected frames to write, found none"):
        write(tmp_path / "a.mp4", count=0)
    assert not list(tmp_path.iterdir())


def test_full_disk(tmp_path, monkeypatch):
    class FullDisk:
        def __init__(self, *args, **kwargs):
            self._output = open_file(*args, **kwargs)

        def __enter__(self):
            return self

        def __exit__(self, *error):
            self._output.close()

        def add_stream(self, *args, **kwargs):
            return self._output.add_stream(*args, **kwargs)

        def mux(self, packets):
            raise OSError(errno.ENOSPC, "No space left on device")

    open_file = av.open
    monkeypatch.setattr(video_writer.av, "open", FullDisk)
    with pytest.raises(UserError, match=r"cannot write .*a\.mp4: the disk is full"):
        write(tmp_path / "a.mp4")
    assert not list(tmp_path.iterdir())


def test_wrong_use(tmp_path):
    with VideoWriter(tmp_path / "a.mp4", SIZE, 30) as writer:
        writer.write(numbered_frame(0))
        with pytest.raises(ValueError, match=r"expected a frame \(64, 160, 3\) uint8"):
            writer.write(np.zeros((64, 161, 3), np.uint8))
        with pytest.raises(ValueError, match="variable_rate=True"):
            writer.write(numbered_frame(0), time=1.0)
    with VideoWriter(tmp_path / "b.mp4", SIZE, 30, variable_rate=True) as writer:
        writer.write(numbered_frame(0), 0.5)
        with pytest.raises(ValueError, match="rising times"):
            writer.write(numbered_frame(0), 0.5)
    with pytest.raises(UserError, match=r"name it a\.mp4"):
        VideoWriter(tmp_path / "a.gif", SIZE, 30)
