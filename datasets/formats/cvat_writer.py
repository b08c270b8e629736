"""CVAT for video 1.1 XML as CVAT itself exports it, ready to be corrected there."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

import numpy as np

from stadet.datasets.formats.keyframes import keyframes
from stadet.detect.structures import NO_TRACK, VideoAnnotations
from stadet.engine.errors import UserError
from stadet.engine.files import atomic_write

UNCERTAIN = "uncertain"  # attribute of boxes that a person should look at


def write_cvat(
    path: str | Path,
    video: VideoAnnotations,
    names: Sequence[str],
    *,
    keyframe_tolerance: float = 0.5,
    uncertain: np.ndarray | None = None,
) -> bool:
    """Write one video's annotations; the class is the track's label.

    Every box is listed, as CVAT does; those that interpolation restores to within
    `keyframe_tolerance` pixels are no keyframes, so that an annotator moves a few boxes, not all. A
    track of several classes becomes one CVAT track a class under a common group.

    uncertain: (M,) bool; the boxes then have a checkbox of that name, which CVAT can filter by, and
    the first box of each stretch is a keyframe, as CVAT keeps attributes at keyframes.

    Returns whether the file alone says which frames were looked at: a CVAT task is a range of
    frames with a step. Where the looked-at frames are not, the task spans the whole video and the
    data set file must narrow it (`looked_at`).
    """
    if video.labels.any(axis=1).sum() != len(video.labels):
        raise UserError(f"{video.name}: a box without a class cannot be written as CVAT")
    frames = np.flatnonzero(video.looked_at)
    steps = np.unique(np.diff(frames))
    exact = len(steps) <= 1
    if not exact:
        frames, steps = np.arange(video.num_frames), np.array([1])
    step = int(steps[0]) if len(steps) else 1
    with atomic_write(path) as stream:
        stream.write('<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n')
        stream.write("  <version>1.1</version>\n")
        stream.writelines(_meta(video, names, frames, step, uncertain is not None))
        for number, (label, group, rows) in enumerate(_tracks(video)):
            group_text = f' group_id="{group}"' if group else ""
            label_text = quoteattr(names[label])
            stream.write(f'  <track id="{number}" label={label_text} source="file"{group_text}>\n')
            stream.writelines(_boxes(video, rows, frames, step, keyframe_tolerance, uncertain))
            stream.write("  </track>\n")
        stream.write("</annotations>\n")
    return exact


def _meta(
    video: VideoAnnotations,
    names: Sequence[str],
    frames: np.ndarray,
    step: int,
    with_uncertain: bool,
) -> Iterator[str]:
    first, last = (int(frames[0]), int(frames[-1])) if len(frames) else (0, -1)
    yield "  <meta>\n    <task>\n"
    yield f"      <name>{escape(video.name)}</name>\n"
    yield f"      <size>{len(frames)}</size>\n      <mode>interpolation</mode>\n"
    yield f"      <start_frame>{first}</start_frame>\n      <stop_frame>{last}</stop_frame>\n"
    yield f"      <frame_filter>{f'step={step}' if step > 1 else ''}</frame_filter>\n"
    yield "      <labels>\n"
    attribute = (
        f"<attribute><name>{UNCERTAIN}</name><mutable>True</mutable><input_type>checkbox"
        "</input_type><default_value>false</default_value><values>false</values></attribute>"
    )
    own = attribute if with_uncertain else ""
    for name in names:
        yield f"        <label><name>{escape(name)}</name><attributes>{own}</attributes></label>\n"
    yield "      </labels>\n"
    height, width = video.size
    yield (
        f"      <original_size><width>{width}</width><height>{height}</height></original_size>\n"
        f"    </task>\n    <source>{escape(video.name)}.mp4</source>\n  </meta>\n"
    )


def _tracks(video: VideoAnnotations) -> Iterator[tuple[int, int, list[int]]]:
    """(class, group or 0, rows in order of frame) of every CVAT track; a box without a track
    is alone, and a second box of one track on one frame opens another."""
    rows_of: dict[tuple[int, int, int], list[int]] = defaultdict(list)
    seen: dict[tuple[int, int, int], int] = defaultdict(int)
    for row, label in np.argwhere(video.labels).tolist():
        track, frame = int(video.track_ids[row]), int(video.frames[row])
        if track == NO_TRACK:
            rows_of[NO_TRACK - 1 - row, label, 0].append(row)
            continue
        rows_of[track, label, seen[track, label, frame]].append(row)
        seen[track, label, frame] += 1
    count: dict[int, int] = defaultdict(int)
    for track, _, _ in rows_of:
        count[track] += 1
    groups = {track: n for n, track in enumerate((t for t in count if count[t] > 1), start=1)}
    for (track, label, _), rows in sorted(rows_of.items(), key=lambda item: item[1][0]):
        yield label, groups.get(track, 0), rows


def _boxes(
    video: VideoAnnotations,
    rows: list[int],
    frames: np.ndarray,
    step: int,
    tolerance: float,
    uncertain: np.ndarray | None,
) -> Iterator[str]:
    position = (video.frames[rows] - frames[0]) // step
    starts = np.flatnonzero(np.diff(position) > 1) + 1
    for run in np.split(np.asarray(rows), starts):
        marks = None if uncertain is None else uncertain[run]
        fixed = None if marks is None else np.diff(marks, prepend=marks[:1])
        key = keyframes(video.boxes[run], tolerance, fixed)
        for place, (row, is_key) in enumerate(zip(run.tolist(), key.tolist(), strict=True)):
            mark = None if marks is None else bool(marks[place])
            frame = int(video.frames[row])
            yield _box(frame, video.boxes[row], outside=False, keyframe=is_key, uncertain=mark)
        end = int(video.frames[run[-1]]) + step
        if end <= frames[-1]:
            yield _box(end, video.boxes[run[-1]], outside=True, keyframe=True, uncertain=mark)


def _box(
    frame: int, box: np.ndarray, *, outside: bool, keyframe: bool, uncertain: bool | None
) -> str:
    x1, y1, x2, y2 = (f"{side:.4f}".rstrip("0").rstrip(".") for side in box)
    inner = ""
    if uncertain is not None:
        value = "true" if uncertain else "false"
        inner = f'\n      <attribute name="{UNCERTAIN}">{value}</attribute>\n    '
    return (
        f'    <box frame="{frame}" outside="{outside:d}" occluded="0" keyframe="{keyframe:d}" '
        f'xtl="{x1}" ytl="{y1}" xbr="{x2}" ybr="{y2}" z_order="0">{inner}</box>\n'
    )
