"""stad filmstrip: what memory does to an action and to its reversal, frame by frame."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from stadet.tools.cli import add_overwrite, make_parser

SUMMARY = "an action and its reversal: scores over time, with and without memory, and the state"
EXAMPLES = """\
examples:
  stad filmstrip counter.mp4 --checkpoint runs/recurrent/best.pt --start 12.5 --seconds 2 \\
      --against runs/frame/best.pt --out strip
  stad filmstrip counter.mp4 --checkpoint runs/recurrent/best.pt --out strip \\
      --class take_bottle put_bottle

The stretch is shown to the model as it was filmed and backwards, each from an empty memory, at the
frame rate of its training. Writes filmstrip.png (frames with the boxes above the threshold, the
memory's activation over the frames, the classes' best scores) and filmstrip.csv (the scores).
"""


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser("filmstrip", SUMMARY, EXAMPLES)
    add = parser.add_argument
    add("video", type=Path, help="a video file or a frame folder")
    add("--checkpoint", required=True, help="best.pt of a detector with memory")
    add("--against", metavar="CHECKPOINT", help="best.pt of a detector to compare it with")
    add("--out", type=Path, required=True, metavar="DIR", help="folder of the picture and the csv")
    add("--start", type=float, default=0.0, metavar="S", help="of the stretch, seconds")
    add("--seconds", type=float, default=2.0, metavar="S", help="length of the stretch")
    add("--class", dest="classes", nargs="+", metavar="NAME", help="default: the clearest four")
    add("--threshold", type=float, help="of the boxes drawn (default: the checkpoint's)")
    add("--device", help="cpu, cuda or cuda:N (default: the GPU if there is one)")
    add_overwrite(parser)
    return parser


def run(args: argparse.Namespace) -> None:
    from stadet.tools.inference.filmstrip import filmstrip

    found = filmstrip(
        args.video,
        args.checkpoint,
        args.out,
        against=args.against,
        start=args.start,
        seconds=args.seconds,
        classes=args.classes,
        threshold=args.threshold,
        device=args.device,
        overwrite=args.overwrite,
    )
    for line in found.lines:
        print(line)
    print(found.picture)
    print(found.table)


if __name__ == "__main__":
    from stadet.tools.cli import run_verb

    raise SystemExit(run_verb(sys.modules[__name__]))
