"""The cached frames of one video: a file of frames and the index that says they are whole.

Frames are read with `read`, not mapped: the kernel's page cache makes both as fast, but mapped
pages count as the process's resident memory and would grow with the length of the footage.
"""

from __future__ import annotations

import os
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from stadet.engine.errors import UserError
from stadet.engine.files import atomic_write

JPEG, RAW = "jpeg", "raw"


@dataclass(frozen=True, eq=False)
class CachedVideo:
    """The cached frames of one video.

    Attributes:
        path: the file of frames.
        kind: `"jpeg"` or `"raw"`.
        size: (height, width) of the copies.
        frames: (M,) int64 sorted, the frame indices it holds.
        offsets: (M + 1,) int64, where each frame's bytes begin, and the end.
        checksums: (M,) uint32, the CRC-32 of each frame's bytes, compared when a process reads the
            frame for the first time.
    """

    path: Path
    kind: str
    size: tuple[int, int]
    frames: np.ndarray
    offsets: np.ndarray
    checksums: np.ndarray
    _checked: np.ndarray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_checked", np.zeros(len(self.frames), dtype=bool))

    def read(self, frame: int) -> np.ndarray:
        """(h, w, 3) uint8 RGB. KeyError for a frame that is not kept; UserError for a frame that
        was damaged on the disk, and the index is then removed, so that the next run fills it again.
        """
        row = int(np.searchsorted(self.frames, frame))
        if row == len(self.frames) or self.frames[row] != frame:
            raise KeyError(f"{self.path.name}: frame {frame} is not in the cache")
        start, stop = int(self.offsets[row]), int(self.offsets[row + 1])
        content = self._bytes(start, stop - start)
        if not self._checked[row]:
            if zlib.crc32(content) != self.checksums[row]:
                raise self._damaged(frame)
            self._checked[row] = True
        if self.kind == RAW:
            return content.reshape(*self.size, 3)
        import cv2

        image = cv2.imdecode(content, cv2.IMREAD_COLOR)
        if image is None:
            raise self._damaged(frame)
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)

    def _damaged(self, frame: int) -> UserError:
        index = self.path.with_suffix(".npz")
        remedy = "run the command again to rebuild it"
        try:
            index.unlink(missing_ok=True)  # frames without an index count as not there
        except OSError:
            remedy = f"delete {index} and run the command again"
        return UserError(
            f"{self.path}: the cached frame {frame} is damaged (its checksum differs); {remedy}"
        )

    def _bytes(self, start: int, length: int) -> np.ndarray:
        # opened for each read: some microseconds, and nothing to share, fork or pickle
        content = np.empty(length, dtype=np.uint8)
        try:
            with open(self.path, "rb", buffering=0) as stream:
                stream.seek(start)
                found = stream.readinto(content)
        except FileNotFoundError:
            found = 0
        if found != length:
            raise UserError(
                f"{self.path}: expected {length} bytes at {start}, found {found}; the cache was "
                "changed under a running program, run the command again to rebuild it"
            )
        return content


def save_index(index_path: Path, cached: CachedVideo) -> None:
    """Write the index that makes the frames count; call it once they are all in their file."""
    with atomic_write(index_path, "wb") as stream:
        np.savez_compressed(
            stream,
            jpeg=np.int64(cached.kind == JPEG),
            size=np.array(cached.size),
            frames=cached.frames,
            offsets=cached.offsets,
            checksums=cached.checksums,
        )


def load_cached(index_path: Path) -> CachedVideo | None:
    """The cached video of an index file; `None` where it is missing, broken or not whole."""
    try:
        with np.load(index_path, allow_pickle=False) as arrays:
            kind = JPEG if int(arrays["jpeg"]) else RAW
            height, width = (int(side) for side in arrays["size"])
            frames, offsets = arrays["frames"], arrays["offsets"]
            checksums = arrays["checksums"]
        path = index_path.with_suffix(f".{kind}")
        if not len(frames) == len(checksums) == len(offsets) - 1:
            return None
        if os.path.getsize(path) != offsets[-1]:
            return None
    except (OSError, ValueError, LookupError, TypeError, EOFError):
        return None
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError):
        return None  # damaged: the archive's checksums tell
    return CachedVideo(path, kind, (height, width), frames, offsets, checksums)
