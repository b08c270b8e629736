"""stad make-keypoints: videos in folders by class to a keypoint set, through MediaPipe Holistic."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from stadet.tools.cli import make_parser

SUMMARY = "body, face and hand keypoints of labelled videos, as a keypoint set"
EXAMPLES = """\
examples:
  stad make-keypoints --data signs --out signs_keypoints
  stad make-keypoints --data signs --out signs_keypoints --frames 30 --size 128 128 --val 0.25
  stad train-classifier model.name=fused_keypoints data.format=keypoints \\
      data.root=signs_keypoints augment.flip=0

--data holds a folder of videos a class, below train/, val/ and test/ or all together (then --val of
each class is for validation). DIR gets, for each side, the frames, 1662 values a frame (pose, face,
left hand, right hand; zeros where a part is not seen), which parts were found, and the labels.
Needs MediaPipe 0.10.14; how to install it is said where it is missing.
"""


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser("make-keypoints", SUMMARY, EXAMPLES)
    add = parser.add_argument
    add("--data", type=Path, required=True, metavar="FOLDER", help="videos in folders by class")
    add("--out", type=Path, required=True, metavar="DIR", help="folder to write, new or empty")
    add("--frames", type=int, default=20, help="of each video, evenly spread (default 20)")
    add(
        "--size",
        type=int,
        nargs=2,
        default=[64, 64],
        metavar=("HEIGHT", "WIDTH"),
        help="of the stored frames (default 64 64); keypoints come from whole frames",
    )
    add("--val", type=float, default=0.2, help="share for validation (default 0.2)")
    add("--seed", type=int, default=0, help="of the split")
    add("--skip-bad", action="store_true", help="continue without videos that cannot be used")
    return parser


def run(args: argparse.Namespace) -> None:
    from stadet.tools.data.keypoints import make_keypoints

    made = make_keypoints(
        args.data,
        args.out,
        frames=args.frames,
        size=tuple(args.size),
        val=args.val,
        seed=args.seed,
        skip_bad=args.skip_bad,
    )
    parts = ", ".join(f"{part} {share:.0%}" for part, share in made.shares.items())
    print(
        f"{len(made.data):,} videos of {len(made.data.names)} classes; frames with {parts}: "
        f"{args.out}"
    )


if __name__ == "__main__":
    from stadet.tools.cli import run_verb

    raise SystemExit(run_verb(sys.modules[__name__]))
