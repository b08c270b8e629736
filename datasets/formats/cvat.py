"""CVAT for video 1.1: tracks of boxes with keyframes, as CVAT exports tasks, jobs and projects.

The looked-at frames are the task's: `<start_frame>`, `<size>` or `<stop_frame>`, and the step of
`<frame_filter>`. Frame numbers are the source video's, as CVAT writes them; a file that counts the
task's own frames 0, 1, .. instead is recognised where its numbers do not fit the former. CVAT for
images 1.1 is read too: its images are the looked-at frames and its boxes have no tracks.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from stadet.datasets.footage.info import VideoInfo, find_video
from stadet.datasets.formats.cvat_document import BY_LABEL, WHAT, Task, read_tasks
from stadet.datasets.formats.cvat_tracks import DenseTrack, Track, interpolate, same_actor
from stadet.datasets.formats.cvat_writer import write_cvat
from stadet.datasets.formats.rows import build_video, class_index, rescale
from stadet.detect.structures import NO_TRACK, AnnotationSet, VideoAnnotations
from stadet.engine.errors import UserError
from stadet.engine.findings import Findings
from stadet.engine.reading import guarded, label_key, matched_label, safe_label, shown

__all__ = ["read_cvat", "write_cvat"]

_NUMBERED = re.compile(r"(?:.*[^0-9])?([0-9]{1,12})")


@dataclass
class _Part:
    """Annotations of one task, in the video's frames: tracks and looked-at frames."""

    task: Task
    looked_at: np.ndarray  # (F,) bool
    tracks: list[tuple[Track, DenseTrack]]  # positions are frames of the video


@guarded(WHAT)
def read_cvat(
    path: str | Path,
    *,
    videos: Mapping[str, VideoInfo],
    names: Sequence[str] | None = None,
    findings: Findings | None = None,
    action: str = BY_LABEL,
    annotation_size: tuple[int, int] | None = None,
) -> AnnotationSet:
    """Read an XML file, a zip that CVAT exported, or a folder of them.

    videos: facts of the footage; a task belongs to the video of its file's path or stem, of its
    `<source>` or of its name, the first that exists. Tasks and jobs of one video are joined where
    their frames are not the same. names: order of classes, by default as declared; labels that
    differ from a name by case and blanks alone are taken for it, and noted.
    action: "label", the name of an attribute (mutable or not) whose value is the class (several
    separated by ";"), or "checkboxes". annotation_size: (height, width) that the boxes refer to; by
    default the file's `<original_size>`, else the video's.

    Turned boxes, ellipses, polygons, masks and skeletons become the boxes around them; frames that
    were deleted in CVAT, or hold a shape without an area, are not looked at. All is noted.

    UserError for broken XML, undeclared labels, frames that are not of the task, NaN, two files of
    the same frames, a file without a video, and a size whose sides are swapped.
    """
    path = Path(path)
    findings = findings if findings is not None else Findings()
    tasks = read_tasks(path, action, findings)
    order = tuple(names) if names else _declared(tasks, findings)
    of_video: dict[str, list[Task]] = defaultdict(list)
    for task in tasks:
        for found, part in _by_video(task, videos):
            of_video[found].append(part)
    result = {
        name: _video(found, videos[name], order, annotation_size, findings)
        for name, found in of_video.items()
    }
    return AnnotationSet(order, result)


def _by_video(task: Task, videos: Mapping[str, VideoInfo]) -> list[tuple[str, Task]]:
    """(video, task) of a task; several where its images lie in the folders of several videos."""
    folders = {PurePosixPath(image.name).parent.as_posix() for image in task.images} - {"."}
    known = {folder: found for folder in folders if (found := _find([folder], videos)) is not None}
    if known and not task.tracks:
        parts: dict[str, list] = defaultdict(list)
        for image in task.images:
            folder = PurePosixPath(image.name).parent.as_posix()
            if folder not in known:
                raise UserError(f"{task.source}: image {image.name}: no video called {folder!r}")
            parts[known[folder]].append(image)
        return [(name, _with_images(task, images)) for name, images in parts.items()]
    found = _find(task.names, videos)
    if found is None:
        raise UserError(
            f"{task.source}: expected a video called {' or '.join(task.names) or 'as the task'}, "
            f"found {', '.join(sorted(videos)[:8]) or 'none'}; rename the file after its video"
        )
    return [(found, task)]


def _with_images(task: Task, images: list) -> Task:
    from dataclasses import replace

    return replace(task, images=images)


def _find(names: Sequence[str], videos: Mapping[str, VideoInfo]) -> str | None:
    """The first of `names` that is a video's; an ambiguous one counts only where no other is."""
    doubt: UserError | None = None
    for name in names:
        try:
            found = find_video(name, videos)
        except UserError as error:
            doubt = doubt or error
            continue
        if found is not None:
            return found
    if doubt is not None:
        raise doubt
    return None


