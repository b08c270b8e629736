"""From a format's loose rows to checked `VideoAnnotations`: the one door for every reader."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from stadet.datasets.footage.info import VideoInfo
from stadet.detect.boxes import area, clip_boxes
from stadet.detect.structures import NO_TRACK, VideoAnnotations
from stadet.engine.errors import UserError, neighbours
from stadet.engine.findings import Findings
from stadet.engine.reading import matched_label, shown

SAME_SHAPE = 0.02  # relative difference of two shapes that is taken for rounding
ROUNDING = 0.01  # pixels: what a file's rounding may push over the edge without a word


def scale_boxes(
    boxes: np.ndarray, size: tuple[int, int], annotation_size: tuple[int, int] | None
) -> np.ndarray:
    """(N, 4) xyxy pixels of an image of `annotation_size` to pixels of one of `size` (h, w)."""
    if annotation_size is None:
        return boxes
    scale_y, scale_x = size[0] / annotation_size[0], size[1] / annotation_size[1]
    return np.asarray(boxes, dtype=np.float64) * [scale_x, scale_y, scale_x, scale_y]


def rescale(
    boxes: np.ndarray,
    info: VideoInfo,
    stated: tuple[int, int] | None,
    source: str | Path,
    findings: Findings,
) -> np.ndarray:
    """(N, 4) xyxy pixels of an image of the `stated` size (height, width) to pixels of the video.

    Another size is noted; UserError where its sides are those of the video swapped, as of footage
    that was turned before or after it was annotated.
    """
    if stated is None or tuple(stated) == tuple(info.size):
        return boxes
    (height, width), (video_height, video_width) = stated, info.size
    here = f"{width}x{height}"
    there = f"{video_width}x{video_height}"
    shape, video_shape = width / height, video_width / video_height
    swapped = abs(shape * video_shape - 1) < SAME_SHAPE and abs(shape**2 - 1) > SAME_SHAPE
    if swapped:
        raise UserError(
            f"{source}: {info.name}: the annotations are of {here} pixels, the video (upright) of "
            f"{there}: their sides are swapped. Where the boxes fit the upright video, set "
            f"annotation_size: [{video_height}, {video_width}]; where they were drawn on the "
            "turned picture, re-encode the video as it was annotated (ffmpeg -noautorotate)"
        )
    stretched = "" if abs(shape / video_shape - 1) < SAME_SHAPE else ", another shape"
    findings.note(
        source,
        "videos annotated at another size than the footage's, boxes scaled",
        first=f"{info.name}: {here} to {there}{stretched}",
    )
    return scale_boxes(boxes, info.size, stated)


def class_index(
    label: str,
    names: Sequence[str],
    source: str | Path,
    place: str = "",
    findings: Findings | None = None,
) -> int:
    """Index of `label` in `names`, or of the only name that differs by case and blanks alone, which
    is noted in `findings`. UserError naming `source` and `place` for an unknown label."""
    found = matched_label(label, names)
    if found is None:
        where = f"{source}: {place}" if place else str(source)
        raise UserError(
            f"{where}: unknown label {shown(label)}{neighbours(label[:200], names)}; expected one "
            f"of the {len(names)} names of the data set; correct it or add it to names"
        )
    if found != label and findings is not None:
        what = "labels that differ by case or blanks taken for a name of the data set"
        findings.note(source, what, first=f"{label!r} for {found!r}")
    return names.index(found)


def build_video(
    info: VideoInfo,
    num_classes: int,
    *,
    frames: Sequence[int] | np.ndarray,
    boxes: Sequence | np.ndarray,
    classes: Sequence[int] | np.ndarray,
    tracks: Sequence[int] | np.ndarray | None = None,
    ignored: Sequence[bool] | np.ndarray | None = None,
    lines: Sequence[str] | None = None,
    looked_at: np.ndarray,
    source: str | Path,
    findings: Findings,
) -> VideoAnnotations:
    """Check, clip, merge and sort the rows of one video.

    frames (M,) 0-based; boxes (M, 4) xyxy pixels of `info.size`; classes (M,) one class index a
    row; tracks (M,) or None; ignored (M,) or None, rows that count neither way
    (`VideoAnnotations.ignored`); lines (M,) words for the place of each row in `source`, where
    known; looked_at (F,) bool. Rows of the same frame, track, ignored flag and exactly the same box
    become one box with several labels; a class that a track's box has twice is dropped, while
    untracked boxes stay two, as the file and its metrics count them. Boxes over the frame's edge
    are clipped; boxes of no area, wholly outside, or on frames nobody looked at are dropped; all
    are counted in `findings`.

    UserError, naming file and line or frame: not finite, or a frame that the video does not have.
    """
    frames = np.asarray(frames, dtype=np.int64).reshape(-1)
    boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    classes = np.asarray(classes, dtype=np.int64).reshape(-1)
    tracks = np.full(len(frames), NO_TRACK) if tracks is None else np.asarray(tracks, np.int64)
    ignored = np.zeros(len(frames), bool) if ignored is None else np.asarray(ignored, bool)

    def place(row: int) -> str:
        frame = f"{info.name} frame {frames[row]}"
        return f"{lines[row]}, {frame}" if lines is not None else frame

    _refuse(
        ~np.isfinite(boxes).all(axis=1),
        lambda row: (
            f"{source}: {place(row)}: expected four finite numbers, found "
            f"{boxes[row].tolist()}; correct or remove the box"
        ),
    )
    _refuse(
        (frames < 0) | (frames >= info.num_frames),
        lambda row: (
            f"{source}: {place(row)}: the video has {info.num_frames} frames "
            f"(0..{info.num_frames - 1}); the annotations belong to another cut of it, or it "
            "is truncated"
        ),
    )
    clipped = clip_boxes(boxes, info.size)
    flat = area(boxes) <= 0
    outside = ~flat & (area(clipped) <= 0)
    moved = ~flat & ~outside & (np.abs(clipped - boxes) > ROUNDING).any(axis=1)
    unseen = ~flat & ~outside & ~looked_at[frames]
    for mask, what in [
        (moved, "boxes over the edge of the frame clipped"),
        (outside, "boxes wholly outside the frame dropped"),
        (flat, "boxes of no area dropped"),
        (unseen, "boxes on frames outside the looked-at ranges left out"),
    ]:
        if mask.any():
            findings.note(source, what, int(mask.sum()), first=place(int(mask.argmax())))
    keep = np.flatnonzero(~flat & ~outside & ~unseen)
    rows, row_of, repeat = _same_box(
        frames[keep], clipped[keep], classes[keep], tracks[keep], ignored[keep]
    )
    twice = keep[(repeat > 0) & (tracks[keep] != NO_TRACK)]
    if len(twice):
        what = "boxes given twice with the same class and track dropped"
        findings.note(source, what, len(twice), first=place(int(twice[0])))
    labels = np.zeros((len(rows), num_classes), dtype=bool)
    labels[row_of, classes[keep]] = True
    rows = keep[rows]
    return VideoAnnotations.build(
        info.name,
        info.size,
        info.fps,
        looked_at,
        frames[rows],
        clipped[rows],
        labels,
        tracks[rows],
        ignored[rows],
        times=info.times,
    )


def _refuse(bad: np.ndarray, message) -> None:
    if bad.any():
        raise UserError(message(int(bad.argmax())))


def _same_box(
    frames: np.ndarray,
    boxes: np.ndarray,
    classes: np.ndarray,
    tracks: np.ndarray,
    ignored: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """First row of each box in order of appearance (R,); for each row its place there (M,) and how
    often its box bore its class before (M,). An untracked repetition is a box of its own."""
    if not len(frames):
        return (np.zeros(0, np.int64),) * 3
    key = np.column_stack(
        [frames, tracks, ignored, boxes]
    )  # exact in float64: frames are below 2**53
    _, box = np.unique(key, axis=0, return_inverse=True)
    order = np.lexsort((np.arange(len(box)), classes, box))
    same = (np.diff(box[order]) == 0) & (np.diff(classes[order]) == 0)
    starts = np.flatnonzero(np.concatenate([[True], ~same]))
    repeat = np.empty(len(box), np.int64)
    repeat[order] = np.arange(len(box)) - np.repeat(starts, np.diff([*starts, len(box)]))
    own = np.where(tracks == NO_TRACK, repeat, 0)
    _, first, row_of = np.unique(
        np.column_stack([box, own]), axis=0, return_index=True, return_inverse=True
    )
    by_appearance = np.argsort(first)
    rank = np.empty_like(by_appearance)
    rank[by_appearance] = np.arange(len(first))
    return first[by_appearance], rank[row_of], repeat
