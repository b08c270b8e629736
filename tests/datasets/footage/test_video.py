"""Frames by exact index in every container, against the numbers that the frames show."""

from __future__ import annotations

import pickle
from fractions import Fraction

import cv2
import numpy as np
import pytest

from stadet.datasets.footage.index import content_digest, load_or_build_index, measured_rate
from stadet.datasets.footage.video import find_videos, open_video
from stadet.engine.errors import UserError
from tests.datasets.numbered_videos import (
    SIZE,
    cut_by_stream_copy,
    number_of,
    numbered_frame,
    write_numbered,
)
from tests.engine.damage import KINDS, damaged
from tests.shared_data import SHARED

COUNT = 60
VARIABLE = np.cumsum(np.random.default_rng(0).integers(500, 9000, COUNT))
AWKWARD = {
    "plain.mp4": dict(),
    "raw_mpeg4.mp4": dict(codec="mpeg4", container="m4v", rate=Fraction(30000, 1001)),
    "variable.mp4": dict(pts=VARIABLE),
    "open_gop.mp4": dict(options={"x264-params": "open-gop=1:keyint=12:bframes=3:scenecut=0"}),
    "one_gop.mp4": dict(gop=1000),
    "broadcast.ts": dict(container="mpegts"),
    "mpeg2.ts": dict(codec="mpeg2video", container="mpegts", b_frames=2),
    "matroska.mkv": dict(container="matroska"),
    "b_frames.avi": dict(codec="mpeg4", container="avi", b_frames=2),
    "h264.avi": dict(container="avi"),  # timestamps out of order
    "raw.h264": dict(container="h264"),  # no timestamps at all
    "fragmented.mp4": dict(container_options={"movflags": "frag_keyframe+empty_moov"}),
}


@pytest.fixture
def cache_home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user_cache"))
    return tmp_path / "user_cache" / "stad" / "video-index"


@pytest.mark.parametrize("name", AWKWARD)
def test_every_index_gives_its_frame(tmp_path, name):
    video = open_video(write_numbered(tmp_path / name, count=COUNT, **AWKWARD[name]))
    assert len(video) == COUNT and video.size == SIZE
    assert [(i, number_of(f)) for i, f in video.frames()] == [(i, i) for i in range(COUNT)]
    for index in np.random.default_rng(1).integers(0, COUNT, 40).tolist():
        assert number_of(video.frame(index)) == index
    for start, stop, step in [(37, None, 1), (5, 50, 7), (59, 60, 1), (13, 13, 1), (0, None, 30)]:
        found = [(i, number_of(f)) for i, f in video.frames(start, stop, step)]
        assert found == [(i, i) for i in range(COUNT)[start:stop:step]]
    assert [number_of(f) for _, f in video.read([0, 1, 30, 31, 59])] == [0, 1, 30, 31, 59]


def test_random_access_equals_sequential_reading_bit_for_bit(tmp_path):
    video = open_video(write_numbered(tmp_path / "a.mp4", **AWKWARD["open_gop.mp4"]))
    sequential = [frame for _, frame in video.frames()]
    for index in (50, 3, 24, 25, 23, 12, 11, 59, 0):
        np.testing.assert_array_equal(video.frame(index), sequential[index])


@pytest.mark.parametrize("first_packet", [5, 17])
def test_stream_cut_in_the_middle_of_a_group(tmp_path, first_packet):
    whole = write_numbered(tmp_path / "whole.mp4", options={"x264-params": "bframes=0"})
    video = open_video(cut_by_stream_copy(whole, tmp_path / "cut.mp4", first_packet))
    numbers = [number_of(frame) for _, frame in video.frames()]
    assert len(video) == len(numbers) and numbers[-1] == 59
    assert number_of(video.frame(len(video) - 4)) == 56
    for index in (30, 2, 33, 0):
        assert number_of(video.frame(index)) == numbers[index]


def test_sequential_reading_never_seeks(tmp_path, monkeypatch):
    from stadet.datasets.footage.decode import Decoder

    video = open_video(write_numbered(tmp_path / "a.mp4"))
    monkeypatch.setattr(Decoder, "seek", lambda *_: pytest.fail("sought"))
    assert sum(1 for _ in video.frames()) == 60
    assert sum(1 for _ in video.frames(0, None, 20)) == 3
    assert [i for i, _ in video.read([0, 40])] == [0, 40]