def _video(
    tasks: list[Task],
    info: VideoInfo,
    names: tuple[str, ...],
    annotation_size: tuple[int, int] | None,
    findings: Findings,
) -> VideoAnnotations:
    parts = [_part(task, info, findings) for task in tasks]
    if len(parts) > 1:
        first = ", ".join(part.task.source for part in parts[:3])
        findings.note(info.name, "files of one video joined", len(parts), first)
    _expect_other_frames(parts, info, findings)
    tracks = [(part, track, dense) for part in parts for track, dense in part.tracks]
    actors = same_actor(
        [track.group and f"{id(part)} {track.group}" for part, track, _ in tracks],
        [dense.positions for _, _, dense in tracks],
        [dense.boxes for _, _, dense in tracks],
    )
    frames, boxes, classes, actor_of = [], [], [], []
    column: dict[str, int] = {}
    for (part, track, dense), actor in zip(tracks, actors, strict=True):
        for label in dict.fromkeys(label for labels in track.labels for label in labels):
            if label not in column:
                source, place = part.task.source, f"track {track.number}"
                column[label] = class_index(label, names, source, place, findings)
        without = np.array([not track.labels[k] for k in dense.source.tolist()], dtype=bool)
        if without.any():
            first = f"track {track.number} frame {dense.positions[without.argmax()]}"
            what = "boxes without an action left out"
            findings.note(part.task.source, what, int(without.sum()), first)
        for frame, box, k in zip(
            dense.positions.tolist(), dense.boxes, dense.source.tolist(), strict=True
        ):
            for label in track.labels[k]:
                frames.append(frame)
                boxes.append(box)
                classes.append(column[label])
                actor_of.append(actor)
    for part in parts:
        for image in part.task.images:
            for box, labels in image.rows:
                for label in labels:
                    place = f"image {image.name}"
                    frames.append(image.number)
                    boxes.append(box)
                    classes.append(class_index(label, names, part.task.source, place, findings))
                    actor_of.append(NO_TRACK)
    source = parts[0].task.source
    stated = {annotation_size or part.task.image_size for part in parts}
    if len(stated) > 1:
        raise UserError(
            f"{source}: {info.name}: expected files of one size, found {len(stated)} original "
            "sizes; set annotation_size"
        )
    return build_video(
        info,
        len(names),
        frames=frames,
        boxes=rescale(np.array(boxes).reshape(-1, 4), info, stated.pop(), source, findings),
        classes=classes,
        tracks=actor_of,
        looked_at=np.any([part.looked_at for part in parts], axis=0),
        source=source,
        findings=findings,
    )


def _part(task: Task, info: VideoInfo, findings: Findings) -> _Part:
    """A task's tracks in frames of the video, checked against its length before anything is laid
    out: what a file claims of its own length costs nothing."""
    looked_at = np.zeros(info.num_frames, dtype=bool)
    if task.images:
        _number_images(task, info)
        for image in task.images:
            looked_at[image.number] = not image.shapeless
        return _Part(task, looked_at, [])
    room = len(range(task.start, info.num_frames, task.step))
    size = room if task.size is None else task.size
    if size > room:
        what = f"frames of the task past the end of {info.name} ignored"
        findings.note(task.source, what, size - room)
    _to_positions(task, size)
    seen = min(size, room)
    looked_at[task.start : task.start + task.step * seen : task.step] = True
    tracks, deleted = [], 0
    for track in task.tracks:
        visible = np.flatnonzero(~track.outside)
        ends = [
            int(at) - 1 for at in track.positions[visible[visible + 1 < len(track.outside)] + 1]
        ]
        if task.every_frame_listed:
            ends = []  # a gap is not bridged
        last = max([*track.positions[visible], *(min(end, size - 1) for end in ends)], default=0)
        if len(visible) and last >= seen:
            raise UserError(
                f"{task.source}: track {track.number} is visible on frame "
                f"{task.start + task.step * last}: the video has {info.num_frames} frames "
                f"(0..{info.num_frames - 1}); the annotations belong to another cut of it, or it "
                "is truncated"
            )
        dense = interpolate(track, seen, every_frame_listed=task.every_frame_listed)
        frame_of = lambda positions: task.start + task.step * positions  # noqa: E731
        gone = frame_of(dense.unseen)
        deleted += int(looked_at[gone].sum())
        looked_at[gone] = False
        tracks.append(
            (track, DenseTrack(frame_of(dense.positions), dense.boxes, dense.source, gone))
        )
    what = "frames that a visible track skips (deleted in CVAT) or without a box: not looked at"
    findings.note(task.source, what, deleted)
    return _Part(task, looked_at, tracks)


