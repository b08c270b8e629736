"""The frame cache against frames reduced one by one, and against interruption."""

from __future__ import annotations

import binascii
import errno
import os
import pickle
import signal
import subprocess
import sys
import time
import zlib
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest
from PIL import Image

from stadet.datasets.footage import cache as cache_module
from stadet.datasets.footage.cache import build_cache, reduced_size
from stadet.datasets.footage.cache_files import cache_entries
from stadet.datasets.footage.video import open_video
from stadet.detect.view import View
from stadet.engine.errors import UserError
from tests.conftest import ROOT
from tests.datasets.numbered_videos import SIZE, number_of, write_numbered

SMALL = (20, 50)  # network size: copies are 24x60


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    return [
        open_video(write_numbered(folder / f"{name}.mp4", count=count))
        for name, count in (("a", 30), ("b", 12))
    ]


@pytest.mark.parametrize(
    ("video", "network", "margin", "fit", "expected"),
    [
        ((720, 1280), (360, 640), 1.2, "cover", (432, 768)),
        ((720, 1280), (416, 416), 1.2, "cover", (499, 887)),
        ((720, 1280), (416, 416), 1.2, "contain", (281, 499)),
        ((240, 320), (224, 224), 1.2, "cover", (240, 320)),  # never enlarged
        ((256, 340), (1000, 1000), 1.2, "contain", (256, 340)),
        ((1000, 2), (10, 10), 1.0, "contain", (10, 1)),
    ],
)
def test_reduced_size(video, network, margin, fit, expected):
    assert reduced_size(video, network, margin, fit) == expected


@pytest.mark.parametrize("fit", ["letterbox", "stretch"])
@pytest.mark.parametrize("network", [(20, 50), (50, 60), (96, 224)])
def test_an_exact_copy_is_what_the_network_sees(tmp_path, videos, fit, network):
    build_cache(videos, tmp_path, network, kind="raw")  # another kind of copies beside it
    cache = build_cache(videos, tmp_path, network, kind="raw", fit=fit)
    assert cache.size("a") == network
    for video in videos:
        view = View.fit(video.size, network, fit)
        for index in (0, 7, len(video) - 1):
            assert np.array_equal(cache.read(video.name, index), view.apply(video.frame(index)))
    assert sorted({entry.coding for entry in cache_entries(tmp_path)}) == ["raw", f"raw-{fit}"]


@pytest.mark.parametrize("kind", ["raw", "jpeg"])
def test_read_gives_the_reduced_frame(tmp_path, videos, kind):
    cache = build_cache(videos, tmp_path, SMALL, kind=kind)
    assert cache.size("a") == (24, 60)
    for video in videos:
        for index in (0, 7, len(video) - 1):
            small = Image.fromarray(video.frame(index)).resize((60, 24), Image.Resampling.BILINEAR)
            error = np.abs(cache.read(video.name, index).astype(int) - np.array(small))
            assert error.max() <= 1 if kind == "raw" else error.mean() < 4
    with pytest.raises(KeyError, match="frame 30"):
        cache.read("a", 30)


def test_full_size_copies_show_their_numbers(tmp_path, videos):
    cache = build_cache(videos, tmp_path, (200, 300), kind="jpeg", workers=2)
    assert cache.size("a") == SIZE
    for video in videos:
        assert [number_of(cache.read(video.name, i)) for i in range(len(video))] == list(
            range(len(video))
        )


def test_kind_follows_the_total_size(tmp_path, videos):
    total = 42 * 24 * 60 * 3
    raw = build_cache(videos, tmp_path, SMALL, raw_limit_bytes=total)
    assert {video.kind for video in raw.videos.values()} == {"raw"} and raw.bytes_on_disk == total
    jpeg = build_cache(videos, tmp_path, SMALL, raw_limit_bytes=total - 1)
    assert {video.kind for video in jpeg.videos.values()} == {"jpeg"}


def test_only_the_frames_asked_for(tmp_path, videos):
    cache = build_cache(videos, tmp_path, SMALL, frames={"a": np.array([20, 3, 3])}, kind="raw")
    assert cache.videos["a"].frames.tolist() == [3, 20] and len(cache.videos["b"].frames) == 12
    with pytest.raises(KeyError, match="frame 4"):
        cache.read("a", 4)
    empty = build_cache(videos[:1], tmp_path / "other", SMALL, frames={"a": []})
    with pytest.raises(KeyError, match="frame 0"):
        empty.read("a", 0)


def _count_filled(monkeypatch):
    filled = []
    fill = cache_module._fill
    monkeypatch.setattr(
        cache_module, "_fill", lambda job, *rest: (filled.append(job.video.name), fill(job, *rest))
    )
    return filled


