"""Index of a video file from one decoding pass: length, timestamps, fps, key frames.

Containers cannot be trusted for any of these (raw MPEG-4 streams declare no length and a wrong
rate, stream-cut files count frames that are never shown), so the file is decoded once and the
result kept in a small file in the user's cache folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stadet.engine.cache_folder import cache_folder
from stadet.engine.errors import UserError
from stadet.engine.files import atomic_write
from stadet.engine.progress import progress_bar
from stadet.engine.reading import guarded

if TYPE_CHECKING:
    from av import VideoFrame

    from stadet.datasets.footage.decode import Decoder

MAX_DELAY = 16  # frames that a decoder may hold back to put them in order (H.264, HEVC)
INDEX_VERSION = 2
DEFAULT_FPS = Fraction(25)  # where neither timestamps nor the file say
COMMON_RATES = [
    *(Fraction(rate) for rate in (10, 12, 15, 20, 24, 25, 30, 48, 50, 60, 100, 120)),
    *(Fraction(rate * 1000, 1001) for rate in (15, 24, 30, 60, 120)),
]
WHOLE_DIGEST_BYTES = 16 << 20
SAMPLES, SAMPLE_BYTES = 64, 64 << 10


@dataclass(frozen=True, eq=False)
class VideoIndex:
    """The facts of one video file of F frames.

    Attributes:
        digest: key of the file's content.
        size: (height, width) upright.
        rate: frames a second.
        pts: (F,) int64 presentation times in ticks of `time_base` seconds, strictly increasing.
        key_frames: (F,) bool, undamaged ones.
        checksums: (K,) uint32 of their brightness, so that a seek can be verified.
        clean: (F,) bool: no damage from its last undamaged key frame on, so that decoding from
            there gives what a pass from the start gives.
        seekable: False where the file's own timestamps were unusable and `pts` counts frames
            instead.
        notes: what a user should know (damage, missing frames), one line each.
    """

    digest: str
    size: tuple[int, int]
    rate: Fraction
    time_base: Fraction
    pts: np.ndarray
    key_frames: np.ndarray
    checksums: np.ndarray
    clean: np.ndarray
    seekable: bool
    notes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.pts)

    @property
    def timestamps(self) -> np.ndarray:
        """(F,) seconds from the first frame."""
        return (self.pts - self.pts[0]) * float(self.time_base)

    @property
    def constant_rate(self) -> bool:
        """Are all timestamps those of a constant rate, up to the rounding of a tick?"""
        return _agrees(self.pts, self.time_base, self.rate)


def content_digest(path: str | os.PathLike) -> str:
    """16 hexadecimal digits for a file's content: of all of it up to 16 MiB, else of its length
    and 64 blocks of 64 KiB spread from its first to its last byte."""
    length = os.stat(path).st_size
    digest = hashlib.sha256(str(length).encode())
    with open(path, "rb") as stream:
        if length <= WHOLE_DIGEST_BYTES:
            digest.update(stream.read())
        else:
            for place in np.linspace(0, length - SAMPLE_BYTES, SAMPLES).astype(int).tolist():
                stream.seek(place)
                digest.update(stream.read(SAMPLE_BYTES))
    return digest.hexdigest()[:16]


@guarded("a video")
def load_or_build_index(
    path: str | os.PathLike, index_dir: str | os.PathLike | None = None
) -> VideoIndex:
    """The index of a video file, read where it is kept or made by decoding the file once.

    It is kept as `DIGEST.npz` in `index_dir`, by default the user's cache folder
    (`stadet.engine.cache_folder`, "video-index"), and never next to the video. An index of other
    content or of another version is made again; where none can be kept the video is decoded at
    every opening.
    Raises `UserError` for a file that is no video.
    """
    path = Path(path)
    if not path.is_file() or path.stat().st_size == 0:
        return _build(path, "")  # raises
    digest = content_digest(path)
    index = kept_index(digest, index_dir)
    if index is None:
        index = _build(path, digest)
        keep_index(index, index_dir)
    return index


def kept_index(digest: str, index_dir: str | os.PathLike | None = None) -> VideoIndex | None:
    """The index that is kept of this content; None without one."""
    return _load(_place(digest, index_dir), digest)


def keep_index(index: VideoIndex, index_dir: str | os.PathLike | None = None) -> None:
    """Keep an index where `load_or_build_index` finds it, if that place can be written."""
    with contextlib.suppress(OSError, UserError):  # an index only saves time
        _save(index, _place(index.digest, index_dir))


def _place(digest: str, index_dir: str | os.PathLike | None) -> Path:
    folder = cache_folder("video-index") if index_dir is None else Path(index_dir)
    return folder / f"{digest}.npz"


def _save(index: VideoIndex, place: Path) -> None:
    header = {
        "version": INDEX_VERSION,
        "digest": index.digest,
        "size": index.size,
        "rate": str(index.rate),
        "time_base": str(index.time_base),
        "seekable": index.seekable,
        "notes": index.notes,
    }
    with atomic_write(place, "wb") as stream:
        np.savez_compressed(
            stream,
            header=np.frombuffer(json.dumps(header).encode(), dtype=np.uint8),
            pts=np.diff(index.pts, prepend=0),  # differences compress well
            key_frames=np.packbits(index.key_frames),
            checksums=index.checksums,
            clean=np.packbits(index.clean),
        )


def _load(place: Path, digest: str) -> VideoIndex | None:
    """The index kept at `place`; `None` where there is none, an unreadable or an outdated one."""
    try:
        with np.load(place, allow_pickle=False) as arrays:
            header = json.loads(arrays["header"].tobytes())
            if header["version"] != INDEX_VERSION or header["digest"] != digest:
                return None
            pts = np.cumsum(arrays["pts"])
            key_frames = np.unpackbits(arrays["key_frames"], count=len(pts)).astype(bool)
            return VideoIndex(
                digest,
                (int(header["size"][0]), int(header["size"][1])),
                Fraction(header["rate"]),
                Fraction(header["time_base"]),
                pts,
                key_frames,
                arrays["checksums"],
                np.unpackbits(arrays["clean"], count=len(pts)).astype(bool),
                bool(header["seekable"]),
                tuple(header["notes"]),
            )
    except Exception:  # damaged in any way: it is made again
        return None


def _build(path: Path, digest: str) -> VideoIndex:
    from stadet.datasets.footage.decode import Decoder

    with (
        Decoder(path) as decoder,
        progress_bar(
            description=f"indexing {path.name}", total=decoder.declared_frames or None, unit="frame"
        ) as bar,
    ):
        builder = IndexBuilder(decoder)
        for frame in decoder:
            builder.add(frame)
            bar.update()
        return builder.finish(digest)


class IndexBuilder:
    """The index of a file from the frames of a pass over it, each as it comes.

    Attributes:
        damaged: whether a frame or a packet so far was damaged.
    """

    def __init__(self, decoder: Decoder) -> None:
        self.damaged = False
        self._decoder = decoder
        self._pts: list[int | None] = []
        self._key_frames: list[bool] = []
        self._checksums: list[int] = []
        self._damage: list[int] = []  # frames that had come out when damage was met
        self._seen_damage = 0
        self._corrupt: list[int] = []
        self._size: tuple[int, int] | None = None

    def add(self, frame: VideoFrame) -> None:
        """The next frame. UserError where its size is another one."""
        from stadet.datasets.footage.decode import upright_size

        number, size, path = len(self._pts), self._size, self._decoder.path
        found = upright_size(frame, path)
        if size is not None and found != size:
            raise UserError(
                f"{path}: expected one size, found {size[1]}x{size[0]} up to frame "
                f"{number - 1} and {found[1]}x{found[0]} at frame {number}; re-encode the video"
            )
        self._size = found
        self._pts.append(frame.pts)
        self._key_frames.append(bool(frame.key_frame) and not frame.is_corrupt)
        if self._key_frames[-1]:
            self._checksums.append(frame_checksum(frame))
        if frame.is_corrupt:
            self._corrupt.append(number)
        if frame.is_corrupt or self._decoder.damaged > self._seen_damage:
            self._damage.append(number)
            self._seen_damage = self._decoder.damaged
            self.damaged = True

    def finish(self, digest: str) -> VideoIndex:
        """The index, once the pass is over. UserError where no frame came."""
        pts, decoder = self._pts, self._decoder
        if self._size is None:
            raise UserError(
                f"{decoder.path}: expected a video, found no frame that can be decoded; copy or "
                "encode it again"
            )
        notes = length_notes(decoder.declared_frames, len(pts))
        if decoder.damaged:
            notes.append(f"{decoder.damaged} damaged packets were left out")
        if self._corrupt:
            notes.append(
                f"{len(self._corrupt)} frames are damaged, the first is frame {self._corrupt[0]}"
            )
        time_base, rates = decoder.time_base, decoder.declared_rates
        ticks = np.array([-1 if tick is None else tick for tick in pts], dtype=np.int64)
        rising = None not in pts and bool((np.diff(ticks.astype(np.float64)) > 0).all())
        seekable = rising and time_base > 0
        if seekable:
            rate = measured_rate(ticks, time_base, rates)
        else:
            rate = next(iter(rates), DEFAULT_FPS)
            ticks, time_base = np.arange(len(pts)), 1 / rate
            notes.append(f"no usable timestamps; frames are taken as {float(rate):g} a second")
        return VideoIndex(
            digest,
            self._size,
            rate,
            time_base,
            ticks,
            np.array(self._key_frames),
            np.array(self._checksums, dtype=np.uint32),
            clean_frames(np.array(self._key_frames), self._damage),
            seekable,
            tuple(notes),
        )


def length_notes(declared: int, found: int) -> list[str]:
    """A line where a file declares more frames than it has."""
    if declared <= found:
        return []
    return [
        f"the file declares {declared} frames, {found} can be decoded and count (cut off, or cut "
        "by stream copy)"
    ]


def clean_frames(key_frames: np.ndarray, damage: Sequence[int]) -> np.ndarray:
    """(F,) bool from undamaged key frames (F,) bool and the numbers of the frames that came out
    when damage was met.

    A packet is decoded up to `MAX_DELAY` frames before its own comes out, so a key frame that comes
    out sooner after the damage may already be behind it.
    """
    clean = np.ones(len(key_frames), dtype=bool)
    starts = np.flatnonzero(key_frames)
    for number in damage:
        later = starts[starts > number + MAX_DELAY]
        clean[number : later[0] if len(later) else None] = False
    return clean


def frame_checksum(frame: VideoFrame) -> int:
    """CRC-32 of a frame's first plane (brightness), as it was decoded."""
    return zlib.crc32(frame.planes[0])


