"""Annotations from one format to another; detections to annotations that a person corrects."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from stadet.datasets.dataset import load_dataset
from stadet.datasets.drafts import DraftOptions, draft_annotations
from stadet.datasets.footage.catalog import VideoCatalog, find_video_paths
from stadet.datasets.footage.info import VideoInfo, find_video
from stadet.datasets.formats import find_format
from stadet.datasets.formats.coco_video import write_coco_video
from stadet.datasets.formats.cvat import write_cvat
from stadet.datasets.formats.fiftyone import write_fiftyone
from stadet.datasets.formats.label_studio import write_label_studio
from stadet.datasets.formats.yolo_txt import write_yolo_txt
from stadet.datasets.splits.ranges import mask_to_ranges
from stadet.detect.detections.reader import read_detections
from stadet.detect.structures import AnnotationSet
from stadet.engine.errors import UserError
from stadet.engine.files import atomic_directory, atomic_write, expect_absent
from stadet.engine.findings import Findings
from stadet.engine.reading import path_below
from stadet.engine.signatures import checked

_log = logging.getLogger(__name__)

TARGETS = ("coco-video", "cvat", "fiftyone", "label-studio", "yolo-txt")
FILES = ("coco-video", "label-studio")  # one file; the others are folders
NO_VIDEOS_NEEDED = ("coco-video", "ucf24", "act")  # their files hold sizes and rates


@checked
def convert(
    to: str,
    out: str | Path,
    *,
    data: str | Path | None = None,
    side: str | None = None,
    annotations: str | Path | None = None,
    annotation_format: str | None = None,
    detections: str | Path | None = None,
    videos: str | Path | None = None,
    names: Sequence[str] | None = None,
    options: Mapping[str, Any] | None = None,
    keyframe_tolerance: float | None = None,
    tracks: DraftOptions | None = None,
    overwrite: bool = False,
) -> AnnotationSet:
    """Write a data set, annotations or detections in another format.

    Args:
        to: "coco-video", "cvat", "fiftyone", "label-studio" or "yolo-txt".
        out: a file for coco-video and label-studio, a new folder for the others.
        data: data set file to convert; with `detections`, whose videos these are.
        side: only this side of `data`.
        annotations: file or folder to convert, in `annotation_format`.
        annotation_format: a key of `stadet.datasets.formats.FORMATS`.
        detections: a detections file to convert.
        videos: folder of the footage: sizes, rates and lengths.
        names: order of classes.
        options: of the annotations' format, by the names of the data set file's keys
            (annotation_size, action, first_frame).
        keyframe_tolerance: cvat and label-studio: how far interpolated boxes may be off, pixels
            (default 0.5, of detections 2).
        tracks: how detections become tracks; its `tolerance` is not used.
        overwrite: replace the file of coco-video or label-studio; folders must be new.

    Returns:
        What was written.

    Raises:
        UserError: for a combination of sources that says too little or too much, for files that
            cannot be read, and where `out` is there already (unless `overwrite`).
    """
    if to not in TARGETS:
        raise UserError(f"--to: expected one of {', '.join(TARGETS)}, found {to!r}")
    if to in FILES and not Path(out).is_dir():
        beside = [Path(out).with_suffix(".xml")] if to == "label-studio" else []
        expect_absent(out, *beside, overwrite=overwrite)
    given = {"data": data, "annotations": annotations, "detections": detections}
    found = [name for name, value in given.items() if value is not None]
    if found not in (["data"], ["annotations"], ["detections"], ["data", "detections"]):
        raise UserError(
            "expected one of --data, --annotations (with --from) and --detections (with --videos "
            f"or --data), found {' and '.join('--' + name for name in found) or 'none'}"
        )
    findings = Findings()
    out, videos = Path(out), Path(videos) if videos is not None else None
    if found[-1] == "data":
        source = _from_data(data, side, findings)
    elif found[-1] == "annotations":
        source = _from_annotations(
            Path(annotations), annotation_format, videos, names, options or {}, findings
        )
    else:
        footage = _from_data(data, side, findings) if data is not None else None
        source = _from_detections(
            Path(detections), footage, videos, names, tracks or DraftOptions(), findings
        )
    findings.report()
    if keyframe_tolerance is None:
        keyframe_tolerance = 2.0 if detections is not None else 0.5
    if to in FILES and out.is_dir():
        raise UserError(f"--out: expected a file for {to}, found the folder {out}")
    if to == "coco-video":
        write_coco_video(out, source.annotations)
    elif to == "label-studio":
        source = _without_ignored(out, source)
        _to_label_studio(out, source, keyframe_tolerance)
    elif to == "fiftyone":
        source = _without_ignored(out, source)
        _to_fiftyone(out, source)
    elif to == "cvat":
        source = _without_ignored(out, source)
        _to_cvat(out, source, keyframe_tolerance)
    else:
        source = _without_ignored(out, source)
        _to_yolo(out, source)
    return source.annotations


@dataclass(frozen=True)
class _Source:
    annotations: AnnotationSet
    videos: Path | None  # the footage
    extras: Mapping[str, Any] = field(default_factory=dict)  # further keys for dataset.yaml


def _from_data(data: str | Path, side: str | None, findings: Findings) -> _Source:
    dataset = load_dataset(data, findings=findings)
    annotations = dataset.side(side) if side else dataset.annotations
    extras = {
        "views": dict(dataset.views),
        "reverses": dict(dataset.config.reverses),
        "flip_labels": dict(dataset.config.flip_labels),
        "frame_folder_fps": dataset.config.frame_folder_fps,
    }
    if side is None:
        split = asdict(dataset.config.split)
        extras["split"] = {key: value for key, value in split.items() if value is not None}
    else:  # what is left of one side is one side
        extras["split"] = {"method": "videos", "val": 0.0}
    videos = dataset.path.parent / dataset.config.path / dataset.config.videos
    return _Source(annotations, videos, extras)


def _from_annotations(
    path: Path,
    annotation_format: str | None,
    videos: Path | None,
    names: Sequence[str] | None,
    options: Mapping[str, Any],
    findings: Findings,
) -> _Source:
    if annotation_format is None:
        raise UserError("--annotations: expected --from with its format as well")
    kind = find_format(annotation_format)
    for key in options:
        if key not in kind.options:
            raise UserError(f"--{key.replace('_', '-')} means nothing for {annotation_format}")
    catalog = _catalog(videos)
    if catalog is None and annotation_format not in NO_VIDEOS_NEEDED:
        raise UserError(
            f"--from {annotation_format}: expected --videos; the files hold no sizes and rates"
        )
    annotations = kind.load_reader()(
        path, videos=catalog, names=names, findings=findings, **options
    )
    return _Source(annotations, videos)


def _from_detections(
    path: Path,
    footage: _Source | None,
    videos: Path | None,
    names: Sequence[str] | None,
    tracks: DraftOptions,
    findings: Findings,
) -> _Source:
    if footage is not None:
        videos, names = footage.videos, footage.annotations.names
    catalog = _catalog(videos)
    if catalog is None:
        raise UserError("--detections: expected --videos or --data, to know sizes and lengths")
    detections = read_detections(path, names)
    for note in detections.notes:
        _log.warning(note)
    result = {}
    for video in detections:
        name = find_video(video.name, catalog)
        if name is None:
            findings.note(path, "videos without footage left out", first=video.name)
            continue
        whole = replace(tracks, tolerance=0.0)  # the format's writer thins, if any
        result[name] = draft_annotations(video, catalog[name], whole).annotations
    extras = footage.extras if footage is not None else {}
    return _Source(AnnotationSet(detections.names, result), videos, extras)


def _catalog(videos: Path | None) -> Mapping[str, VideoInfo] | None:
    return VideoCatalog(find_video_paths(videos)) if videos is not None else None


def _without_ignored(out: Path, source: _Source) -> _Source:
    """For formats that know no ignored region: as if nobody had looked at frames that have one."""
    kept = {v.name: v.without_ignored_frames() for v in source.annotations}
    count = sum(int(v.looked_at.sum() - kept[v.name].looked_at.sum()) for v in source.annotations)
    if not count:
        return source
    _log.warning(
        f"{out}: {count} frames with ignored regions left out, as the format holds no such region"
    )
    return replace(source, annotations=AnnotationSet(source.annotations.names, kept))


def _to_cvat(out: Path, source: _Source, tolerance: float) -> None:
    looked_at = {}
    with atomic_directory(out) as root:
        for video in source.annotations:
            path = path_below(root / "annotations", f"{video.name}.xml")
            names = source.annotations.names
            if not write_cvat(path, video, names, keyframe_tolerance=tolerance):
                looked_at[video.name] = mask_to_ranges(video.looked_at)
        keys = {"format": "cvat", "annotations": "annotations"}
        _write_dataset_file(root, out, source, keys, looked_at)
    if looked_at:
        _log.warning(
            f"{out}: CVAT's tasks cannot say which frames of {', '.join(list(looked_at)[:3])} "
            "were looked at; dataset.yaml does (looked_at)"
        )


def _to_label_studio(out: Path, source: _Source, tolerance: float) -> None:
    if out.suffix.lower() == ".xml":
        raise UserError(
            f"--out: expected a .json file; {out} is the labelling configuration's name"
        )
    files = {name: path.name for name, path in _files(source).items()}
    write_label_studio(out, source.annotations, files=files, keyframe_tolerance=tolerance)
    partly = [video.name for video in source.annotations if not video.looked_at.all()]
    if partly:
        _log.warning(
            f"{out}: Label Studio cannot say which frames of {', '.join(partly[:3])} were looked "
            "at; say so in the data set file (looked_at) when you read it back"
        )


def _to_fiftyone(out: Path, source: _Source) -> None:
    files = {name: os.path.relpath(path, out) for name, path in _files(source).items()}
    with atomic_directory(out) as root:
        write_fiftyone(root, source.annotations, files=files)
        _write_dataset_file(root, out, source, {"format": "fiftyone", "annotations": "."}, {})


def _files(source: _Source) -> dict[str, Path]:
    """Name -> file of each video whose footage is known."""
    found = find_video_paths(source.videos) if source.videos is not None else {}
    return {name: path for name, path in found.items() if name in source.annotations.videos}


def _to_yolo(out: Path, source: _Source) -> None:
    write_yolo_txt(out, source.annotations)
    _write_dataset_file(out, out, source, {"format": "yolo-txt", "annotations": "."}, {})
    if any((video.track_ids >= 0).any() for video in source.annotations):
        _log.warning(f"{out}: YOLO txt holds no tracks; they are lost")


def _write_dataset_file(
    root: Path,
    out: Path,
    source: _Source,
    keys: Mapping[str, Any],
    looked_at: Mapping[str, Any],
) -> None:
    """`dataset.yaml` in `root`, which will be `out`."""
    videos = os.path.relpath(source.videos, out) if source.videos is not None else "videos"
    names = list(source.annotations.names)
    content = {"format": keys["format"], "videos": videos, **keys, "names": names}
    content.update({key: value for key, value in source.extras.items() if value})
    if looked_at:
        content["looked_at"] = dict(looked_at)
    with atomic_write(root / "dataset.yaml") as stream:
        yaml.safe_dump(content, stream, sort_keys=False, allow_unicode=True, width=96)
