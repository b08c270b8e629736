"""Clips of what a stream's rules hit: the seconds before and after, with what is drawn."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stadet.datasets.footage.writer import VideoWriter
from stadet.datasets.live.reader import LiveFrame
from stadet.detect.drawing.image_file import decode_jpeg, encode_jpeg
from stadet.tools.streams.session import Event

QUALITY = 92  # of the pictures that wait in memory
MOST_BYTES = 256 << 20  # of the pictures of a stream that are kept, and of those to be written
LONGEST_WAIT = 120.0  # seconds that a rule may take to be met and its clip still shows the start
LONGEST_CLIP = 600.0  # seconds


@dataclass(frozen=True)
class _Picture:
    seconds: float
    jpeg: bytes


@dataclass(eq=False)
class _Clip:
    """A file that is being made; `until` is the last second it shows."""

    path: Path
    latest: float
    until: float
    size: tuple[int, int]
    empty: bool = True


class HitClips:
    """Writes an mp4 for every hit of a stream's rules while the stream goes on.

    A clip shows from `around` seconds before a hit's start to `around` seconds after its end, at
    most `LONGEST_CLIP` seconds. A thread of its own writes, so that the stream does not wait; where
    it is behind by more than `MOST_BYTES`, pictures are left out, and that is told once.

    Args:
        folder: for `STREAM-0001.mp4` and so on; files that are there stay.
        stream: its name.
        around: seconds shown before and after a hit.
        wait: the longest time from a hit's start until its rule is met.
        notify: told of pictures that were left out.
    """

    def __init__(
        self,
        folder: str | Path,
        stream: str,
        *,
        around: float = 2.0,
        wait: float = 0.0,
        notify: Callable[[str], None] = lambda text: None,
    ):
        self._folder, self._stream, self._around, self._notify = folder, stream, around, notify
        self._reach = around + min(wait, LONGEST_WAIT)
        self._kept: deque[_Picture] = deque()
        self._kept_bytes = 0
        self._clips: dict[tuple[str, int | None], _Clip] = {}  # hits that go on
        self._closing: list[_Clip] = []  # hits that are over: the seconds after them
        self._size = (0, 0)
        self._number = 0
        self._todo: queue.SimpleQueue[tuple[_Clip, _Picture | None] | None] = queue.SimpleQueue()
        self._waiting = 0  # bytes
        self._counted = threading.Lock()
        self._told = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=f"clips {stream}", daemon=True)
        self._thread.start()

    def take(self, events: Sequence[Event], image: np.ndarray, frame: LiveFrame) -> list[Event]:
        """Take a frame's picture and events; returns the events, where hits name their clip.

        Args:
            events: as a session gives them; those of a rule are hits.
            image: (h, w, 3) uint8 RGB, the frame with its boxes.
            frame: the frame.
        """
        self._size = image.shape[0], image.shape[1]
        told: list[Event] = []
        if frame.starts_stream:  # another clock: what has ended belongs to the earlier one
            told += self.finish([event for event in events if event[0] == "ended"])
            events = [event for event in events if event[0] != "ended"]
            self._kept.clear()
            self._kept_bytes = 0
        told += map(self._hit, events)
        self._keep(_Picture(frame.seconds, encode_jpeg(image, QUALITY)))
        for clip in [*self._clips.values(), *self._closing]:
            self._feed(clip)
        for key in [key for key, clip in self._clips.items() if frame.seconds >= clip.until]:
            self._todo.put((self._clips.pop(key), None))
        for clip in [clip for clip in self._closing if frame.seconds >= clip.until]:
            self._closing.remove(clip)
            self._todo.put((clip, None))
        return told

    def finish(self, events: Sequence[Event]) -> list[Event]:
        """End every clip, since the stream is over; returns `events` as `take` does."""
        told = [self._hit(event) for event in events]
        for clip in [*self._clips.values(), *self._closing]:
            self._todo.put((clip, None))
        self._clips.clear()
        self._closing.clear()
        return told

    def check(self) -> None:
        """Raises the error (a full disk: `UserError`) that the writing of a clip met."""
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def close(self) -> None:
        """End every clip and wait until they are written; raises as `check` does."""
        self.finish([])
        self._todo.put(None)
        self._thread.join()
        self.check()

    def _hit(self, event: Event) -> Event:
        what, seconds, values = event
        if "rule" not in values:
            return event
        key = values["rule"], values["actor"]
        if what == "began":
            start = values["start"] - self._around
            clip = _Clip(self._path(), start, start + LONGEST_CLIP, self._size)
            self._clips[key] = clip
        elif key in self._clips:
            clip = self._clips.pop(key)
            clip.until = min(clip.until, values["stop"] + self._around)
            self._closing.append(clip)
        else:  # it went on for longer than a clip may
            return event
        return what, seconds, {**values, "clip": clip.path.name}

    def _path(self) -> Path:
        while True:
            self._number += 1
            path = Path(self._folder) / f"{self._stream}-{self._number:04d}.mp4"
            if not path.exists():
                return path

    def _keep(self, picture: _Picture) -> None:
        self._kept.append(picture)
        self._kept_bytes += len(picture.jpeg)
        old = picture.seconds - self._reach
        while self._kept[0].seconds < old or self._kept_bytes > MOST_BYTES:
            if len(self._kept) == 1:
                return
            self._kept_bytes -= len(self._kept.popleft().jpeg)

    def _feed(self, clip: _Clip) -> None:
        """Hand on the kept pictures that a clip has not shown yet."""
        fresh = []
        for picture in reversed(self._kept):
            if picture.seconds <= clip.latest - (1e-6 if clip.empty else 0.0):
                break
            if picture.seconds <= clip.until + 1e-6:
                fresh.append(picture)
        for picture in reversed(fresh):
            clip.latest, clip.empty = picture.seconds, False
            with self._counted:
                behind = self._waiting > MOST_BYTES
                self._waiting += 0 if behind else len(picture.jpeg)
            if not behind:
                self._todo.put((clip, picture))
            elif not self._told:
                self._told = True
                self._notify(f"{self._stream}: clips are written too slowly; they lack pictures")

    def _run(self) -> None:
        writers: dict[_Clip, _Writer] = {}
        while (job := self._todo.get()) is not None:
            clip, picture = job
            try:
                if picture is None:
                    if clip in writers:
                        writers.pop(clip).close()
                    continue
                with self._counted:
                    self._waiting -= len(picture.jpeg)
                if self._error is None:
                    if clip not in writers:
                        writers[clip] = _Writer(clip, picture.seconds)
                    writers[clip].write(picture)
            except BaseException as error:  # told by the stream's thread
                self._error = error
                writers.pop(clip, None)


class _Writer:
    """The mp4 of a clip, open from its first picture on."""

    def __init__(self, clip: _Clip, began: float):
        self._began = began
        self._stack = contextlib.ExitStack()
        self._writer = self._stack.enter_context(
            VideoWriter(clip.path, clip.size, 25, variable_rate=True)
        )

    def write(self, picture: _Picture) -> None:
        with contextlib.ExitStack() as left:
            left.push(self._stack)  # an error leaves no part of a file
            self._writer.write(decode_jpeg(picture.jpeg), time=picture.seconds - self._began)
            left.pop_all()

    def close(self) -> None:
        self._stack.close()