def test_a_second_run_finds_it_and_other_settings_do_not(tmp_path, videos, monkeypatch):
    filled = _count_filled(monkeypatch)
    first = build_cache(videos, tmp_path, SMALL, kind="raw")
    assert sorted(filled) == ["a", "b"]
    monkeypatch.setattr(cache_module, "_turn", None)  # not even the lock is needed
    again = build_cache(videos, tmp_path, SMALL, kind="raw", frames={"a": [5]})
    assert len(filled) == 2
    np.testing.assert_array_equal(again.read("a", 5), first.read("a", 5))
    monkeypatch.undo()
    filled = _count_filled(monkeypatch)
    build_cache(videos, tmp_path, (10, 25), kind="raw")
    build_cache(videos, tmp_path, SMALL, kind="jpeg")
    assert len(filled) == 4
    monkeypatch.setattr(cache_module, "VERSION", "9.9")
    build_cache(videos, tmp_path, SMALL, kind="raw")
    assert len(filled) == 6


def test_copies_of_one_content_are_filled_once(tmp_path, monkeypatch):
    path = write_numbered(tmp_path / "a.mp4", count=5)
    copies = [open_video(path, name=name) for name in ("one", "two")]
    filled = _count_filled(monkeypatch)
    cache = build_cache(copies, tmp_path / "cache", SMALL)
    assert len(filled) == 1
    np.testing.assert_array_equal(cache.read("one", 4), cache.read("two", 4))


def test_more_frames_are_added_without_touching_what_a_running_program_reads(tmp_path, videos):
    some = build_cache(videos[:1], tmp_path, SMALL, frames={"a": np.arange(5)}, kind="raw")
    before = some.read("a", 4)
    every = build_cache(videos[:1], tmp_path, SMALL, kind="raw")
    np.testing.assert_array_equal(some.read("a", 4), before)
    np.testing.assert_array_equal(every.read("a", 4), before)


def _checksum(cache, name, index):
    return int(cache.read(name, index).astype(int).sum())


@pytest.mark.parametrize("kind", ["raw", "jpeg"])
def test_shared_by_processes(tmp_path, videos, kind):
    cache = build_cache(videos, tmp_path, SMALL, kind=kind)
    copy = pickle.loads(pickle.dumps(cache))
    places = [("a", 3), ("b", 11), ("a", 29)]
    with ProcessPoolExecutor(2) as pool:
        found = list(pool.map(_checksum, [copy] * 3, *zip(*places, strict=True)))
    assert found == [_checksum(cache, *place) for place in places]


def test_an_error_keeps_finished_videos(tmp_path, videos, monkeypatch):
    encode = cache_module._encode
    count = iter(range(1000))

    def fail_late(*args):
        if next(count) == 35:
            raise OSError(errno.ENOSPC, "No space left on device")
        return encode(*args)

    monkeypatch.setattr(cache_module, "_encode", fail_late)
    with pytest.raises(UserError, match="the disk is full"):
        build_cache(videos, tmp_path, SMALL, workers=1, kind="raw")
    assert sorted(path.suffix for path in tmp_path.glob("[!.]*")) == [".npz", ".raw"]
    monkeypatch.undo()
    filled = _count_filled(monkeypatch)
    build_cache(videos, tmp_path, SMALL, kind="raw")
    assert filled == ["b"]


KILLED = """
import sys, time
from stadet.datasets.footage import cache
from stadet.datasets.footage.video import open_video
encode = cache._encode
def slow(*args):
    time.sleep(0.02)
    return encode(*args)
cache._encode = slow
cache.build_cache([open_video(p) for p in sys.argv[2:]], sys.argv[1], (20, 50), workers=1)
"""


def test_kill_9_leaves_nothing_that_is_taken_for_whole(tmp_path, videos, monkeypatch):
    folder = tmp_path / "cache"
    program = [sys.executable, "-c", KILLED, str(folder), *(str(v.path) for v in videos)]
    with subprocess.Popen(program, cwd=ROOT) as child:
        deadline = time.monotonic() + 20
        while not list(folder.glob(".*-v*.raw")) and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.1)
        child.send_signal(signal.SIGKILL)
    assert list(folder.glob(".*-v*.raw")) and not list(folder.glob("*.npz"))
    cache = build_cache(videos, folder, SMALL)
    assert not list(folder.glob(".*-v*"))
    assert cache.read("b", 11).shape == (24, 60, 3)


