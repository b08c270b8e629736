"""Videos in folders by class to a keypoint set, through MediaPipe Holistic."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from stadet.classify.keypoints import PARTS, extract_keypoints, open_holistic
from stadet.datasets.footage.video import Video
from stadet.datasets.labelled.clip_sampling import uniform_frames
from stadet.datasets.labelled.folders import read_class_folders
from stadet.datasets.labelled.keypoints import write_keypoint_side, write_label_encoder
from stadet.datasets.labelled.labelled_video import (
    ClassificationSet,
    check_sides,
    open_all,
    without_bad,
)
from stadet.datasets.labelled.splits import deal_sides
from stadet.engine.files import atomic_directory
from stadet.engine.limits import expect_within
from stadet.engine.progress import progress_bar


@dataclass(frozen=True, eq=False)
class KeypointSet:
    """A written keypoint set.

    Attributes:
        folder: where it lies.
        data: its videos, classes and sides.
        shares: part of the body -> share of the frames that show it.
    """

    folder: Path
    data: ClassificationSet
    shares: dict[str, float]


def make_keypoints(
    data: str | Path,
    out: str | Path,
    *,
    frames: int = 20,
    size: tuple[int, int] = (64, 64),
    val: float = 0.2,
    seed: int = 0,
    skip_bad: bool = False,
) -> KeypointSet:
    """Find body, face and hand keypoints of labelled videos, and write them as a keypoint set.

    Args:
        data: a folder of videos a class, below train/, val/ and test/ or all together.
        out: folder to write, new or empty.
        frames: of each video, evenly spread.
        size: (height, width) of the stored frames; keypoints come from whole frames.
        val: share for validation, where the folders name no sides.
        seed: of that split.
        skip_bad: continue without videos that cannot be used.

    Raises:
        UserError: where MediaPipe is missing, and for unusable videos (unless `skip_bad`).
    """
    expect_within("frames", frames, 1)
    expect_within("size", size, 1)
    expect_within("val", val, 0, 0.9)
    open_holistic().close()  # says at once where MediaPipe is missing
    found = read_class_folders(data)
    videos, bad = open_all(found)  # before the long part, not in the middle of it
    found = without_bad(found, bad, skip=skip_bad, remedy="repair or remove them")
    found = deal_sides(found, "given" if found.sides else "stratified", val=val, seed=seed)
    check_sides(found, str(data))
    seen = np.zeros(len(PARTS))
    with (
        atomic_directory(out) as folder,
        progress_bar(description="keypoints", total=len(found), unit="video") as bar,
    ):
        write_label_encoder(folder / "label_encoder.json", found.names)
        for side in found.sides:
            chosen, clips = found.side(side), []
            for item in chosen.items:
                clips.append(_clip(videos[item.name], frames, size))
                bar.update()
            pixels, values, parts = (np.stack(column) for column in zip(*clips, strict=True))
            write_keypoint_side(folder / side, side, pixels, values, chosen.labels, parts)
            seen += parts.sum(axis=(0, 1))
    shares = seen / (len(found) * frames)
    return KeypointSet(Path(out), found, dict(zip(PARTS, shares.tolist(), strict=True)))


def _clip(
    video: Video, length: int, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Frames (T, h, w, 3) uint8, keypoints (T, 1662) and found parts (T, 4) of one video."""
    wanted = uniform_frames(len(video), length)
    indices, place = np.unique(wanted, return_inverse=True)  # a short video repeats frames
    frames = [frame for _, frame in video.read(indices)]
    keypoints = extract_keypoints(frames)
    small = np.stack(
        [cv2.resize(f, (size[1], size[0]), interpolation=cv2.INTER_AREA) for f in frames]
    )
    return small[place], keypoints.values[place], keypoints.found[place]
