"""A video that has no index yet, read in one pass in place of two.

What its index will say is foretold by its packets, whose reading costs a few hundredths of their
decoding: the times of its frames are theirs, sorted. The pass that reads the frames makes the index
as well, and breaks off (`PacketsMislead`) as soon as a frame comes otherwise than foretold: damage,
frames that cannot be decoded, another size. Then nothing of what came before counts, and the index
must be made first, as `open_video` does.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from fractions import Fraction
from itertools import chain
from pathlib import Path

import numpy as np
from av import VideoFrame
from av.error import FFmpegError

from stadet.datasets.footage.decode import Decoder, upright_size
from stadet.datasets.footage.index import (
    IndexBuilder,
    VideoIndex,
    content_digest,
    keep_index,
    kept_index,
    length_notes,
    measured_rate,
)
from stadet.datasets.footage.video import Indices, Video
from stadet.engine.errors import UserError


class PacketsMislead(Exception):
    """A file's frames are not those that its packets foretell."""


def open_first_pass(
    path: str | os.PathLike, *, name: str | None = None, index_dir: str | os.PathLike | None = None
) -> Video | None:
    """A video whose frames can be read once, from the first to the last.

    None where it is no file, where its index is kept already, and where its packets do not tell
    enough; `open_video` opens all these. Reading it raises `PacketsMislead` where the packets were
    wrong; its end keeps the index.
    """
    path = Path(path)
    try:
        if not path.is_file() or path.stat().st_size == 0:
            return None
        digest = content_digest(path)
        if kept_index(digest, index_dir) is not None:
            return None
        source = FirstPass.begin(path, digest, index_dir)
    except (OSError, ValueError, UserError, FFmpegError):  # `open_video` says what is wrong with it
        return None
    return None if source is None else Video(name or path.stem, path, source)


class FirstPass:
    """A `FrameSource` that gives all frames of a file, once.

    decoder: of the file; frames: its frames, none of them taken; foretold: what the index will say,
    frames' damage and key frames apart; index_dir: see `open_video`.
    """

    def __init__(
        self,
        decoder: Decoder,
        frames: Iterator[VideoFrame],
        foretold: VideoIndex,
        index_dir: str | os.PathLike | None,
    ) -> None:
        self.timestamps = foretold.timestamps
        self.constant_rate = foretold.constant_rate
        self._decoder = decoder
        self._frames: Iterator[VideoFrame] | None = frames
        self._foretold = foretold
        self._index_dir = index_dir

    @classmethod
    def begin(
        cls, path: Path, digest: str, index_dir: str | os.PathLike | None
    ) -> FirstPass | None:
        """None where the packets do not tell enough. Errors are those of `Decoder`."""
        with Decoder(path) as packets:
            ticks, declared = packets.packet_times(), packets.declared_frames
        if ticks is None or (np.diff(ticks) <= 0).any():
            return None
        decoder = Decoder(path)
        try:
            frames = iter(decoder)
            first = next(frames, None)  # which way up they are is told by frames only
            if first is None:
                decoder.close()
                return None
            time_base = decoder.time_base
            rate = measured_rate(ticks, time_base, decoder.declared_rates)
            none = np.zeros(0, dtype=np.uint32)
            unknown = np.zeros(len(ticks), dtype=bool)
            foretold = VideoIndex(
                digest,
                upright_size(first, path),
                rate,
                time_base,
                ticks,
                key_frames=unknown,
                checksums=none,
                clean=unknown,
                seekable=True,
                notes=tuple(length_notes(declared, len(ticks))),
            )
        except BaseException:
            decoder.close()
            raise
        return cls(decoder, chain([first], frames), foretold, index_dir)

    @property
    def digest(self) -> str:
        return self._foretold.digest

    @property
    def size(self) -> tuple[int, int]:
        return self._foretold.size

    @property
    def rate(self) -> Fraction:
        return self._foretold.rate

    @property
    def notes(self) -> tuple[str, ...]:
        return self._foretold.notes

    def frame(self, index: int) -> np.ndarray:
        raise ValueError(f"frame {index}: expected all frames in order, which a first pass reads")

    def read(self, indices: Indices) -> Iterator[tuple[int, np.ndarray]]:
        """All frames; ValueError for others, and the second time."""
        frames, self._frames = self._frames, None
        if frames is None or indices != range(len(self._foretold)):
            raise ValueError("expected one reading of all frames, which a first pass allows")
        with self._decoder:
            builder, number = IndexBuilder(self._decoder), 0
            while (image := self._next(frames, builder, number)) is not None:
                yield number, image
                number += 1

    def close(self) -> None:
        self._decoder.close()

    def _next(
        self, frames: Iterator[VideoFrame], builder: IndexBuilder, number: int
    ) -> np.ndarray | None:
        """The frame of this number as it was foretold; None at the foretold end."""
        foretold, wrong = self._foretold, PacketsMislead(f"{self._decoder.path}, frame {number}")
        try:
            frame = next(frames, None)
            if frame is not None:
                builder.add(frame)
                if builder.damaged or number >= len(foretold) or frame.pts != foretold.pts[number]:
                    raise wrong
                return self._decoder.rgb(frame)
            index = builder.finish(foretold.digest)
        except PacketsMislead:
            raise
        except Exception as error:  # told again by the pass that makes the index
            raise wrong from error
        facts = ("size", "rate", "time_base", "seekable", "notes")
        if any(getattr(index, fact) != getattr(foretold, fact) for fact in facts):
            raise wrong
        if not np.array_equal(index.pts, foretold.pts):
            raise wrong
        keep_index(index, self._index_dir)
        return None
