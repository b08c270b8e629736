"""Keypoint sets as the sign-language report stores them: arrays of frames, keypoints and labels.

A folder `train`, `val` or `test` (any capitals) holds `X_<side>_frames.npy` (N, T, H, W, 3),
`X_<side>_keypoints.npy` (N, T, K) and `y_<side>.npy` (N,); next to the folders, or in one of them,
`label_encoder.json` maps each class name to its number. Sets that `stad make-keypoints` wrote also
have `X_<side>_found.npy` (N, T, 4): which parts of the body each frame shows.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stadet.engine.errors import UserError
from stadet.engine.files import atomic_write
from stadet.engine.reading import guarded, parse_whole, read_json, safe_label, shown, whole_number

NUM_KEYPOINTS = 1662  # a frame: the report's, in the order of `stadet.classify.keypoints`


@dataclass(frozen=True, eq=False)
class KeypointSet:
    """One side of a set; the arrays are memory maps.

    Attributes:
        frames: (N, T, H, W, 3) RGB, uint8 or floats as stored.
        keypoints: (N, T, K) float.
        labels: (N,) int64 into names.
        names: the classes by their number.
    """

    frames: np.ndarray
    keypoints: np.ndarray
    labels: np.ndarray
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)


@guarded("a keypoint set")
def read_keypoint_set(
    root: str | os.PathLike, side: str, *, num_keypoints: int = NUM_KEYPOINTS
) -> KeypointSet:
    """Read one side (`"train"`, `"val"` or `"test"`) of a set.

    Raises UserError for a missing or damaged file, arrays that do not belong together, keypoints of
    another length, and labels that `label_encoder.json` does not name.
    """
    root = Path(root)
    folder = _side_folder(root, side)
    names = read_label_encoder(_encoder_path(root, folder))
    frames = _load(folder / f"X_{side}_frames.npy", 5)
    keypoints = _load(folder / f"X_{side}_keypoints.npy", 3)
    labels = _load(folder / f"y_{side}.npy", 1)
    if frames.shape[-1] != 3:
        raise UserError(
            f"{folder / f'X_{side}_frames.npy'}: expected (N, T, H, W, 3), found {frames.shape}"
        )
    if keypoints.shape[2] != num_keypoints:
        raise UserError(
            f"{folder / f'X_{side}_keypoints.npy'}: expected {num_keypoints} keypoint values a "
            f"frame, found {keypoints.shape[2]}; extract them again or name their number"
        )
    if frames.shape[:2] != keypoints.shape[:2] or len(frames) != len(labels):
        raise UserError(
            f"{folder}: expected frames, keypoints and labels of the same clips, found "
            f"{frames.shape[:2]}, {keypoints.shape[:2]} and {len(labels)}"
        )
    numbers = np.asarray(labels).astype(np.int64)
    wrong = (numbers < 0) | (numbers >= len(names)) | (numbers != np.asarray(labels))
    if wrong.any():
        first = int(np.flatnonzero(wrong)[0])
        raise UserError(
            f"{folder / f'y_{side}.npy'}, clip {first}: label {labels[first]} is none of the "
            f"{len(names)} classes of label_encoder.json"
        )
    return KeypointSet(frames, keypoints, numbers, names)


def read_label_encoder(path: str | os.PathLike) -> tuple[str, ...]:
    """Class names in the order of their numbers, which must be 0, 1, .. once each."""
    content = read_json(path, "class names with their numbers")
    if not isinstance(content, dict) or not content:
        raise UserError(f"{path}: expected class names with their numbers, found {shown(content)}")
    number_of = {}
    for name, value in content.items():
        where = f"{path}: {shown(name)}"
        read = parse_whole if isinstance(value, str) else whole_number
        number_of[safe_label(name, str(path))] = read(value, where)
    if sorted(number_of.values()) != list(range(len(content))):
        raise UserError(
            f"{path}: expected the numbers 0 to {len(content) - 1} once each, found "
            f"{shown(list(content.values()))}"
        )
    return tuple(sorted(number_of, key=number_of.__getitem__))


def write_keypoint_side(
    folder: Path,
    side: str,
    frames: np.ndarray,
    keypoints: np.ndarray,
    labels: np.ndarray,
    found: np.ndarray,
) -> None:
    """Write one side: frames (N, T, H, W, 3) uint8, keypoints (N, T, K), labels (N,), found
    (N, T, parts) bool."""
    folder.mkdir(parents=True, exist_ok=True)
    columns = {"X_{}_frames": frames, "X_{}_keypoints": keypoints, "X_{}_found": found}
    for name, array in {**columns, "y_{}": labels}.items():
        with atomic_write(folder / f"{name.format(side)}.npy", "wb") as stream:
            np.save(stream, array, allow_pickle=False)


def write_label_encoder(path: Path, names: Sequence[str]) -> None:
    with atomic_write(path) as stream:
        json.dump({name: number for number, name in enumerate(names)}, stream, indent=1)


def _side_folder(root: Path, side: str) -> Path:
    """The side's folder, whatever its capitals, or the root itself where the files lie flat."""
    if not root.is_dir():
        raise UserError(f"{root}: no such folder")
    for folder in sorted(root.iterdir()):
        if folder.is_dir() and folder.name.lower() == side.lower():
            return folder
    if (root / f"y_{side}.npy").is_file():
        return root
    raise UserError(f"{root}: expected a folder {side} or a file y_{side}.npy, found neither")


def _encoder_path(root: Path, folder: Path) -> Path:
    for place in (root, folder):
        if (place / "label_encoder.json").is_file():
            return place / "label_encoder.json"
    raise UserError(f"{root}: expected label_encoder.json next to the sides' folders, found none")


def _load(path: Path, ndim: int) -> np.ndarray:
    if not path.is_file():
        raise UserError(f"{path}: expected a .npy array, found no such file")
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # numpy parses the header as Python: it may raise anything
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{path}: not a readable .npy array ({reason[:120]})") from error
    if not isinstance(array, np.ndarray):
        raise UserError(f"{path}: expected one .npy array, found an archive of arrays")
    if array.ndim != ndim:
        raise UserError(f"{path}: expected {ndim} dimensions, found shape {array.shape}")
    if array.dtype.kind not in "fiu":
        raise UserError(f"{path}: expected numbers, found {array.dtype}")
    return array