def test_long_gaps_of_a_pass_are_sought(tmp_path, monkeypatch):
    from stadet.datasets.footage.decode import Decoder

    video = open_video(write_numbered(tmp_path / "a.mp4", count=700))
    sought = []
    seek = Decoder.seek
    monkeypatch.setattr(Decoder, "seek", lambda *a: (sought.append(a[1]), seek(*a))[1])
    assert [number_of(f) for _, f in video.read([3, 200, 600, 699])] == [3, 200, 600, 699]
    assert len(sought) == 1
    assert [i for i, _ in video.frames(0, None, 350)] == [0, 350]
    assert len(sought) == 1


def test_a_file_that_cannot_seek_is_decoded_from_the_start(tmp_path, monkeypatch):
    from stadet.datasets.footage.decode import Decoder

    video = open_video(write_numbered(tmp_path / "a.mp4"))
    monkeypatch.setattr(Decoder, "seek", lambda *_: False)
    assert [number_of(video.frame(i)) for i in (50, 20, 55)] == [50, 20, 55]


def test_a_seek_that_lands_late_backs_off(tmp_path, monkeypatch):
    from stadet.datasets.footage.decode import Decoder

    video = open_video(write_numbered(tmp_path / "a.mp4", count=120))
    seek = Decoder.seek
    asked = []

    def late(decoder, pts):
        asked.append(pts)
        return seek(decoder, pts + 24 * 512)  # two groups too far

    monkeypatch.setattr(Decoder, "seek", late)
    assert [number_of(video.frame(i)) for i in (70, 20, 71)] == [70, 20, 71]
    assert len(asked) > 3


@pytest.mark.parametrize(
    ("name", "rate"),
    [
        ("plain.mp4", Fraction(30)),
        ("raw_mpeg4.mp4", Fraction(30000, 1001)),  # OpenCV reads 25
        ("matroska.mkv", Fraction(30)),  # whole milliseconds
        ("raw.h264", Fraction(30)),
    ],
)
def test_constant_rates(tmp_path, name, rate):
    video = open_video(write_numbered(tmp_path / name, **AWKWARD[name]))
    assert video.rate == rate and video.fps == float(rate) and video.constant_rate
    np.testing.assert_allclose(video.timestamps, np.arange(COUNT) / float(rate), atol=0.6e-3)


def test_variable_rate(tmp_path):
    video = open_video(write_numbered(tmp_path / "a.mp4", pts=VARIABLE))
    seconds = (VARIABLE - VARIABLE[0]) / 90000
    np.testing.assert_allclose(video.timestamps, seconds, atol=1e-4)
    assert video.fps == pytest.approx((COUNT - 1) / seconds[-1], rel=1e-4)
    assert not video.constant_rate


@pytest.mark.parametrize(
    ("pts", "time_base", "declared", "rate"),
    [
        ([0], Fraction(1, 90000), [Fraction(24)], Fraction(24)),
        ([0], Fraction(1, 90000), [], Fraction(25)),
        ([0, 33, 67, 100, 133], Fraction(1, 1000), [], Fraction(30)),
        ([0, 1, 2, 4], Fraction(1, 30), [Fraction(30)], Fraction(45, 2)),  # one dropped frame
        ([7, 107, 207], Fraction(1, 1234), [], Fraction(1234, 100)),
    ],
)
def test_measured_rate(pts, time_base, declared, rate):
    assert measured_rate(np.array(pts), time_base, declared) == rate


