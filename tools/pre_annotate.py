"""stad pre-annotate: a detector's tracks as a CVAT draft that a person corrects."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from stadet.tools.cli import make_parser

# fields of `DraftOptions` that `add_tracks` adds
TRACKS = ("threshold", "max_gap", "min_length", "switch", "smooth", "several_classes")
SUMMARY = "draft CVAT tracks of new footage for a person to correct"

EXAMPLES = """\
examples:
  stad pre-annotate new/ --checkpoint runs/yolov3/best.pt --out drafts
  stad pre-annotate new/monday.mp4 --detections monday.jsonl --tolerance 3 --out drafts
  stad pre-annotate new/ --hands --out hands
  cvat-cli task create monday --labels drafts/labels.json local new/monday.mp4 \\
      --annotation_path drafts/annotations/monday.xml --annotation_format "CVAT 1.1"

DIR gets annotations/<video>.xml, labels.json (for the CVAT task), uncertain.csv (what to look at
first) and dataset.yaml. CVAT interpolates between keyframes: no box is then off by more than
--tolerance.
"""


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser("pre-annotate", SUMMARY, EXAMPLES)
    parser.add_argument(
        "sources", nargs="+", metavar="VIDEO", help="video files, frame folders, folders of videos"
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--checkpoint", metavar="FILE", help="best.pt of a run, or .onnx")
    source.add_argument("--detections", metavar="FILE", help="a detections file")
    source.add_argument(
        "--hands", action="store_true", help="MediaPipe's palm detector; the class is hand"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="a new folder")
    parser.add_argument("--names", nargs="+", metavar="NAME", help="order of classes")
    parser.add_argument("--device", help="of the checkpoint: cpu, cuda or cuda:N")
    tracks = add_tracks(parser, "tracks")
    tracks.add_argument(
        "--tolerance",
        type=float,
        default=2.0,
        metavar="PX",
        help="how far thinning may move a box's side (2)",
    )
    doubts = parser.add_argument_group("what is marked uncertain")
    doubts.add_argument(
        "--sure",
        type=float,
        default=0.5,
        help="boxes below this share of their track's score (0.5)",
    )
    doubts.add_argument(
        "--rival", type=float, default=0.6, help="another class has this share of the score (0.6)"
    )
    return parser


def add_tracks(parser: argparse.ArgumentParser, title: str) -> argparse._ArgumentGroup:
    """Options of how detections become tracks: `TRACKS`."""
    group = parser.add_argument_group(title)
    add = group.add_argument
    add("--threshold", type=float, default=0.4, help="score that a track reaches (0.4)")
    add("--max-gap", type=float, default=0.4, help="seconds without a detection bridged (0.4)")
    add("--min-length", type=float, default=0.3, help="seconds of the shortest track (0.3)")
    add(
        "--switch",
        type=float,
        default=0.3,
        help="seconds for which another class has to hold to end a track (0.3)",
    )
    add(
        "--smooth",
        type=float,
        default=0.35,
        metavar="S",
        help="seconds over which boxes are smoothed by parabolas; 0 = not (0.35)",
    )
    add("--several-classes", action="store_true", help="an actor may do several things at once")
    return group


def run(args: argparse.Namespace) -> None:
    from stadet.datasets.drafts import DraftOptions
    from stadet.tools.data.pre_annotate import pre_annotate

    keys = (*TRACKS, "tolerance", "sure", "rival")
    options = DraftOptions(**{key: getattr(args, key) for key in keys})
    written = pre_annotate(
        args.sources,
        args.out,
        checkpoint=args.checkpoint,
        detections=args.detections,
        hands=args.hands,
        names=args.names,
        options=options,
        device=args.device,
    )
    print(written.text())


if __name__ == "__main__":
    from stadet.tools.cli import run_verb

    raise SystemExit(run_verb(sys.modules[__name__]))
