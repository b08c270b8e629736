"""Annotations from one format to another; detections to annotations that a person corrects."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stadet.tools.cli import make_parser

if TYPE_CHECKING:
    from stadet.datasets.footage.info import VideoInfo
    from stadet.detect.structures import AnnotationSet
    from stadet.engine.findings import Findings

SUMMARY = "annotations from one format to another"

TARGETS = ("coco-video", "cvat", "yolo-txt")

EXAMPLES = """\
examples:
  stad convert --data data/restaurant/dataset.yaml --side val --to coco-video --out val.json
  stad convert --from ucf24 --annotations pyannot.pkl --videos videos --to coco-video --out gt.json
  stad convert --from coco-video --annotations gt.json --videos videos --to cvat --out for_cvat
  stad convert --detections run/detections.jsonl --videos new --threshold 0.4 --to cvat --out fix

--out is a file for coco-video, and a new folder for cvat (annotations/<video>.xml) and yolo-txt
(labels/<video>/<frame>.txt); a folder also gets the dataset.yaml that reads it. Boxes of
detections are linked to tracks by overlap, so that a person corrects tracks, not single boxes.
"""


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser("convert", SUMMARY, EXAMPLES)
    source = parser.add_argument_group("from (a data set file, annotations, or detections)")
    source.add_argument("--data", type=Path, metavar="FILE", help="data set file, or its folder")
    source.add_argument("--side", choices=("train", "val", "test"), help="of --data, only this")
    source.add_argument("--from", dest="source", metavar="FORMAT", help="format of --annotations")
    source.add_argument("--annotations", type=Path, metavar="PATH", help="file or folder")
    source.add_argument("--detections", type=Path, metavar="FILE", help="a detections file")
    source.add_argument(
        "--videos", type=Path, metavar="DIR", help="the footage: sizes, rates and lengths"
    )
    source.add_argument("--names", nargs="+", metavar="NAME", help="order of classes")
    source.add_argument(
        "--annotation-size", type=int, nargs=2, metavar=("H", "W"), help="what boxes refer to"
    )
    source.add_argument("--action", help='cvat: "label", "checkboxes" or an attribute\'s name')
    source.add_argument("--first-frame", type=int, help="yolo-txt: number of the first frame")
    target = parser.add_argument_group("to")
    target.add_argument("--to", choices=TARGETS, required=True)
    target.add_argument("--out", type=Path, required=True, metavar="PATH")
    target.add_argument(
        "--keyframe-tolerance",
        type=float,
        metavar="PX",
        help="cvat: how far interpolated boxes may be off (default 0.5; of detections 2)",
    )
    detections = parser.add_argument_group("detections")
    detections.add_argument("--threshold", type=float, default=0.3, help="class score (0.3)")
    detections.add_argument("--min-iou", type=float, default=0.3, help="to link boxes (0.3)")
    detections.add_argument("--min-frames", type=int, default=1, help="shortest track (1)")
    return parser


@dataclass(frozen=True)
class _Source:
    annotations: AnnotationSet
    videos: Path | None  # the footage
    extras: Mapping[str, Any] = field(default_factory=dict)  # further keys for dataset.yaml


def run(args: argparse.Namespace) -> int | None:
    from stadet.engine.errors import UserError
    from stadet.engine.findings import Findings

    given = [o for o in ("data", "annotations", "detections") if getattr(args, o) is not None]
    if given not in (["data"], ["annotations"], ["detections"], ["data", "detections"]):
        raise UserError(
            "expected one of --data, --annotations (with --from) and --detections (with --videos "
            f"or --data), found {' and '.join('--' + g for g in given) or 'none'}"
        )
    findings = Findings()
    source = {
        "data": _from_data,
        "annotations": _from_annotations,
        "detections": _from_detections,
    }[given[-1]](args, findings)
    findings.report()
    write: dict[str, Callable[[argparse.Namespace, _Source], None]] = {
        "coco-video": _to_coco,
        "cvat": _to_cvat,
        "yolo-txt": _to_yolo,
    }
    write[args.to](args, source)
    videos = list(source.annotations)
    print(
        f"{args.out}: {len(videos)} videos, {sum(int(v.looked_at.sum()) for v in videos)} "
        f"looked-at frames, {sum(len(v.boxes) for v in videos)} boxes"
    )
    return None


def _from_data(args: argparse.Namespace, findings: Findings) -> _Source:
    from dataclasses import asdict

    from stadet.datasets.dataset import load_dataset

    dataset = load_dataset(args.data, findings=findings)
    annotations = dataset.side(args.side) if args.side else dataset.annotations
    extras = {
        "views": dict(dataset.views),
        "reverses": dict(dataset.config.reverses),
        "flip_labels": dict(dataset.config.flip_labels),
        "frame_folder_fps": dataset.config.frame_folder_fps,
    }
    if args.side is None:
        split = asdict(dataset.config.split)
        extras["split"] = {key: value for key, value in split.items() if value is not None}
    else:  # what is left of one side is one side
        extras["split"] = {"method": "videos", "val": 0.0}
    videos = dataset.path.parent / dataset.config.path / dataset.config.videos
    return _Source(annotations, videos, extras)


def _from_annotations(args: argparse.Namespace, findings: Findings) -> _Source:
    from stadet.datasets.formats import find_format
    from stadet.engine.errors import UserError

    if args.source is None:
        raise UserError("--annotations: expected --from with its format as well")
    kind = find_format(args.source)
    stated = {
        "annotation_size": tuple(args.annotation_size) if args.annotation_size else None,
        "action": args.action,
        "first_frame": args.first_frame,
    }
    options = {key: value for key, value in stated.items() if value is not None}
    for key in options:
        if key not in kind.options:
            raise UserError(f"--{key.replace('_', '-')} means nothing for {args.source}")
    videos = _catalog(args.videos)
    if videos is None and args.source not in ("coco-video", "ucf24", "act"):
        raise UserError(
            f"--from {args.source}: expected --videos; the files hold no sizes and rates"
        )
    annotations = kind.load_reader()(
        args.annotations, videos=videos, names=args.names, findings=findings, **options
    )
    return _Source(annotations, args.videos)


def _from_detections(args: argparse.Namespace, findings: Findings) -> _Source:
    from stadet.datasets.footage.info import find_video
    from stadet.datasets.formats.pre_annotation import annotations_from_detections
    from stadet.detect.detections.reader import read_detections
    from stadet.detect.structures import AnnotationSet
    from stadet.engine.errors import UserError

    if args.data is not None:
        source = _from_data(args, findings)
        videos, names = _catalog(source.videos), source.annotations.names
    else:
        source, videos, names = None, _catalog(args.videos), args.names
    if videos is None:
        raise UserError("--detections: expected --videos or --data, to know sizes and lengths")
    detections = read_detections(args.detections, names)
    for note in detections.notes:
        print(note, file=sys.stderr)
    result = {}
    for video in detections:
        name = find_video(video.name, videos)
        if name is None:
            findings.note(args.detections, "videos without footage left out", first=video.name)
            continue
        try:
            result[name] = annotations_from_detections(
                video,
                videos[name],
                args.threshold,
                min_iou=args.min_iou,
                min_frames=args.min_frames,
            )
        except (ValueError, IndexError) as error:
            raise UserError(
                f"{args.detections}: video {name!r}: detections past its end ({error}); they "
                "belong to another cut of it"
            ) from None
    return _Source(
        AnnotationSet(detections.names, result),
        source.videos if source else args.videos,
        source.extras if source else {},
    )


def _catalog(videos: Path | None) -> Mapping[str, VideoInfo] | None:
    from stadet.datasets.footage.catalog import VideoCatalog, find_video_paths

    return VideoCatalog(find_video_paths(videos)) if videos is not None else None


def _to_coco(args: argparse.Namespace, source: _Source) -> None:
    from stadet.datasets.formats.coco_video import write_coco_video
    from stadet.engine.errors import UserError

    if args.out.is_dir():
        raise UserError(f"--out: expected a file for coco-video, found the folder {args.out}")
    write_coco_video(args.out, source.annotations)


def _to_cvat(args: argparse.Namespace, source: _Source) -> None:
    from stadet.datasets.formats.cvat import write_cvat
    from stadet.datasets.splits.ranges import mask_to_ranges
    from stadet.engine.files import atomic_directory

    tolerance = args.keyframe_tolerance
    if tolerance is None:
        tolerance = 2.0 if args.detections is not None else 0.5
    looked_at = {}
    with atomic_directory(args.out) as root:
        for video in source.annotations:
            path = root / "annotations" / f"{video.name}.xml"
            names = source.annotations.names
            if not write_cvat(path, video, names, keyframe_tolerance=tolerance):
                looked_at[video.name] = mask_to_ranges(video.looked_at)
        _write_dataset_file(args, root, source, {"annotations": "annotations"}, looked_at)
    if looked_at:
        print(
            f"{args.out}: CVAT's tasks cannot say which frames of {', '.join(list(looked_at)[:3])} "
            "were looked at; dataset.yaml does (looked_at)",
            file=sys.stderr,
        )


def _to_yolo(args: argparse.Namespace, source: _Source) -> None:
    from stadet.datasets.formats.yolo_txt import write_yolo_txt

    write_yolo_txt(args.out, source.annotations)
    _write_dataset_file(args, args.out, source, {"annotations": "."}, {})
    if any((video.track_ids >= 0).any() for video in source.annotations):
        print(f"{args.out}: YOLO txt holds no tracks; they are lost", file=sys.stderr)


def _write_dataset_file(
    args: argparse.Namespace,
    root: Path,
    source: _Source,
    keys: Mapping[str, Any],
    looked_at: Mapping[str, Any],
) -> None:
    import os

    import yaml

    from stadet.engine.files import atomic_write

    videos = os.path.relpath(source.videos, args.out) if source.videos is not None else "videos"
    names = list(source.annotations.names)
    content = {"format": args.to, "videos": videos, **keys, "names": names}
    content.update({key: value for key, value in source.extras.items() if value})
    if looked_at:
        content["looked_at"] = dict(looked_at)
    with atomic_write(root / "dataset.yaml") as stream:
        yaml.safe_dump(content, stream, sort_keys=False, allow_unicode=True, width=96)


if __name__ == "__main__":
    from stadet.tools.cli import run_verb

    raise SystemExit(run_verb(sys.modules[__name__]))
