"""stad render: detections, tubes and truth drawn into videos that a browser plays."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from stadet.tools.cli import add_overwrite, make_parser

SUMMARY = "draw detections, tubes and truth into a video"
EXAMPLES = """\
examples:
  stad render --video kitchen.mp4 --detections kitchen.jsonl --out boxed.mp4
  stad render --video kitchen.mp4 --detections kitchen.jsonl --ground-truth gt.json --out boxed.mp4
  stad render --data dataset.yaml --detections val.jsonl --threshold 0.4 --out boxed/
  stad render --video kitchen.mp4 --detections a.jsonl b.jsonl --titles baseline recurrent \\
      --out both.mp4
  stad render --video kitchen.mp4 --tubes tubes.json --start 60 --seconds 10 --out boxed.mp4

Solid boxes are the model's, in the colour of the class; dashed white ones are the truth.
Several files of detections or tubes are drawn side by side. Size and frame rate are the video's.
"""


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser("render", SUMMARY, EXAMPLES)
    add = parser.add_argument
    add(
        "--video",
        type=Path,
        help="a video file, a frame folder, or a folder of them (default: the videos of --data)",
    )
    add("--detections", type=Path, nargs="+", default=[], metavar="FILE", help="from stad predict")
    add("--tubes", type=Path, nargs="+", default=[], metavar="FILE", help="tube files")
    add("--titles", nargs="+", metavar="TITLE", help="of the files drawn side by side")
    truth = parser.add_mutually_exclusive_group()
    truth.add_argument("--ground-truth", type=Path, metavar="JSON", help="truth, as COCO-video")
    truth.add_argument("--data", type=Path, metavar="YAML", help="truth, as a data set file")
    add("--threshold", type=float, default=0.25, help="least score drawn (default 0.25)")
    add("--start", type=float, default=0.0, metavar="SECONDS", help="where to begin")
    add("--seconds", type=float, metavar="SECONDS", help="how much to draw (default: to the end)")
    add("--out", type=Path, required=True, help="the mp4, or a folder where there are many videos")
    add_overwrite(parser)
    return parser


def run(args: argparse.Namespace) -> None:
    from stadet.tools.inference.render import render

    rendered = render(
        args.out,
        video=args.video,
        detections=args.detections,
        tubes=args.tubes,
        titles=args.titles,
        ground_truth=args.ground_truth,
        data=args.data,
        threshold=args.threshold,
        start=args.start,
        seconds=args.seconds,
        overwrite=args.overwrite,
    )
    for video in rendered:
        height, width = video.size
        print(
            f"boxed video: {video.path} ({video.frames} frames of {width}x{height} at "
            f"{video.fps:g} fps, {video.frames / video.seconds:.0f} frames a second)"
        )


if __name__ == "__main__":
    from stadet.tools.cli import run_verb

    raise SystemExit(run_verb(sys.modules[__name__]))