def measured_rate(pts: np.ndarray, time_base: Fraction, declared: Sequence[Fraction]) -> Fraction:
    """Frames a second from strictly increasing timestamps (F,) in ticks of `time_base`.

    A declared or common rate is taken where every timestamp agrees with it up to the rounding of a
    tick (Matroska's ticks are whole milliseconds); otherwise, as under a variable rate, the mean.
    """
    if len(pts) < 2:
        return next(iter(declared), DEFAULT_FPS)
    for rate in [*declared, *COMMON_RATES]:
        if _agrees(pts, time_base, rate):
            return rate
    mean = Fraction(len(pts) - 1) / (int(pts[-1] - pts[0]) * time_base)
    return mean.limit_denominator(1_000_000)


def _agrees(pts: np.ndarray, time_base: Fraction, rate: Fraction) -> bool:
    """Is every timestamp within a tick of its place under `rate`?

    Where a tick is a good part of a frame (AVI's ticks are whole frames) that would hide dropped
    frames, so there the places must be met exactly.
    """
    ticks_a_frame = float(1 / (rate * time_base))
    tolerance = 1.0 if ticks_a_frame > 4 else 1e-6
    return bool(np.abs(pts - pts[0] - np.arange(len(pts)) * ticks_a_frame).max() <= tolerance)