@pytest.mark.parametrize("degrees", [90, 180, -90])
def test_rotation_is_applied(tmp_path, degrees):
    flat = open_video(write_numbered(tmp_path / "flat.mp4", count=3))
    turned = open_video(write_numbered(tmp_path / "turned.mp4", count=3, rotation=degrees))
    assert turned.size == (SIZE if degrees == 180 else SIZE[::-1])
    np.testing.assert_array_equal(turned.frame(2), np.rot90(flat.frame(2), degrees // 90))


def test_an_odd_rotation_is_refused(tmp_path):
    path = write_numbered(tmp_path / "tilted.mp4", count=3, rotation=30)
    with pytest.raises(UserError, match=r"quarter turns, found (29|30) degrees"):
        open_video(path)


def test_empty_file(tmp_path):
    (tmp_path / "a.mp4").touch()
    with pytest.raises(UserError, match=r"a\.mp4: expected a video, found an empty file"):
        open_video(tmp_path / "a.mp4")


@pytest.mark.parametrize("content", [b"hello\n" * 100, b"#EXTM3U\n#EXTINF:9,\nb.mp4\n", b"\0"])
def test_no_video(tmp_path, content):
    (tmp_path / "a.mp4").write_bytes(content)
    with pytest.raises(UserError, match=r"a\.mp4: expected a video, found"):
        open_video(tmp_path / "a.mp4")


def test_missing_file_names_its_neighbours(tmp_path):
    write_numbered(tmp_path / "counter.mp4", count=2)
    with pytest.raises(UserError, match=r"found nothing \(did you mean counter\.mp4"):
        open_video(tmp_path / "countr.mp4")


def test_mp4_cut_before_its_header(tmp_path):
    content = write_numbered(tmp_path / "a.mp4").read_bytes()
    (tmp_path / "a.mp4").write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match="cut off before its header"):
        open_video(tmp_path / "a.mp4")


@pytest.mark.parametrize("name", ["a.mp4", "a.ts", "a.m4v"])
def test_truncated_file_counts_what_can_be_decoded_and_says_so(tmp_path, name):
    form = {
        "a.mp4": dict(container_options={"movflags": "faststart"}),
        "a.ts": dict(container="mpegts"),
        "a.m4v": dict(codec="mpeg4", container="m4v"),
    }[name]
    content = write_numbered(tmp_path / name, **form).read_bytes()
    (tmp_path / name).write_bytes(content[: len(content) * 2 // 3])
    video = open_video(tmp_path / name)
    numbers = [number_of(frame) for _, frame in video.frames()]
    assert 20 < len(video) == len(numbers) < 60
    assert numbers[:-5] == list(range(len(video)))[:-5]
    assert number_of(video.frame(17)) == 17
    if name == "a.mp4":  # the others declare no length, so nobody can know
        assert f"declares 60 frames, {len(video)} can be decoded" in video.notes[0]


def test_index_is_kept_in_the_users_cache_and_used(tmp_path, cache_home, monkeypatch):
    path = write_numbered(tmp_path / "footage" / "a.mp4")
    first = open_video(path)
    assert [p.name for p in cache_home.iterdir()] == [f"{first.digest}.npz"]
    assert [p.name for p in path.parent.iterdir()] == ["a.mp4"]
    monkeypatch.setattr(
        "stadet.datasets.footage.index._build", lambda *_: pytest.fail("decoded again")
    )
    again = open_video(path)
    assert (again.rate, again.size, again.notes) == (first.rate, first.size, first.notes)
    np.testing.assert_array_equal(again.timestamps, first.timestamps)
    assert number_of(again.frame(33)) == 33


def test_index_of_other_content_is_made_again(tmp_path, cache_home):
    path = write_numbered(tmp_path / "a.mp4", count=40)
    assert len(open_video(path)) == 40
    write_numbered(path, count=20)
    assert len(open_video(path)) == 20


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_index_is_made_again(tmp_path, cache_home, kind):
    video = open_video(write_numbered(tmp_path / "a.mp4", count=20))
    (place,) = cache_home.iterdir()
    content, rng = place.read_bytes(), np.random.default_rng(3)
    for _ in range(10):
        place.write_bytes(damaged(content, rng, kind))
        again = open_video(tmp_path / "a.mp4")
        np.testing.assert_array_equal(again.timestamps, video.timestamps)
        assert (again.rate, again.size, again.notes) == (video.rate, video.size, video.notes)


def test_index_dir(tmp_path):
    path = write_numbered(tmp_path / "a.mp4")
    video = open_video(path, index_dir=tmp_path / "indices")
    assert [p.name for p in (tmp_path / "indices").iterdir()] == [f"{video.digest}.npz"]
    assert not (tmp_path / ".a.mp4.stad-index.npz").exists()


def test_a_place_that_cannot_be_written_costs_time_only(tmp_path, monkeypatch):
    monkeypatch.setenv("STAD_CACHE", str(tmp_path / "file" / "below"))
    (tmp_path / "file").write_text("")
    path = write_numbered(tmp_path / "a.mp4")
    assert len(open_video(path)) == len(open_video(path)) > 0


def test_large_files_are_keyed_by_samples(tmp_path):
    content = bytearray(17 << 20)
    path = tmp_path / "big"
    path.write_bytes(content)
    first = content_digest(path)
    content[-1] = 1
    path.write_bytes(content)
    assert content_digest(path) != first
    path.write_bytes(content + b"\0")
    assert content_digest(path) != first


def test_a_video_changed_under_the_index_is_refused(tmp_path):
    path = write_numbered(tmp_path / "a.mp4", count=40)
    video = open_video(path)
    write_numbered(path, count=20)
    with pytest.raises(UserError, match="the file has changed"):
        list(video.frames())


def test_outside_the_video(tmp_path):
    video = open_video(write_numbered(tmp_path / "a.mp4", count=5))
    for index in (-1, 5):
        with pytest.raises(IndexError, match=f"a: frame {index} of 5"):
            video.frame(index)
    with pytest.raises(IndexError):
        video.read([3, 5])
    with pytest.raises(ValueError, match="increasing"):
        video.read([3, 2])
    assert list(video.read([])) == []


def test_pickled_video_reads_on(tmp_path):
    video = open_video(write_numbered(tmp_path / "a.mp4"))
    video.frame(30)
    copy = pickle.loads(pickle.dumps(video))
    assert number_of(copy.frame(31)) == 31 and copy.name == "a"
    video.close()
    assert number_of(video.frame(5)) == 5


def test_index_reports_a_change_of_size(tmp_path):
    small = write_numbered(tmp_path / "small.ts", "mpeg2video", "mpegts", count=10)
    large = write_numbered(tmp_path / "large.ts", "mpeg2video", "mpegts", count=10, size=(96, 176))
    (tmp_path / "both.ts").write_bytes(small.read_bytes() + large.read_bytes())
    with pytest.raises(UserError, match=r"160x64 up to frame \d+ and 176x96 at frame \d+"):
        load_or_build_index(tmp_path / "both.ts")


def write_folder(folder, names):
    folder.mkdir()
    for number, name in enumerate(names):
        cv2.imwrite(str(folder / name), numbered_frame(number))
    return folder


@pytest.mark.parametrize("pattern", ["{:05d}.jpg", "{}.png", "cam2_{}.jpeg"])
def test_frame_folder_sorts_by_number(tmp_path, pattern):
    folder = write_folder(tmp_path / "clip", [pattern.format(i + 1) for i in range(12)])
    video = open_video(folder, fps=12)
    assert (video.name, len(video), video.fps, video.size) == ("clip", 12, 12.0, SIZE)
    assert [(i, number_of(f)) for i, f in video.frames()] == [(i, i) for i in range(12)]
    assert number_of(video.frame(10)) == 10
    assert not video.notes


def test_frame_folder_without_fps_says_so(tmp_path):
    video = open_video(write_folder(tmp_path / "clip", ["1.jpg", "2.jpg"]))
    assert video.fps == 25 and "25 fps" in video.notes[0]


def test_frame_folder_digest_follows_content(tmp_path):
    first = open_video(write_folder(tmp_path / "a", ["1.png", "2.png"]))
    same = open_video(write_folder(tmp_path / "b", ["1.png", "2.png"]))
    assert first.digest == same.digest
    cv2.imwrite(str(tmp_path / "b" / "2.png"), numbered_frame(9))
    assert open_video(tmp_path / "b").digest != first.digest


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "expected numbered images"),
        (["1.jpg", "2.jpg", "4.jpg"], r"found 2 followed by 4 \(4\.jpg\)"),
        (["1.jpg", "001.png"], "number 1 twice"),
        (["1.jpg", "cover.jpg"], r"cover\.jpg: expected a frame number"),
    ],
)
def test_frame_folders_that_are_wrong(tmp_path, names, message):
    with pytest.raises(UserError, match=message):
        open_video(write_folder(tmp_path / "clip", names))


