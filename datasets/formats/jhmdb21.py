"""J-HMDB-21's puppet masks: `puppet_mask/<class>/<video>/puppet_mask.mat`.

`part_mask` is (height, width, frames), other than 0 on the person; the box is the extent of the
mask and its class the folder's name. The published splits are `<class>_test_split<k>.txt`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from stadet.datasets.footage.info import VideoInfo, find_video
from stadet.datasets.formats.mat_file import load_mat
from stadet.datasets.formats.rows import build_video, class_index, rescale
from stadet.detect.structures import AnnotationSet, VideoAnnotations
from stadet.engine.errors import UserError
from stadet.engine.findings import Findings
from stadet.engine.reading import guarded, read_text, safe_name

JHMDB21_NAMES = (
    *("brush_hair", "catch", "clap", "climb_stairs", "golf", "jump", "kick_ball", "pick", "pour"),
    *("pullup", "push", "run", "shoot_ball", "shoot_bow", "shoot_gun", "sit", "stand"),
    *("swing_baseball", "throw", "walk", "wave"),
)
MASK_FILE = "puppet_mask.mat"


@guarded("J-HMDB-21's puppet masks")
def read_jhmdb21(
    path: str | Path,
    *,
    videos: Mapping[str, VideoInfo],
    names: Sequence[str] | None = None,
    findings: Findings | None = None,
) -> AnnotationSet:
    """Read the folder `puppet_mask`; looked at are the frames that have a mask.

    A mask without a person's pixel is a frame with nothing in it. Boxes are scaled from the mask's
    size to the footage's. names: by default the 21 classes. UserError for files that hold no such
    mask, for unknown classes, and for masks past the end of the footage.
    """
    path = Path(path)
    findings = findings if findings is not None else Findings()
    order = tuple(names) if names else JHMDB21_NAMES
    files = sorted(path.glob(f"*/*/{MASK_FILE}"))
    if not files:
        raise UserError(f"{path}: expected <class>/<video>/{MASK_FILE}, found none")
    result: dict[str, VideoAnnotations] = {}
    for file in files:
        folder, name = file.parent.parent.name, file.parent.name
        key = find_video(f"{folder}/{name}", videos)
        if key is None:
            findings.note(path, "annotated videos without footage left out", first=name)
            continue
        info, masks = videos[key], _masks(file)
        if masks.shape[2] > info.num_frames:
            raise UserError(
                f"{file}: expected masks of at most {info.num_frames} frames, found "
                f"{masks.shape[2]}; the footage is another cut, or truncated"
            )
        label = class_index(folder, order, file, "", findings)
        boxes, frames = mask_boxes(masks)
        result[key] = build_video(
            info,
            len(order),
            frames=frames,
            boxes=rescale(boxes, info, masks.shape[:2], file, findings),
            classes=np.full(len(frames), label),
            tracks=np.zeros(len(frames), dtype=np.int64),
            looked_at=np.arange(info.num_frames) < masks.shape[2],
            source=file,
            findings=findings,
        )
    return AnnotationSet(order, result)


def mask_boxes(masks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(H, W, F) masks to the extents (M, 4) xyxy pixels of those that have a pixel, and their
    frames (M,)."""
    solid = masks != 0
    frames = np.flatnonzero(solid.any(axis=(0, 1)))
    solid = solid[:, :, frames]
    rows, columns = solid.any(axis=1), solid.any(axis=0)  # (H, M), (W, M)
    height, width = rows.shape[0], columns.shape[0]
    corners = [
        columns.argmax(axis=0),
        rows.argmax(axis=0),
        width - columns[::-1].argmax(axis=0),
        height - rows[::-1].argmax(axis=0),
    ]
    return np.stack(corners, axis=1).astype(np.float64).reshape(-1, 4), frames


@guarded("lists of J-HMDB-21")
def read_jhmdb21_split(folder: str | Path, side: str, number: int) -> list[str]:
    """Names `<class>/<video>` of `side` ("train" or "test") in published split `number`, 1 to 3.

    The files also of HMDB51: a line is a video and 1 (train), 2 (test) or 0 (neither).
    """
    folder = Path(folder)
    files = sorted(folder.glob(f"*_test_split{number}.txt"))
    if not files:
        raise UserError(f"{folder}: expected files <class>_test_split{number}.txt, found none")
    wanted = {"train": "1", "test": "2"}[side]
    names = []
    for file in files:
        label = file.name.removesuffix(f"_test_split{number}.txt")
        for line, text in enumerate(read_text(file, "a list of videos").splitlines(), start=1):
            words = text.split()
            if not words:
                continue
            if len(words) != 2 or words[1] not in ("0", "1", "2"):
                raise UserError(
                    f"{file}, line {line}: expected a video and 0, 1 or 2, found {text[:60]!r}"
                )
            if words[1] == wanted:
                names.append(safe_name(f"{label}/{Path(words[0]).stem}", f"{file}, line {line}"))
    return names


def _masks(file: Path) -> np.ndarray:
    content = load_mat(file)
    masks = content.get("part_mask")
    flat = not isinstance(masks, np.ndarray) or masks.ndim not in (2, 3) or not masks.size
    if flat or masks.dtype.kind not in "biuf":
        found = ", ".join(key for key in content if not key.startswith("__")) or "nothing"
        raise UserError(f"{file}: expected part_mask (height, width, frames), found {found}")
    return masks.reshape(*masks.shape[:2], -1)
