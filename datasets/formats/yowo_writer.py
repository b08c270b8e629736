"""Writes what `yowo_layout` reads: label files and numbered images."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from stadet.detect.structures import VideoAnnotations
from stadet.engine.errors import UserError
from stadet.engine.files import atomic_write, disk_error
from stadet.engine.reading import path_below

JPEG_QUALITY = 95


def write_yowo_labels(labels: Path, video: VideoAnnotations) -> None:
    """`labels/<video's name>/00001.txt` for each looked-at frame: `class x1 y1 x2 y2`, class from
    1, pixels of the video; a box of several classes is one line each, a frame without boxes an
    empty file."""
    folder = path_below(labels, video.name)
    video = video.without_ignored_frames()  # the layout knows no ignored region
    for frame in np.flatnonzero(video.looked_at).tolist():
        truth = video[frame]
        with atomic_write(folder / f"{frame + 1:05d}.txt") as stream:
            for box, label in zip(truth.boxes, truth.labels, strict=True):
                corners = " ".join(f"{value:.2f}" for value in box)
                stream.writelines(f"{number + 1} {corners}\n" for number in np.flatnonzero(label))


class FrameFolderWriter:
    """A context manager that writes frames as `00001.jpg`, `00002.jpg`, .. into a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._count = 0

    def __enter__(self) -> FrameFolderWriter:
        self.folder.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, *error: object) -> None:
        return None

    def write(self, image: np.ndarray, time: float | None = None) -> None:
        """Append a frame (H, W, 3) uint8 RGB; a folder keeps no times."""
        import cv2

        self._count += 1
        path = self.folder / f"{self._count:05d}.jpg"
        quality = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
        done, content = cv2.imencode(".jpg", image[:, :, ::-1], quality)
        if not done:
            raise UserError(f"{path}: a frame of {image.shape} cannot be written as JPEG")
        try:
            path.write_bytes(content.tobytes())
        except OSError as error:
            raise disk_error(error, path) from error