def test_frame_folder_with_a_broken_or_other_image(tmp_path):
    folder = write_folder(tmp_path / "clip", ["1.jpg", "2.jpg", "3.jpg"])
    (folder / "2.jpg").write_bytes(b"no image")
    cv2.imwrite(str(folder / "3.jpg"), np.zeros((8, 8, 3), np.uint8))
    video = open_video(folder)
    with pytest.raises(UserError, match=r"2\.jpg \(frame 1\): expected an image, found 8 bytes"):
        video.frame(1)
    with pytest.raises(UserError, match=r"expected 160x64 pixels as in 1\.jpg, found 8x8"):
        video.frame(2)


def test_find_videos(tmp_path):
    write_numbered(tmp_path / "b.mp4", count=2)
    write_folder(tmp_path / "a", ["1.jpg"])
    (tmp_path / "notes.txt").touch()
    (tmp_path / "empty").mkdir()
    open_video(tmp_path / "b.mp4")  # leaves its index
    assert [path.name for path in find_videos(tmp_path)] == ["a", "b.mp4"]


@pytest.mark.skipif(SHARED is None, reason="the developers' real data is not here")
def test_ucf_clips(tmp_path):
    found = {}
    for path in sorted((SHARED / "ucf24_mini" / "videos").glob("*.mp4")):
        video = open_video(path, index_dir=tmp_path)
        last = len(video) - 1
        frames = dict(video.read([0, last // 2, last]))
        for index, frame in frames.items():
            np.testing.assert_array_equal(video.frame(index), frame)
        found[video.name.split("_")[1]] = (len(video), round(video.fps, 3))
    assert found == {
        "Basketball": (101, 29.97),
        "Biking": (151, 29.97),
        "CliffDiving": (92, 25.0),
        "Fencing": (174, 25.0),
        "SalsaSpin": (168, 25.0),
    }
