"""Videos: frames by exact 0-based index from a video file or a folder of images."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np

from stadet.detect.clock import Clock
from stadet.engine.errors import UserError, neighbours
from stadet.engine.signatures import checked

VIDEO_SUFFIXES = {
    *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".ts", ".mts", ".m2ts", ".mpg", ".mpeg"),
    *(".wmv", ".flv", ".3gp", ".ogv", ".h264", ".264", ".hevc"),
}


Indices = Sequence[int] | np.ndarray  # of frames


class FrameSource(Protocol):
    """Source of a `Video`: a file (`VideoFile`) or a folder of images (`FrameFolder`)."""

    timestamps: np.ndarray
    constant_rate: bool

    @property
    def digest(self) -> str: ...
    @property
    def size(self) -> tuple[int, int]: ...
    @property
    def rate(self) -> Fraction: ...
    @property
    def notes(self) -> tuple[str, ...]: ...
    def frame(self, index: int) -> np.ndarray: ...
    def read(self, indices: Indices) -> Iterator[tuple[int, np.ndarray]]: ...
    def close(self) -> None: ...


class Video:
    """One video: frames (H, W, 3) uint8 RGB by exact 0-based index. Made by `open_video`.

    name: unique in its set; path: the file or folder; notes: what a user should know (damage,
    missing frames, a guessed rate), one line each.
    Keeps at most one decoder open and a frame or two, whatever its length; of all videos the few
    that were read last keep theirs. Can be pickled and sent to a worker process, which opens the
    file for itself, as a forked one does.
    """

    def __init__(self, name: str, path: Path, source: FrameSource):
        self.name = name
        self.path = path
        self._source = source

    def __repr__(self) -> str:
        height, width = self.size
        return f"Video({self.name!r}, {len(self)} frames of {width}x{height} at {self.fps:g} fps)"

    @classmethod
    @checked
    def from_array(
        cls, frames: np.ndarray, *, fps: float | Fraction = 25, name: str = "array"
    ) -> Video:
        """A video of frames in memory.

        Args:
            frames: (T, H, W, 3) uint8 RGB.
            fps: frames per second.
            name: of the video.

        Raises:
            UserError: for an array of another shape or type, and an fps that is not above 0.
        """
        from stadet.datasets.footage.array_frames import ArrayFrames

        return cls(name, Path(name), ArrayFrames(frames, fps))

    def __len__(self) -> int:
        return len(self._source.timestamps)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels, upright."""
        return self._source.size

    @property
    def fps(self) -> float:
        """Frames a second, from the timestamps."""
        return float(self._source.rate)

    @property
    def rate(self) -> Fraction:
        """Frames a second as an exact fraction (30000/1001)."""
        return self._source.rate

    @property
    def constant_rate(self) -> bool:
        """False where frames are not evenly spaced in time."""
        return self._source.constant_rate

    @property
    def timestamps(self) -> np.ndarray:
        """(F,) float64, seconds from the first frame."""
        return self._source.timestamps

    @cached_property
    def clock(self) -> Clock:
        """Converts between frames and seconds."""
        return Clock(self.fps, None if self.constant_rate else self.timestamps)

    @property
    def digest(self) -> str:
        """Key of the content: equal for copies under other names."""
        return self._source.digest

    @property
    def first_number(self) -> int | None:
        """The number in the name of a frame folder's first image; None of a video file."""
        return getattr(self._source, "first_number", None)

    @property
    def notes(self) -> tuple[str, ...]:
        return self._source.notes

    def frame(self, index: int) -> np.ndarray:
        """One frame (H, W, 3) uint8 RGB. IndexError outside the video.

        The next frames of the last one asked for cost no seek.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"{self.name}: frame {index} of {len(self)}")
        return self._source.frame(int(index))

    def frames(
        self, start: int = 0, stop: int | None = None, step: int = 1
    ) -> Iterator[tuple[int, np.ndarray]]:
        """(index, frame) for the frames of `range(start, stop, step)`, step >= 1, in one pass.

        A pass from frame 0 never seeks.
        """
        if step < 1:
            raise ValueError(f"{self.name}: expected a step of at least 1, found {step}")
        return self.read(range(*slice(start, stop, step).indices(len(self))))

    def read(self, indices: Indices) -> Iterator[tuple[int, np.ndarray]]:
        """(index, frame) for strictly increasing frame indices, in one pass; only the long gaps of
        indices that are no `range` are jumped over.

        It goes on with the decoder of the last reading, unless another one uses that.
        """
        if len(indices):
            if not (indices[0] >= 0 and indices[-1] < len(self)):
                raise IndexError(f"{self.name}: frames {indices[0]}..{indices[-1]} of {len(self)}")
            if not isinstance(indices, range) and (np.diff(indices) <= 0).any():
                raise ValueError(f"{self.name}: expected strictly increasing frame indices")
        return self._source.read(indices)

    def close(self) -> None:
        """Close the decoder that the last reading left open; the video can still be read."""
        self._source.close()


@checked
def open_video(
    path: str | os.PathLike,
    *,
    name: str | None = None,
    index_dir: str | os.PathLike | None = None,
    fps: float | Fraction | None = None,
) -> Video:
    """Open a video file or a folder of numbered images.

    Args:
        path: the file or folder.
        name: default: the file's name without suffix, or the folder's name.
        index_dir: folder for the index of a video file (default: as `load_or_build_index`).
        fps: frames per second of a frame folder (default 25); a file's come from its timestamps.

    Raises:
        UserError: where there is nothing, no video, or no frame that can be decoded.
    """
    path = Path(path)
    if path.is_dir():
        from stadet.datasets.footage.frame_folder import FrameFolder

        return Video(name or path.resolve().name, path, FrameFolder(path, fps))
    if fps is not None:
        raise ValueError(f"{path}: fps is for frame folders; a file's comes from its timestamps")
    if not path.exists():
        siblings = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        raise UserError(
            f"{path}: expected a video file or a frame folder, found nothing"
            f"{neighbours(path.name, siblings)}; check the path"
        )
    from stadet.datasets.footage.file import VideoFile
    from stadet.datasets.footage.index import load_or_build_index

    return Video(name or path.stem, path, VideoFile(path, load_or_build_index(path, index_dir)))


def find_videos(folder: str | os.PathLike) -> list[Path]:
    """Video files and frame folders right in `folder`, sorted by name.

    A folder that holds images is a frame folder unless it also holds video files or folders of
    footage: then the images are thumbnails.
    """
    from stadet.datasets.footage.frame_folder import IMAGE_SUFFIXES

    def is_frame_folder(path: Path) -> bool:
        inside = [child for child in path.iterdir() if not child.name.startswith(".")]
        suffixes = {child.suffix.lower() for child in inside}
        if not suffixes & IMAGE_SUFFIXES or suffixes & VIDEO_SUFFIXES:
            return False
        folders = [child for child in inside if child.is_dir() and not child.is_symlink()]
        return not any(find_videos(child) for child in folders)

    def holds_video(path: Path) -> bool:
        if path.name.startswith("."):
            return False
        if path.is_dir():
            return is_frame_folder(path)
        return path.suffix.lower() in VIDEO_SUFFIXES

    return sorted(path for path in Path(folder).iterdir() if holds_video(path))
