"""stad make-clips: long videos and their annotations to short clips in folders by action."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from stadet.tools.cli import make_parser

SUMMARY = "cut long videos to short clips in folders by action label"
EXAMPLES = """\
examples:
  stad make-clips --data kitchen/dataset.yaml --out kitchen_clips
  stad make-clips --data kitchen/dataset.yaml --out kitchen_yowo --layout yowo
  stad make-clips --data kitchen/dataset.yaml --out short --pad 0.5 --longest 4 --side train

A clip is a stretch of one action with some footage around it, within one side of the data set's
split. A stretch of two actions gives a clip in each of their folders. Label files hold every box of
a clip's frames, of whatever class.

folders: DIR/<side>/<Class>/<clip>.mp4, for `stad train-classifier` (data.format=folders), with
annotations.json and dataset.yaml, for `stad train`.
yowo: DIR/rgb-images/<Class>/<clip>/00001.jpg of 320x240 pixels, labels/, trainlist.txt,
testlist.txt and testlist_video.txt, for YOWO's public code, and dataset.yaml.
"""


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser("make-clips", SUMMARY, EXAMPLES)
    add = parser.add_argument
    add("--data", type=Path, required=True, metavar="FILE", help="data set file")
    add("--out", type=Path, required=True, metavar="DIR", help="new folder to write")
    add("--layout", choices=("folders", "yowo"), default="folders", help="default: folders")
    add("--side", choices=("train", "val", "test"), help="only this side (default: all)")
    add("--classes", nargs="+", metavar="NAME", help="only clips of these (default: all)")
    add(
        "--size",
        type=int,
        nargs=2,
        metavar=("HEIGHT", "WIDTH"),
        help="stretch frames to it (default: the video's; yowo: 240 320)",
    )
    seconds = parser.add_argument_group("lengths in seconds")
    seconds.add_argument("--pad", type=float, default=0.5, help="around an action (default 0.5)")
    seconds.add_argument("--merge", type=float, default=0.5, help="break bridged (default 0.5)")
    seconds.add_argument("--shortest", type=float, default=1.0, help="of a clip (default 1)")
    seconds.add_argument("--longest", type=float, default=10.0, help="of a clip (default 10)")
    return parser


def run(args: argparse.Namespace) -> None:
    from stadet.tools.data.clips import make_clips

    clips = make_clips(
        args.data,
        args.out,
        layout=args.layout,
        side=args.side,
        classes=args.classes,
        size=tuple(args.size) if args.size else None,
        pad=args.pad,
        merge=args.merge,
        shortest=args.shortest,
        longest=args.longest,
    )
    frames = sum(map(len, clips))
    classes = len({clip.label for clip in clips})
    print(f"{args.out}: {len(clips)} clips of {classes} classes, {frames} frames")


if __name__ == "__main__":
    from stadet.tools.cli import run_verb

    raise SystemExit(run_verb(sys.modules[__name__]))
