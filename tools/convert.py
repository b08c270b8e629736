"""Annotations from one format to another; detections to annotations that a person corrects."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from stadet.tools.cli import add_overwrite, make_parser
from stadet.tools.pre_annotate import TRACKS, add_tracks

SUMMARY = "annotations from one format to another"

TARGETS = ("coco-video", "cvat", "fiftyone", "label-studio", "yolo-txt")

EXAMPLES = """\
examples:
  stad convert --data data/restaurant/dataset.yaml --side val --to coco-video --out val.json
  stad convert --from ucf24 --annotations pyannot.pkl --videos videos --to coco-video --out gt.json
  stad convert --from coco-video --annotations gt.json --videos videos --to cvat --out for_cvat
  stad convert --detections run/detections.jsonl --videos new --threshold 0.4 --to cvat --out fix
  stad convert --detections run/detections.jsonl --to detections --out run/detections.parquet

--out is a file for coco-video and label-studio (tasks to import; NAME.xml beside it is the
labelling configuration), and a new folder for cvat (annotations/<video>.xml), fiftyone
(manifest.json and labels/, a FiftyOneVideoLabelsDataset) and yolo-txt (labels/<video>/<frame>.txt);
a folder also gets the dataset.yaml that reads it. Detections become the tracks that stad
pre-annotate drafts, so that a person corrects tracks, not single boxes. detections: the same file
in the form that --out names, .jsonl, .jsonl.gz, .jsonl.zst or .parquet (the quickest to read again
and again).
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
    source.add_argument("--first-frame", type=int, help="yolo-txt, coco-video: its number")
    target = parser.add_argument_group("to")
    target.add_argument("--to", choices=(*TARGETS, "detections"), required=True)
    target.add_argument("--out", type=Path, required=True, metavar="PATH")
    target.add_argument(
        "--keyframe-tolerance",
        type=float,
        metavar="PX",
        help="cvat, label-studio: how far boxes may be off (default 0.5; of detections 2)",
    )
    add_tracks(parser, "tracks of detections")
    add_overwrite(parser)
    return parser


def run(args: argparse.Namespace) -> None:
    if args.to == "detections":
        given = {key: getattr(args, key) for key in ("data", "annotations", "videos", "names")}
        others = [f"--{key}" for key, value in given.items() if value is not None]
        _recode(args.detections, args.out, others, overwrite=args.overwrite)
        return
    from stadet.datasets.drafts import DraftOptions
    from stadet.tools.data.convert import convert

    stated = {
        "annotation_size": tuple(args.annotation_size) if args.annotation_size else None,
        "action": args.action,
        "first_frame": args.first_frame,
    }
    written = convert(
        args.to,
        args.out,
        data=args.data,
        side=args.side,
        annotations=args.annotations,
        annotation_format=args.source,
        detections=args.detections,
        videos=args.videos,
        names=args.names,
        options={key: value for key, value in stated.items() if value is not None},
        keyframe_tolerance=args.keyframe_tolerance,
        tracks=DraftOptions(**{key: getattr(args, key) for key in TRACKS}),
        overwrite=args.overwrite,
    )
    videos = list(written)
    print(
        f"{args.out}: {len(videos)} videos, {sum(int(v.looked_at.sum()) for v in videos)} "
        f"looked-at frames, {sum(len(v.boxes) for v in videos)} boxes"
    )


def _recode(source: Path | None, out: Path, others: list[str], *, overwrite: bool) -> None:
    """A detections file in another form. others: options that do not go with it."""
    from stadet.detect.detections.recode import recode_detections
    from stadet.engine.errors import UserError

    if source is None or others:
        raise UserError(
            f"--to detections: expected --detections alone, found {' and '.join(others) or 'none'}"
        )
    for note in recode_detections(source, out, overwrite=overwrite):
        print(note, file=sys.stderr)
    before, after = source.stat().st_size, out.stat().st_size
    print(f"{out}: {after:,} bytes, {source} has {before:,}")


if __name__ == "__main__":
    from stadet.tools.cli import run_verb

    raise SystemExit(run_verb(sys.modules[__name__]))
