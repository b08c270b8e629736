"""The cached frames of one video: a file of frames and the index that says they are whole.

Frames are read with `read`, not mapped: the kernel's page cache makes both as fast, but mapped
pages count as the process's resident memory and would grow with the length of the footage.
"""

from __future__ import annotations

import os
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stadet.engine.errors import UserError
from stadet.engine.files import atomic_write

JPEG, RAW = "jpeg", "raw"


@dataclass(frozen=True, eq=False)
class CachedVideo:
    """The cached frames of one video.

    path: the file of frames; kind: `"jpeg"` or `"raw"`; size: (height, width) of the copies;
    frames: (M,) int64 sorted, the frame indices it holds; offsets: (M + 1,) int64, where each
    frame's bytes begin, and the end.
    """

    path: Path
    kind: str
    size: tuple[int, int]
    frames: np.ndarray
    offsets: np.ndarray

    def read(self, frame: int) -> np.ndarray:
        """(h, w, 3) uint8 RGB. KeyError for a frame that is not kept."""
        row = int(np.searchsorted(self.frames, frame))
        if row == len(self.frames) or self.frames[row] != frame:
            raise KeyError(f"{self.path.name}: frame {frame} is not in the cache")
        start, stop = int(self.offsets[row]), int(self.offsets[row + 1])
        content = self._bytes(start, stop - start)
        if self.kind == RAW:
            return content.reshape(*self.size, 3)
        import cv2

        image = cv2.imdecode(content, cv2.IMREAD_COLOR)
        if image is None:
            raise UserError(
                f"{self.path} (frame {frame}): expected a cached frame, found bytes that cannot be "
                "decoded; delete the cache folder and run the command again"
            )
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)

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
        )


def load_cached(index_path: Path) -> CachedVideo | None:
    """The cached video of an index file; `None` where it is missing, broken or not whole."""
    try:
        with np.load(index_path, allow_pickle=False) as arrays:
            kind = JPEG if int(arrays["jpeg"]) else RAW
            height, width = (int(side) for side in arrays["size"])
            frames, offsets = arrays["frames"], arrays["offsets"]
        path = index_path.with_suffix(f".{kind}")
        whole = os.path.getsize(path) == offsets[-1]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    return CachedVideo(path, kind, (height, width), frames, offsets) if whole else None