@pytest.mark.parametrize("damage", ["index", "frames", "gone"])
def test_damaged_files_are_made_anew(tmp_path, videos, damage):
    build_cache(videos, tmp_path, SMALL, kind="raw")
    expected = build_cache(videos, tmp_path, SMALL, kind="raw").read("a", 3)
    for path in tmp_path.glob("*.npz"):
        if damage == "index":
            path.write_bytes(path.read_bytes()[:50])
        elif damage == "frames":
            os.truncate(path.with_suffix(".raw"), 100)
        else:
            path.with_suffix(".raw").unlink()
    cache = build_cache(videos, tmp_path, SMALL, kind="raw")
    np.testing.assert_array_equal(cache.read("a", 3), expected)


@pytest.mark.parametrize("kind", ["raw", "jpeg"])
def test_a_damaged_frame_is_not_used_and_made_again_by_the_next_run(tmp_path, videos, kind):
    cache = build_cache(videos, tmp_path, SMALL, kind=kind)
    expected = [cache.read("a", index).copy() for index in range(5)]
    entry = cache.videos["a"]
    with open(entry.path, "r+b") as stream:  # one bit of frame 3
        stream.seek(int(entry.offsets[3]) + 40)
        (byte,) = stream.read(1)
        stream.seek(int(entry.offsets[3]) + 40)
        stream.write(bytes([byte ^ 8]))
    cache = build_cache(videos, tmp_path, SMALL, kind=kind)
    np.testing.assert_array_equal(cache.read("a", 2), expected[2])
    with pytest.raises(UserError, match=r"the cached frame 3 is damaged .*run the command again"):
        cache.read("a", 3)
    cache = build_cache(videos, tmp_path, SMALL, kind=kind)
    for index in range(5):
        np.testing.assert_array_equal(cache.read("a", index), expected[index])


def test_each_process_compares_a_frame_once(tmp_path, videos, monkeypatch):
    cache = build_cache(videos, tmp_path, SMALL, kind="raw")
    counted = []
    monkeypatch.setattr(zlib, "crc32", lambda content: counted.append(1) or real(content))
    real = binascii.crc32
    for _ in range(3):
        for index in (0, 5):
            cache.read("a", index)
    assert len(counted) == 2


def test_what_no_run_opened_for_long_goes_with_words(tmp_path, videos, caplog):
    build_cache(videos[:1], tmp_path, SMALL, kind="raw")
    build_cache(videos[:1], tmp_path, (10, 25), kind="raw")
    old = [e for e in cache_entries(tmp_path) if e.size == reduced_size(videos[0].size, SMALL)]
    (tmp_path / "own.npz").write_text("the user's")
    for path in old[0].paths:
        os.utime(path, (time.time() - 40 * 86_400,) * 2)
    build_cache(videos[:1], tmp_path, (10, 25), kind="raw")  # found: nothing is filled or removed
    assert len(cache_entries(tmp_path)) == 2
    build_cache(videos[:1], tmp_path, (12, 30), kind="raw")
    assert "removed reduced frames of 1 videos" in caplog.text
    assert len(cache_entries(tmp_path)) == 2 and (tmp_path / "own.npz").exists()
    assert not any(path.exists() for path in old[0].paths)


def test_changed_under_a_running_program(tmp_path, videos):
    cache = build_cache(videos, tmp_path, SMALL, kind="raw")
    os.truncate(cache.videos["a"].path, 5000)
    with pytest.raises(UserError, match="was changed under a running program"):
        cache.read("a", 3)


def test_bad_input(tmp_path, videos):
    with pytest.raises(UserError, match="found 'a' twice"):
        build_cache([videos[0], videos[0]], tmp_path, SMALL)
    with pytest.raises(UserError, match=r"expected frames 0\.\.29, asked to cache 3\.\.30"):
        build_cache(videos, tmp_path, SMALL, frames={"a": [3, 30]})
    with pytest.raises(ValueError, match="kind"):
        build_cache(videos, tmp_path, SMALL, kind="png")


def test_too_little_space_is_said_before_the_work(tmp_path, videos, monkeypatch):
    free = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(cache_module.shutil, "disk_usage", lambda _: free)
    with pytest.raises(UserError, match="choose cache_kind jpeg"):
        build_cache(videos, tmp_path, SMALL, kind="raw")


def test_resident_memory_does_not_grow_with_what_is_read(tmp_path):
    video = open_video(write_numbered(tmp_path / "a.mp4", count=300))
    cache = build_cache([video], tmp_path / "cache", SIZE, kind="raw", margin=1.0)
    resident = lambda: int(open("/proc/self/statm").read().split()[1])  # noqa: E731, SIM115
    cache.read("a", 0)
    before = resident()
    for index in range(300):
        cache.read("a", index)
    grown = (resident() - before) * os.sysconf("SC_PAGE_SIZE")
    assert cache.bytes_on_disk > 9e6 and grown < 2e6
