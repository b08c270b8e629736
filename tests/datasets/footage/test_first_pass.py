"""A first pass gives the frames and the index of two passes, or none of both."""

import shutil
import struct

import av
import numpy as np
import pytest

from stadet.datasets.footage.first_pass import PacketsMislead, open_first_pass
from stadet.datasets.footage.index import kept_index, load_or_build_index
from stadet.datasets.footage.video import open_video
from stadet.engine.errors import UserError
from tests.datasets.footage.test_video import AWKWARD
from tests.datasets.numbered_videos import cut_by_stream_copy, number_of, write_numbered
from tests.fuzz.footage import small_videos

COUNT = 60
KINDS = {
    **AWKWARD,
    "motion_jpeg.avi": dict(codec="mjpeg", container="avi", pixels="yuvj420p"),
    "turned.mp4": dict(rotation=90),
    "one_frame.mp4": dict(count=1),
}
TWO_PASSES = {"raw.h264", "h264.avi"}  # packets without times, and with times out of order


def first_pass(path, index_dir):
    """Frames and index by a first pass; None where it declines or breaks off."""
    video = open_first_pass(path, index_dir=index_dir)
    if video is None:
        return None
    try:
        frames = [frame for _, frame in video.frames()]
    except PacketsMislead:
        assert not list(index_dir.glob("*.npz"))  # nothing that is wrong is kept
        return None
    (place,) = index_dir.glob("*.npz")
    return video, frames, kept_index(place.stem, index_dir)


def assert_same(path, tmp_path, *, expect_one_pass):
    found = first_pass(path, tmp_path / "first")
    assert (found is not None) == expect_one_pass
    if found is None:
        return
    video, frames, index = found
    wanted = load_or_build_index(path, tmp_path / "second")
    for field in ("digest", "size", "rate", "time_base", "seekable", "notes"):
        assert getattr(index, field) == getattr(wanted, field), field
    for field in ("pts", "key_frames", "checksums", "clean"):
        np.testing.assert_array_equal(getattr(index, field), getattr(wanted, field), field)
    second = open_video(path, index_dir=tmp_path / "second")
    assert (len(video), video.size, video.rate) == (len(second), second.size, second.rate)
    assert video.constant_rate == second.constant_rate and video.notes == second.notes
    np.testing.assert_array_equal(video.timestamps, second.timestamps)
    for mine, (_, theirs) in zip(frames, second.frames(), strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("name", KINDS)
def test_one_pass_gives_what_two_give(tmp_path, name):
    path = write_numbered(tmp_path / name, **{"count": COUNT, **KINDS[name]})
    assert_same(path, tmp_path, expect_one_pass=name not in TWO_PASSES)


@pytest.mark.parametrize("b_frames", [0, 2])
def test_an_edit_list_hides_frames(tmp_path, b_frames):
    path = write_numbered(tmp_path / "a.mp4", count=COUNT, b_frames=b_frames, gop=30)
    content = bytearray(path.read_bytes())
    place = content.index(b"elst") + 4  # version, count, duration, first time, rate
    (begin,) = struct.unpack_from(">i", content, place + 12)
    with av.open(str(path)) as container:
        tick = round(1 / (30 * container.streams.video[0].time_base))
    struct.pack_into(">i", content, place + 12, begin + 10 * tick)
    path.write_bytes(content)
    video, frames, _ = first_pass(path, tmp_path / "first")
    assert [number_of(frame) for frame in frames] == list(range(10, COUNT))
    assert len(video) == COUNT - 10 and "declares 60 frames, 50 can" in video.notes[0]
    shutil.rmtree(tmp_path / "first")
    assert_same(path, tmp_path, expect_one_pass=True)


@pytest.mark.parametrize("first_packet", [5, 17])
def test_a_stream_cut_in_the_middle_of_a_group_takes_two(tmp_path, first_packet):
    source = write_numbered(tmp_path / "a.mp4", count=COUNT)
    path = cut_by_stream_copy(source, tmp_path / "cut.mp4", first_packet)
    assert_same(path, tmp_path, expect_one_pass=False)


@pytest.mark.parametrize("name", ["a.ts", "a.mkv", "a.mp4"])
def test_a_truncated_file_takes_two_or_is_the_same(tmp_path, name):
    container = {"ts": "mpegts", "mkv": "matroska", "mp4": "mp4"}[name.split(".")[1]]
    options = {"movflags": "faststart"} if container == "mp4" else {}
    path = write_numbered(
        tmp_path / name, container=container, count=COUNT, container_options=options
    )
    content = path.read_bytes()
    for share in (0.5, 0.7, 0.8, 0.9, 0.97):
        path.write_bytes(content[: int(len(content) * share)])
        shutil.rmtree(tmp_path / "first", ignore_errors=True)
        found = first_pass(path, tmp_path / "first") is not None
        shutil.rmtree(tmp_path / "first", ignore_errors=True)
        assert_same(path, tmp_path, expect_one_pass=found)


@pytest.mark.parametrize("name", sorted(small_videos()))
def test_damaged_files_take_two_or_are_the_same(tmp_path, name):
    """Zeroes anywhere in the file."""
    content = small_videos()[name]
    rng = np.random.default_rng(0)
    path, index_dir = tmp_path / name, tmp_path / "first"
    for _ in range(12):
        changed = bytearray(content)
        start = int(rng.integers(0, len(content) - 64))
        changed[start : start + 64] = bytes(64)
        path.write_bytes(changed)
        shutil.rmtree(index_dir, ignore_errors=True)
        found = first_pass(path, index_dir)
        if found is None:
            continue
        wanted = load_or_build_index(path, tmp_path / "second")
        assert found[2].notes == found[0].notes == wanted.notes
        for field in ("pts", "key_frames", "checksums", "clean"):
            np.testing.assert_array_equal(getattr(found[2], field), getattr(wanted, field))


def test_another_size_in_the_middle_is_left_to_the_index(tmp_path):
    parts = [
        write_numbered(tmp_path / f"{side}.ts", container="mpegts", count=20, size=(side, 96))
        for side in (64, 128)
    ]
    path = tmp_path / "both.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    assert first_pass(path, tmp_path / "first") is None
    with pytest.raises(UserError):
        open_video(path, index_dir=tmp_path)


def test_what_is_no_new_video_is_declined(tmp_path):
    path = write_numbered(tmp_path / "a.mp4", count=5)
    load_or_build_index(path, tmp_path)
    assert open_first_pass(path, index_dir=tmp_path) is None  # known already
    for content in (b"", b"hello\n" * 100):
        path.write_bytes(content)
        assert open_first_pass(path, index_dir=tmp_path) is None
    assert open_first_pass(tmp_path, index_dir=tmp_path) is None
    assert open_first_pass(tmp_path / "missing.mp4", index_dir=tmp_path) is None


def test_it_is_read_once_and_as_a_whole(tmp_path):
    path = write_numbered(tmp_path / "a.mp4", count=5)
    video = open_first_pass(path, index_dir=tmp_path)
    with pytest.raises(ValueError, match="in order"):
        video.frame(0)
    assert len(list(video.frames())) == 5
    with pytest.raises(ValueError, match="one reading"):
        list(video.frames())
    half = open_first_pass(
        write_numbered(tmp_path / "b.mp4", count=6, rate=25), index_dir=tmp_path / "other"
    )
    next(half.frames())
    assert not (tmp_path / "other").exists()  # nothing is kept before the end
