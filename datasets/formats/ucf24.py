"""UCF101-24: the corrected annotations as a pickle or a MATLAB file.

Pickle: `Class/video -> {numf, label, annotations: [{label, sf, ef, boxes}]}`, bare or under `db`
next to `classes`; sf is 0-based, ef exclusive. MATLAB: `annot(i).{name, num_imgs, tubes(j).{class,
sf, ef, boxes}}`; sf is 1-based, ef inclusive, class 1-based. In both a box is x, y, w, h with
1-based pixels of a 320x240 image. Most boxes are stored as uint8, where x + w wraps around, and so
is the length `numf`, which therefore says nothing of a video of more than 255 frames.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stadet.datasets.footage.info import VideoInfo, find_video
from stadet.datasets.formats.mat_file import load_mat, number
from stadet.datasets.formats.rows import build_video, rescale
from stadet.datasets.formats.safe_pickle import load_pickle
from stadet.detect.boxes import xywh_to_xyxy
from stadet.detect.structures import AnnotationSet
from stadet.engine.errors import UserError, neighbours
from stadet.engine.findings import Findings
from stadet.engine.reading import (
    MAX_FRAMES,
    guarded,
    only_file,
    safe_label,
    safe_name,
    whole_number,
)

UCF24_NAMES = (
    *("Basketball", "BasketballDunk", "Biking", "CliffDiving", "CricketBowling", "Diving"),
    *("Fencing", "FloorGymnastics", "GolfSwing", "HorseRiding", "IceDancing", "LongJump"),
    *("PoleVault", "RopeClimbing", "SalsaSpin", "SkateBoarding", "Skiing", "Skijet"),
    *("SoccerJuggling", "Surfing", "TennisSwing", "TrampolineJumping", "VolleyballSpiking"),
    "WalkingWithDog",
)
ANNOTATION_SIZE = (240, 320)  # (height, width)
_FPS = 25.0  # UCF101's nominal rate, for reading without the footage


@dataclass(frozen=True)
class _Tube:
    label: int  # 0-based
    start: int  # first frame, 0-based
    stop: int  # exclusive
    boxes: np.ndarray  # (N, 4) x, y, w, h, 1-based pixels


@guarded("UCF101-24's annotations")
def read_ucf24(
    path: str | Path,
    *,
    videos: Mapping[str, VideoInfo] | None = None,
    names: Sequence[str] | None = None,
    findings: Findings | None = None,
    annotation_size: tuple[int, int] | None = None,
) -> AnnotationSet:
    """Read `pyannot.pkl` or `finalAnnots.mat`; all frames of a video are looked at.

    videos: facts of the footage, to whose size boxes are scaled from `annotation_size` (240, 320);
    entries without footage are left out and counted. Without `videos` sizes are
    `annotation_size` and a video ends with its last tube or its stated length.
    names: order of classes, by default the file's or UCF101-24's own.
    UserError, naming the video, where a tube's length is not ef - sf, or it passes the end.
    """
    path = only_file(path, (".pkl", ".pickle", ".mat"), "UCF101-24's annotations")
    findings = findings if findings is not None else Findings()
    stated = annotation_size or ANNOTATION_SIZE
    if path.suffix == ".mat":
        classes, entries = UCF24_NAMES, _from_mat(path)
    else:
        classes, entries = _from_pickle(path)
    order = tuple(names) if names else classes
    result = {}
    for name, length, tubes in entries:
        info = _info(name, length, tubes, videos, stated, path)
        if info is None:
            findings.note(path, "annotated videos without footage left out", first=name)
            continue
        if info.name in result:
            raise UserError(f"{path}: two entries are of video {info.name!r}, the second {name!r}")
        columns = [_column(tube.label, classes, order, path, name) for tube in tubes]
        counts = [len(tube.boxes) for tube in tubes]
        for tube in tubes:
            if tube.stop - tube.start != len(tube.boxes):
                raise UserError(
                    f"{path}: {name}: expected {tube.stop - tube.start} boxes for the tube of "
                    f"frames {tube.start}..{tube.stop - 1}, found {len(tube.boxes)}"
                )
        boxes = np.concatenate([np.zeros((0, 4)), *(_corners(tube.boxes) for tube in tubes)])
        result[info.name] = build_video(
            info,
            len(order),
            frames=np.concatenate([[], *(np.arange(t.start, t.stop) for t in tubes)]),
            boxes=rescale(boxes, info, stated, path, findings),
            classes=np.repeat(columns, counts),
            tracks=np.repeat(np.arange(len(tubes)), counts),
            looked_at=np.ones(info.num_frames, dtype=bool),
            source=path,
            findings=findings,
        )
    return AnnotationSet(order, result)


def _corners(boxes: np.ndarray) -> np.ndarray:
    """(N, 4) x, y, w, h of any integer type, 1-based pixels, to xyxy float64 from 0."""
    return xywh_to_xyxy(boxes.astype(np.float64)) - 1  # pixels 1..w cover [0, w]


def _info(
    name: str,
    length: int,
    tubes: Sequence[_Tube],
    videos: Mapping[str, VideoInfo] | None,
    size: tuple[int, int],
    path: Path,
) -> VideoInfo | None:
    if videos is None:
        length = max([length, *(tube.stop for tube in tubes)])
        where = f"{path}: {name}: frames"
        return VideoInfo(name, size, _FPS, whole_number(length, where, least=0, most=MAX_FRAMES))
    found = find_video(name, videos)
    return videos[found] if found is not None else None


def _column(
    label: int, classes: Sequence[str], names: Sequence[str], path: Path, video: str
) -> int:
    if not 0 <= label < len(classes):
        raise UserError(
            f"{path}: {video}: expected a label of 0..{len(classes) - 1}, found {label}"
        )
    name = classes[label]
    if name not in names:
        raise UserError(
            f"{path}: {video}: unknown label {name!r}{neighbours(name, names)}; add it to names"
        )
    return names.index(name)


def _from_pickle(path: Path) -> tuple[tuple[str, ...], Iterator[tuple[str, int, list[_Tube]]]]:
    content = load_pickle(path)
    classes = UCF24_NAMES
    if isinstance(content, dict) and "db" in content:
        classes = tuple(
            safe_label(name, str(path)) for name in content.get("classes") or UCF24_NAMES
        )
        content = content["db"]
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected a dict of videos, found a {type(content).__name__}")
    return classes, _pickle_entries(content, path)


def _pickle_entries(content: dict, path: Path) -> Iterator[tuple[str, int, list[_Tube]]]:
    for name, entry in content.items():
        where = f"{path}: {safe_name(name, str(path))}"
        try:
            tubes = [
                _Tube(
                    *(whole_number(t[key], where) for key in ("label", "sf", "ef")),
                    _boxes(t["boxes"]),
                )
                for t in entry["annotations"]
            ]
            yield name, whole_number(entry["numf"], where), tubes
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(
                f"{path}: {name}: expected numf and annotations of label, sf, ef, boxes; "
                f"found {type(error).__name__}: {error}"
            ) from None


def _from_mat(path: Path) -> Iterator[tuple[str, int, list[_Tube]]]:
    content = load_mat(path)
    if not isinstance(content.get("annot"), list):
        raise UserError(
            f"{path}: expected the struct array 'annot' in this MATLAB file, found none"
        )
    for entry in content["annot"]:
        where = f"{path}: {entry.get('name', '?') if isinstance(entry, dict) else '?'}"
        try:
            tubes = [
                _Tube(
                    whole_number(number(t["class"]), where) - 1,
                    whole_number(number(t["sf"]), where) - 1,
                    whole_number(number(t["ef"]), where),
                    _boxes(t["boxes"]),
                )
                for t in _structs(entry["tubes"])
            ]
            length = whole_number(number(entry["num_imgs"]), where)
            yield safe_name(entry["name"], str(path)), length, tubes
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(
                f"{where}: expected name, num_imgs and tubes of class, sf, ef, boxes; found "
                f"{type(error).__name__}: {error}"
            ) from None


def _structs(value: Any) -> list[dict]:
    """A struct array; an empty matrix stands for none, a cell of structs for those."""
    if isinstance(value, np.ndarray) and not value.size:
        return []
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise ValueError("no struct array of tubes")
    return value


def _boxes(boxes: Any) -> np.ndarray:
    array = np.asarray(boxes)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"expected numbers as boxes, found {array.dtype}")
    return array.reshape(-1, 4)