def _to_positions(task: Task, size: int) -> None:
    """Make the tracks' frame numbers positions in the task, of `size` frames.

    A track's last box may be an `outside` one just past the task; visible boxes may not.
    """
    shown_at = [track.positions[~track.outside] for track in task.tracks]
    numbers = np.concatenate([*shown_at, np.zeros(0, np.int64)])
    place, rest = np.divmod(numbers - task.start, task.step)
    foreign = (rest != 0) | (place < 0) | (place >= size)
    if foreign.any():
        if ((numbers >= 0) & (numbers < size)).all():
            return  # the file counts the task's own frames
        wrong = int(numbers[foreign.argmax()])
        track = next(t for t, s in zip(task.tracks, shown_at, strict=True) if wrong in s)
        raise UserError(
            f"{task.source}: track {track.number}: frame {wrong} is not a frame of the task (start "
            f"{task.start}, step {task.step}, {size} frames); the annotations belong to another "
            "cut of the video, or the video is truncated"
        )
    for track in task.tracks:  # an outside mark between two frames of the task holds from the next
        track.positions = -((task.start - track.positions) // task.step)


def _number_images(task: Task, info: VideoInfo) -> None:
    """Make the images' numbers frames of the video: by the number in an image's name
    (`frame_000005` of a video, `00005.jpg` of a frame folder), else by its id."""
    seen: set[int] = set()
    for image in task.images:
        match = _NUMBERED.fullmatch(PurePosixPath(image.name).stem)
        if match:
            image.number = int(match[1]) - (info.first_number or 0)
        if not 0 <= image.number < info.num_frames or image.number in seen:
            problem = "another image of this frame" if image.number in seen else "none such"
            raise UserError(
                f"{task.source}: image {shown(image.name)}: expected one of the {info.num_frames} "
                f"frames of {info.name!r}, found {problem} (frame {image.number})"
            )
        seen.add(image.number)


def _expect_other_frames(parts: list[_Part], info: VideoInfo, findings: Findings) -> None:
    """Jobs of one task may share frames where they meet: the later's boxes there are left out,
    unless the earlier has the same. UserError for other parts that share frames."""
    seen = np.zeros(info.num_frames, dtype=bool)
    for number, part in enumerate(parts):
        shared = seen & part.looked_at
        if shared.any():
            whole = min(int(p.looked_at.sum()) for p in parts[: number + 1])
            if not all(p.task.is_job for p in parts) or int(shared.sum()) >= whole:
                raise UserError(
                    f"{part.task.source}: video {info.name!r} is annotated in "
                    f"{parts[0].task.source} already (frame {int(shared.argmax())}); "
                    "merge the two exports into one, or remove one"
                )
            earlier = {
                (frame, *box)
                for before in parts[:number]
                for _, dense in before.tracks
                for frame, box in zip(dense.positions.tolist(), dense.boxes.tolist(), strict=True)
            }
            part.tracks = [
                (track, _without(dense, shared, earlier, part, findings))
                for track, dense in part.tracks
            ]
        seen |= part.looked_at


def _without(
    dense: DenseTrack, shared: np.ndarray, earlier: set, part: _Part, findings: Findings
) -> DenseTrack:
    keep = ~shared[dense.positions]
    for row in np.flatnonzero(~keep).tolist():
        keep[row] = (int(dense.positions[row]), *dense.boxes[row].tolist()) in earlier
    what = "boxes on frames that an earlier job has too, with other boxes, left out"
    findings.note(part.task.source, what, int((~keep).sum()))
    return DenseTrack(dense.positions[keep], dense.boxes[keep], dense.source[keep], dense.unseen)


def _declared(tasks: Sequence[Task], findings: Findings) -> tuple[str, ...]:
    """Declared names of all tasks; labels that differ by case and blanks alone are one class, in
    the spelling that comes first. Where nothing is declared, the names that are used.

    UserError where one file declares two labels that differ so.
    """
    order: list[str] = []
    for task in tasks:
        own: dict[str, str] = {}
        for label in task.labels:
            safe_label(label, task.source)
            before = own.setdefault(label_key(label), label)
            if before != label:
                raise UserError(
                    f"{task.source}: the labels {before!r} and {label!r} differ by case or blanks "
                    "alone; give names in the data set file, or rename one in CVAT"
                )
            found = matched_label(label, order)
            if found is None:
                order.append(label)
    if order:
        return tuple(order)
    tracked = [label for t in tasks for track in t.tracks for row in track.labels for label in row]
    boxed = [label for t in tasks for image in t.images for _, row in image.rows for label in row]
    for label in dict.fromkeys([*tracked, *boxed]):
        safe_label(label, tasks[0].source)
        if matched_label(label, order) is None:
            order.append(label)
    if order:
        first = ", ".join(order[:5])
        findings.note(tasks[0].source, "classes declared nowhere, taken as used", len(order), first)
    return tuple(order)
