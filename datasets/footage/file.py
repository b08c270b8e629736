"""Frames of a video file by exact index: forward where possible, else a seek that is verified."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from av import VideoFrame

from stadet.datasets.footage.decode import Decoder, current_limits
from stadet.datasets.footage.index import VideoIndex, frame_checksum
from stadet.datasets.footage.kept import Kept
from stadet.engine.errors import UserError

KEPT = 4  # decoders that stay open, as several videos may be read in turn ..
KEPT_PIXELS = 1 << 24  # .. while one frame of each together has no more: each holds up to some 20
# frames ahead that are decoded rather than sought, as a seek costs about as much ..
NEAR = 16  # .. on its own
FAR = 250  # .. in a pass, which should stay one


class VideoFile:
    """A `FrameSource` over a video file and its index."""

    def __init__(self, path: Path, index: VideoIndex):
        self._path = path
        self._index = index
        self.timestamps = index.timestamps
        self.constant_rate = index.constant_rate

    @property
    def digest(self) -> str:
        return self._index.digest

    @property
    def size(self) -> tuple[int, int]:
        return self._index.size

    @property
    def rate(self) -> Fraction:
        return self._index.rate

    @property
    def notes(self) -> tuple[str, ...]:
        return self._index.notes

    def frame(self, index: int) -> np.ndarray:
        cursor = self._take()
        try:
            cursor.jump_to(index)
            image = cursor.go_on_to(index)
        except BaseException:
            cursor.close()
            raise
        self._give_back(cursor)
        return image

    def read(self, indices: Sequence[int] | np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        if not len(indices):
            return
        cursor = self._take()
        try:
            cursor.jump_to(int(indices[0]))
            for index in indices:
                if not isinstance(indices, range):
                    cursor.jump_to(int(index), near=FAR)
                yield int(index), cursor.go_on_to(int(index))
        except GeneratorExit:  # the caller has what it wanted
            self._give_back(cursor)
            raise
        except BaseException:
            cursor.close()
            raise
        if int(indices[-1]) + 1 < len(self._index):
            self._give_back(cursor)
        else:  # what reads a file in one pass is through with it
            cursor.close()

    def close(self) -> None:
        cursor = _kept.take(self)
        if cursor is not None:
            cursor.close()

    def _take(self) -> _Cursor:
        """A decoder for the caller alone: the one of the last reading, or a new one."""
        cursor = _kept.take(self)
        if cursor is not None:
            if cursor.is_current():
                return cursor
            cursor.close()
        return _Cursor(self._path, self._index)

    def _give_back(self, cursor: _Cursor) -> None:
        """Keep a decoder for the next reading."""
        if cursor.is_current():
            height, width = self.size
            _kept.put(self, cursor, height * width)
        else:
            cursor.close()


class _Cursor:
    """A decoder and the index of its current frame."""

    def __init__(self, path: Path, index: VideoIndex):
        self._path = path
        self._index = index
        self._key_frames = np.flatnonzero(index.key_frames)
        self._damaged = not bool(index.clean.all())
        self._restart()

    def is_current(self) -> bool:
        """Whether a new decoder would read the same: in this process (a forked one shares the place
        in the file with its parent), this file, within these limits."""
        return self._opened == _circumstances(self._path)

    def jump_to(self, target: int, near: int = NEAR) -> None:
        """Stand on `target` or before it, by a seek where that is cheaper than decoding on."""
        shortcut = (
            self._index.seekable
            and target - self._position > near
            and self._key_frame_before(target) > self._position + 1
        )
        if target < self._position or shortcut:
            self._jump(target)

    def go_on_to(self, target: int) -> np.ndarray:
        """The frame `target`, not behind the present one: (H, W, 3) uint8 RGB. Never seeks."""
        while self._position < target:
            self._advance()
        assert self._frame is not None  # of a position of 0 and above
        return self._decoder.rgb(self._frame)

    def close(self) -> None:
        self._decoder.close()

    def _restart(self) -> None:
        self._opened = _circumstances(self._path)
        self._decoder = Decoder(self._path)
        self._frames: Iterator[VideoFrame] = iter(self._decoder)
        self._position = -1
        self._frame: VideoFrame | None = None
        self._from_start = True

    def _advance(self) -> None:
        if not self._from_start and not self._index.clean[self._position + 1]:
            # what a decoder makes of damage depends on all that it has seen
            position = self._position
            self._start_again()
            while self._position < position:
                self._advance()
        frame = next(self._frames, None)
        position = self._position + 1
        if frame is None or (self._index.seekable and frame.pts != self._index.pts[position]):
            raise UserError(
                f"{self._path}: expected {len(self._index)} frames as indexed, found another "
                f"content at frame {position}; the file has changed, run the command again"
            )
        self._frame, self._position = frame, position

    def _key_frame_before(self, target: int) -> int:
        place = np.searchsorted(self._key_frames, target, side="right") - 1
        return int(self._key_frames[place]) if place >= 0 else 0

    def _jump(self, target: int) -> None:
        """Seek if a seek can be verified, else start again from the first frame."""
        wanted = self._key_frame_before(target) if self._index.clean[target] else 0
        back = 1
        if self._damaged:
            self._start_again()  # and on the frames that it still holds
        while self._index.seekable and wanted > 0:
            if self._seek(wanted, target):
                return
            # containers without an index of their own (MPEG-TS) land late: aim further back
            wanted = self._key_frame_before(max(0, wanted - back))
            back *= 4
        self._start_again()

    def _start_again(self) -> None:
        self.close()
        self._restart()

    def _seek(self, key_frame: int, target: int) -> bool:
        """Seek to a key frame; True if the decoder is then at a known frame up to `target`.

        Frames before the first key frame that comes out may lack their references and are dropped.
        A key frame that is damaged, or comes out otherwise than in a pass from the start, is no
        place to begin.
        """
        if not self._decoder.seek(int(self._index.pts[key_frame])):
            return False
        self._from_start = False
        self._frames = iter(self._decoder)
        frame = next((frame for frame in self._frames if frame.key_frame), None)
        if frame is None or frame.pts is None:
            return False
        position = int(np.searchsorted(self._index.pts, frame.pts))
        known = position < len(self._index) and self._index.pts[position] == frame.pts
        if not known or position > target or not self._index.key_frames[position]:
            return False
        number = int(np.searchsorted(self._key_frames, position))
        if frame_checksum(frame) != int(self._index.checksums[number]):
            return False
        self._frame, self._position = frame, position
        return True


def _circumstances(path: Path) -> tuple[object, ...]:
    """What an open decoder depends on."""
    try:
        state = path.stat()
    except OSError:  # gone: what opens it next tells so
        return (None,)
    found = state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns
    return *found, os.getpid(), current_limits()


_kept: Kept[_Cursor] = Kept(KEPT, KEPT_PIXELS)
