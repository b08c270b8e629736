"""A new video is read once: the detections file is that of a video whose index was made before."""

import shutil
from itertools import islice

import av
import numpy as np
import pytest

from stadet.datasets.footage import index
from stadet.datasets.footage.first_pass import FirstPass
from stadet.datasets.footage.video import open_video
from stadet.detect.detections.reader import read_detections
from stadet.tools.cli import main
from tests.datasets.numbered_videos import cut_by_stream_copy, write_numbered

COUNT = 60
SOUND = {
    "b_frames.mp4": dict(b_frames=3),
    "variable.mp4": dict(pts=np.cumsum(np.random.default_rng(0).integers(500, 9000, COUNT))),
    "motion_jpeg.avi": dict(codec="mjpeg", container="avi", pixels="yuvj420p"),
    "turned.mp4": dict(rotation=90),
    "broadcast.ts": dict(container="mpegts", b_frames=2),
    "matroska.mkv": dict(container="matroska"),
}


@pytest.fixture
def passes(tmp_path, monkeypatch):
    """The names of the videos that an index was made of by a pass of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    made, build = [], index._build

    def counted(path, digest):
        made.append(path.name)
        return build(path, digest)

    monkeypatch.setattr(index, "_build", counted)
    return made


def predict(run, out, *arguments):
    command = ["predict", "--for-evaluation", *map(str, arguments), "--out", str(out)]
    return main([*command, "--checkpoint", str(run / "best.pt")])


def damaged_late(path):
    """A video whose packets do not tell that frame 45 cannot be decoded."""
    write_numbered(path, count=COUNT, gop=12, b_frames=0)
    content = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        packet = next(islice(container.demux(video=0), 45, None))
        content[packet.pos : packet.pos + packet.size] = bytes(packet.size)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_video_is_decoded_once(trained, tmp_path, passes, name, capsys):
    path = write_numbered(tmp_path / name, **{"count": COUNT, **SOUND[name]})
    assert predict(trained, tmp_path / "new.jsonl", path) == 0
    assert passes == []
    told = capsys.readouterr().err
    shutil.rmtree(tmp_path / "cache")
    open_video(path)  # makes the index
    assert passes == [name]
    assert predict(trained, tmp_path / "known.jsonl", path) == 0
    assert (tmp_path / "new.jsonl").read_bytes() == (tmp_path / "known.jsonl").read_bytes()
    notes = [line for line in told.splitlines() if line.startswith(path.stem)]
    again = [line for line in capsys.readouterr().err.splitlines() if line.startswith(path.stem)]
    assert [note for note in notes if "frames/s" not in note] == [
        note for note in again if "frames/s" not in note
    ]


@pytest.mark.parametrize("form", [".jsonl", ".jsonl.gz", ".parquet"])
def test_where_packets_mislead_what_was_written_is_taken_back(trained, tmp_path, passes, form):
    sound = write_numbered(tmp_path / "a.mp4", count=20)
    videos = [sound, damaged_late(tmp_path / "b.mp4"), tmp_path / "c.mp4"]
    cut_by_stream_copy(write_numbered(tmp_path / "d.mp4", count=COUNT), videos[2], 5)
    assert predict(trained, tmp_path / f"new{form}", *videos) == 0
    assert passes == ["b.mp4", "c.mp4"]
    assert predict(trained, tmp_path / f"known{form}", *videos) == 0
    assert len(passes) == 2
    found, wanted = (
        read_detections(tmp_path / f"new{form}"),
        read_detections(tmp_path / f"known{form}"),
    )
    assert list(found.videos) == list(wanted.videos) == ["a", "b", "c"]
    for one, other in zip(found, wanted, strict=True):
        for field in ("frames", "boxes", "objectness", "scores", "processed"):
            np.testing.assert_array_equal(getattr(one, field), getattr(other, field))
        assert one.clock.fps == other.clock.fps
        np.testing.assert_array_equal(one.clock.times, other.clock.times)
    if form == ".jsonl":
        new, known = (tmp_path / f"{name}{form}" for name in ("new", "known"))
        assert new.read_bytes() == known.read_bytes()
    assert not found.videos["b"].clock.constant  # so the rows of the first pass were wrong


@pytest.mark.parametrize("damaged", [False, True])
def test_stopped_in_a_first_pass_and_continued(trained, tmp_path, passes, monkeypatch, damaged):
    path = tmp_path / "v.mp4"
    if damaged:
        damaged_late(path)
    else:
        write_numbered(path, count=COUNT, gop=12, b_frames=0)
    following = FirstPass._next

    def stopped(self, frames, builder, number):
        if number == 33:
            raise KeyboardInterrupt
        return following(self, frames, builder, number)

    with monkeypatch.context() as patched:
        patched.setattr(FirstPass, "_next", stopped)
        assert predict(trained, tmp_path / "new.jsonl", path) == 130
    (video,) = read_detections(tmp_path / "new.jsonl")
    assert video.processed[-1, 1] > 10 and video.clock.constant
    assert predict(trained, tmp_path / "new.jsonl", path, "--resume") == 0
    assert predict(trained, tmp_path / "known.jsonl", path) == 0
    assert passes == ["v.mp4"]
    found, wanted = (read_detections(tmp_path / f"{n}.jsonl") for n in ("new", "known"))
    for one, other in zip(found, wanted, strict=True):
        for field in ("frames", "boxes", "scores", "processed"):
            np.testing.assert_array_equal(getattr(one, field), getattr(other, field))
        np.testing.assert_array_equal(one.clock.times, other.clock.times)
    assert found.videos["v"].clock.constant != damaged


def test_an_error_is_that_of_the_index_and_leaves_what_it_left(trained, tmp_path, passes, capsys):
    parts = [
        write_numbered(tmp_path / f"{side}.ts", container="mpegts", count=40, size=(side, 96))
        for side in (64, 128)
    ]
    path = tmp_path / "both.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    assert predict(trained, tmp_path / "d.jsonl", path) == 2
    assert "expected one size, found 96x64" in capsys.readouterr().err
    assert not (tmp_path / "d.jsonl").exists()


def test_a_few_frames_of_a_new_video_know_all_of_it(trained, tmp_path, passes):
    path = damaged_late(tmp_path / "b.mp4")
    assert predict(trained, tmp_path / "d.jsonl", path, "--max-frames", 8) == 0
    assert passes == ["b.mp4"]
