"""A folder of numbered images read as a video."""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

from stadet.datasets.footage.index import DEFAULT_FPS
from stadet.detect.clock import exact_rate
from stadet.engine.errors import UserError

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png"}


class FrameFolder:
    """A `FrameSource` over images sorted by the last number in their names; index 0 is the lowest.

    fps: frames a second; 25, noted, where it is `None`.
    Raises `UserError` for a folder without numbered images, a gap, a number that occurs twice, an
    image that cannot be read or has another size than the first.
    """

    def __init__(self, path: Path, fps: float | Fraction | None = None):
        self._files = _numbered_images(path)
        self.first_number = int(re.findall(r"[0-9]{1,18}", self._files[0].stem)[-1])
        self.notes: tuple[str, ...] = ()
        if fps is None:
            self.notes = (f"a frame folder has no rate; taken as {DEFAULT_FPS} fps",)
        elif not fps > 0:
            raise UserError(f"{path}: expected an fps above 0, found {fps}; give its frame rate")
        self.rate = DEFAULT_FPS if fps is None else exact_rate(fps)
        self.timestamps = np.arange(len(self._files)) / float(self.rate)
        self.constant_rate = True
        self.digest = _digest(self._files)
        height, width, _ = self._read(0).shape
        self.size: tuple[int, int] = (height, width)

    def frame(self, index: int) -> np.ndarray:
        image = self._read(index)
        if image.shape[:2] != self.size:
            raise UserError(
                f"{self._files[index]} (frame {index}): expected {self.size[1]}x{self.size[0]} "
                f"pixels as in {self._files[0].name}, found {image.shape[1]}x{image.shape[0]}; "
                "a video's frames have one size"
            )
        return image

    def _read(self, index: int) -> np.ndarray:
        """An image of any size, (H, W, 3) uint8 RGB."""
        import cv2

        path = self._files[index]
        content = np.fromfile(path, dtype=np.uint8)
        image = cv2.imdecode(content, cv2.IMREAD_COLOR) if len(content) else None
        if image is None:
            raise UserError(
                f"{path} (frame {index}): expected an image, found {len(content)} bytes that "
                "cannot be decoded; copy it again"
            )
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)

    def read(self, indices: Sequence[int] | np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        for index in indices:
            yield int(index), self.frame(int(index))

    def close(self) -> None:
        """Nothing is held open."""


def _numbered_images(folder: Path) -> list[Path]:
    images = [
        path
        for path in folder.iterdir()
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")
    ]
    if not images:
        raise UserError(
            f"{folder}: expected numbered images ({', '.join(sorted(IMAGE_SUFFIXES))}), "
            "found none; is it the folder of one video?"
        )
    by_number: dict[int, Path] = {}
    for path in sorted(images):
        numbers = re.findall(r"[0-9]{1,18}", path.stem)
        if not numbers:
            raise UserError(
                f"{path}: expected a frame number in the name of every image, found none; "
                "name it like 00001.jpg or move it out"
            )
        number = int(numbers[-1])
        if number in by_number:
            raise UserError(
                f"{folder}: expected each frame once, found number {number} twice "
                f"({by_number[number].name}, {path.name}); remove one"
            )
        by_number[number] = path
    numbers = sorted(by_number)
    for before, after in itertools.pairwise(numbers):
        if after != before + 1:
            raise UserError(
                f"{folder}: expected consecutive frame numbers, found {before} followed by "
                f"{after} ({by_number[after].name}); a missing frame would shift all that follow"
            )
    return [by_number[number] for number in numbers]


def _digest(files: list[Path]) -> str:
    """Key of the content: names and lengths of all images, content of up to 64 spread over them."""
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.name}\0{path.stat().st_size}\n".encode())
    for place in np.unique(np.linspace(0, len(files) - 1, 64).astype(int)).tolist():
        digest.update(files[place].read_bytes())
    return digest.hexdigest()[:16]
