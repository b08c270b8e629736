"""Decoders kept between readings: the same frames, few of them, and none shared."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pytest
from torch.utils.data import DataLoader, Dataset

from stadet.datasets.footage import file
from stadet.datasets.footage.decode import DecodeLimits, decode_limits
from stadet.datasets.footage.kept import Kept
from stadet.datasets.footage.video import Video, open_video
from stadet.engine.errors import UserError
from tests.datasets.footage.test_video import AWKWARD, COUNT, VARIABLE
from tests.datasets.numbered_videos import number_of, write_numbered
from tests.shared_data import SHARED

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


@dataclass(eq=False)
class Closing:
    """Notes its name in `closed`."""

    name: str
    closed: list[str]

    def close(self) -> None:
        self.closed.append(self.name)


class Owner:
    pass


def test_what_is_kept_is_handed_out_once():
    kept, closed, owner = Kept(count=2, cost=10), [], Owner()
    resource = Closing("a", closed)
    kept.put(owner, resource, 1)
    assert kept.take(Owner()) is None
    assert kept.take(owner) is resource
    assert kept.take(owner) is None and not closed


def test_the_last_used_are_kept_within_count_and_cost():
    kept, closed, owners = Kept(count=3, cost=10), [], [Owner() for _ in range(5)]
    for number, owner in enumerate(owners[:3]):
        kept.put(owner, Closing(str(number), closed), 2)
    kept.put(owners[0], kept.take(owners[0]), 2)  # used: 1 is the oldest now
    kept.put(owners[3], Closing("3", closed), 2)
    assert closed == ["1"]
    kept.put(owners[4], Closing("4", closed), 7)  # with 3 alone it is 9
    assert closed == ["1", "2", "0"]
    kept.put(owners[0], Closing("huge", closed), 11)
    assert closed == ["1", "2", "0", "3", "4", "huge"]


def test_closed_with_the_owner_in_place_of_another_and_by_clear():
    kept, closed, owners = Kept(count=9, cost=9), [], [Owner(), Owner()]
    for number in range(2):
        kept.put(owners[number], Closing(str(number), closed), 1)
    del owners[0]
    assert closed == ["0"]
    kept.put(owners[0], Closing("new", closed), 1)
    assert closed == ["0", "1"]
    kept.clear()
    assert closed == ["0", "1", "new"]


@pytest.fixture
def opened(monkeypatch):
    """Names of the files that decoders opened, in turn."""
    names = []
    make = file.Decoder
    monkeypatch.setattr(file, "Decoder", lambda path: (names.append(path.name), make(path))[1])
    return names


@pytest.fixture
def closed(monkeypatch):
    """Names of the files whose decoders were closed, in turn."""
    names = []
    close = file._Cursor.close
    monkeypatch.setattr(file._Cursor, "close", lambda c: (names.append(c._path.name), close(c))[1])
    return names


@pytest.mark.parametrize("name", AWKWARD)
def test_random_clips_equal_a_whole_pass(tmp_path, name):
    video = open_video(write_numbered(tmp_path / name, count=COUNT, **AWKWARD[name]))
    whole = [frame for _, frame in video.frames()]
    rng = np.random.default_rng(2)
    for start in rng.integers(0, COUNT - 6, 40).tolist():
        for index, frame in video.frames(start, start + int(rng.integers(1, 6))):
            np.testing.assert_array_equal(frame, whole[index])
        np.testing.assert_array_equal(next(video.read([start, start + 3]))[1], whole[start])


def test_random_clips_open_the_file_once(tmp_path, opened):
    video = open_video(write_numbered(tmp_path / "a.mp4", count=COUNT))
    for start in (40, 20, 25, 20, 50, 37, 14):
        numbers = [number_of(frame) for _, frame in video.frames(start, start + 4)]
        assert numbers == list(range(start, start + 4))
    assert opened == ["a.mp4"]


@pytest.mark.slow
@pytest.mark.skipif(SHARED is None, reason="needs the shared data")
@pytest.mark.parametrize(
    "name",
    ["take_put_real", "ucf24_mini", "ucf24_train1", "people_above", "asl20", "handwash_mini"],
)
def test_random_clips_of_real_videos_equal_a_whole_pass(tmp_path, name):
    found = [
        p for p in sorted((SHARED / name).rglob("*.*")) if p.suffix in (".mp4", ".mkv", ".avi")
    ]
    assert found
    for path in found[:3]:
        video = open_video(path, index_dir=tmp_path)
        whole = [hash(frame.tobytes()) for _, frame in video.frames(0, 400)]
        for start in np.random.default_rng(3).integers(0, len(whole) - 8, 40).tolist():
            clip = [hash(frame.tobytes()) for _, frame in video.frames(start, start + 8)]
            assert clip == whole[start : start + 8], (path, start)


def test_two_passes_at_once_do_not_share_a_decoder(tmp_path):
    video = open_video(write_numbered(tmp_path / "a.mp4"))
    next(video.frames(30, 40))
    pairs = zip(video.frames(5, 30), video.frames(30, 55), strict=True)
    numbers = [(number_of(a), number_of(b)) for (_, a), (_, b) in pairs]
    assert numbers == [(i, i + 25) for i in range(5, 30)]


def test_threads_read_the_same_videos_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(file._kept, "count", 2)
    videos = [open_video(write_numbered(tmp_path / f"{n}.mp4", count=40)) for n in range(3)]

    def read(seed: int) -> bool:
        rng = np.random.default_rng(seed)
        for start in rng.integers(0, 35, 40).tolist():
            numbers = [number_of(f) for _, f in videos[start % 3].frames(start, start + 5)]
            if numbers != list(range(start, start + 5)):
                return False
        return True

    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(read, range(6)))
    assert len(file._kept._entries) <= 2


def test_few_decoders_stay_open(tmp_path, closed):
    file._kept.clear()
    closed.clear()
    videos = [open_video(write_numbered(tmp_path / f"{n}.mp4", count=20)) for n in range(7)]
    for video in videos:
        list(video.frames(0, 3))
    assert closed == ["0.mp4", "1.mp4", "2.mp4"]
    list(videos[6].frames(5, 20))  # to its end: nothing follows
    videos[5].close()
    del videos[4], video
    assert closed == ["0.mp4", "1.mp4", "2.mp4", "6.mp4", "5.mp4", "4.mp4"]
    assert [number_of(frame) for _, frame in videos[0].frames(2, 5)] == [2, 3, 4]


def test_frames_that_are_too_large_are_not_kept(tmp_path, opened, monkeypatch):
    video = open_video(write_numbered(tmp_path / "a.mp4"))
    monkeypatch.setattr(file._kept, "cost", video.size[0] * video.size[1] - 1)
    assert [number_of(video.frame(index)) for index in (3, 4)] == [3, 4]
    assert opened == ["a.mp4", "a.mp4"]


def test_an_error_closes_the_decoder(tmp_path, closed, monkeypatch):
    video = open_video(write_numbered(tmp_path / "a.mp4"))
    video.frame(20)
    monkeypatch.setattr(file, "Decoder", lambda path: (_ for _ in ()).throw(UserError("gone")))
    for read in (video.frame, lambda index: next(video.read([index]))):
        with pytest.raises(UserError, match="gone"):
            read(3)
    assert closed and file._kept.take(video._source) is None


def test_a_file_that_changed_is_opened_again(tmp_path, opened):
    path = write_numbered(tmp_path / "a.mp4")
    video = open_video(path)
    assert number_of(video.frame(5)) == 5
    other = write_numbered(tmp_path / "b.mp4", pts=VARIABLE)
    os.replace(other, path)
    with pytest.raises(UserError, match="the file has changed"):
        video.frame(6)
    path.unlink()
    with pytest.raises(UserError, match="found none"):
        video.frame(7)
    assert opened == ["a.mp4"] * 3


def test_other_limits_open_the_file_again(tmp_path):
    video = open_video(write_numbered(tmp_path / "a.mp4"))
    assert number_of(video.frame(5)) == 5
    with decode_limits(DecodeLimits(frame_pixels=100)), pytest.raises(UserError, match="pixels"):
        video.frame(6)
    assert number_of(video.frame(6)) == 6


def test_a_pickled_video_does_not_take_the_decoder_along(tmp_path, opened):
    video = open_video(write_numbered(tmp_path / "a.mp4"))
    video.frame(5)
    copy = pickle.loads(pickle.dumps(video))
    assert [number_of(v.frame(i)) for i in (6, 7) for v in (video, copy)] == [6, 6, 7, 7]
    assert opened == ["a.mp4", "a.mp4"]


def in_child(work) -> None:
    """Run `work` in a forked process; False, an exception and a wait fail."""
    child = os.fork()
    if not child:
        try:
            signal.alarm(60)  # rather than wait for a thread that is not there
            os._exit(0 if work() else 1)
        finally:
            os._exit(2)
    assert os.waitpid(child, 0)[1] == 0


@needs_fork
def test_a_forked_process_opens_the_file_for_itself(tmp_path):
    video = open_video(write_numbered(tmp_path / "a.mp4", count=COUNT, gop=1000))
    assert number_of(next(video.frames(10, 40))[1]) == 10

    def work() -> bool:
        return [number_of(f) for _, f in video.frames(12, 50)] == list(range(12, 50))

    in_child(work)
    assert [number_of(f) for _, f in video.frames(12, 50)] == list(range(12, 50))


@needs_fork
def test_a_reading_that_was_under_way_at_a_fork_is_not_kept(tmp_path):
    video = open_video(write_numbered(tmp_path / "a.mp4", count=COUNT, gop=1000))
    reading = video.frames(10, 40)
    next(reading)

    def work() -> bool:
        nonlocal reading
        reading.close()
        nothing = file._kept.take(video._source) is None
        del reading
        return nothing and number_of(video.frame(30)) == 30

    in_child(work)
    assert [number_of(f) for _, f in reading] == list(range(11, 40))


@needs_fork
def test_a_fork_while_another_thread_holds_the_lock(tmp_path):
    video = open_video(write_numbered(tmp_path / "a.mp4"))
    held, let_go = threading.Event(), threading.Event()

    def hold() -> None:
        with file._kept._lock:
            held.set()
            let_go.wait(0.5)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    in_child(lambda: number_of(video.frame(8)) == 8)
    let_go.set()
    thread.join()
    assert number_of(video.frame(9)) == 9


class Clips(Dataset):
    """The numbers that clips of 4 frames show."""

    def __init__(self, videos: list[Video]):
        self.videos = videos

    def __len__(self) -> int:
        return 60

    def __getitem__(self, item: int) -> list[int]:
        start = item * 17 % 50
        return [start, *(number_of(f) for _, f in self.videos[item % 2].frames(start, start + 4))]


@needs_fork
@pytest.mark.parametrize("persistent", [False, True])
def test_workers_of_a_loader_forked_with_decoders_kept(tmp_path, persistent):
    videos = [open_video(write_numbered(tmp_path / f"{n}.mp4", count=COUNT)) for n in range(2)]
    clips = Clips(videos)
    here = [clips[item] for item in range(len(clips))]
    assert all(numbers == list(range(start, start + 4)) for start, *numbers in here)
    loader = DataLoader(
        clips, batch_size=None, num_workers=2, multiprocessing_context="fork",
        persistent_workers=persistent, timeout=60,
    )  # fmt: skip
    for _ in range(2):
        assert list(loader) == here
        assert [clips[item] for item in range(7)] == here[:7]


def test_a_process_ends_cleanly_with_decoders_kept(tmp_path):
    write_numbered(tmp_path / "a.mp4")
    program = (
        "import os\n"
        "from stadet.datasets.footage.video import open_video\n"
        f"video = open_video({str(tmp_path / 'a.mp4')!r}, index_dir={str(tmp_path)!r})\n"
        "video.frame(3); reading = video.frames(5, 20); next(reading)\n"
        "child = os.fork() if hasattr(os, 'fork') else 1\n"
        "if child: os.waitpid(child, 0) if hasattr(os, 'fork') else None\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, "")
