"""stad annotate-next: which stretches of new footage are worth annotating first."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from stadet.tools.cli import make_parser

SUMMARY = "choose the stretches of new footage that are worth annotating first"

EXAMPLES = """\
examples:
  stad annotate-next new/ --detections frame.jsonl recurrent.jsonl --out next
  stad annotate-next new/ --detections found.jsonl --data data/restaurant --count 40 --out next
  cd next && CVAT='--server-host https://cvat.example.com --auth USER' sh jobs.sh

With two detections files (a frame detector and one with memory, say) stretches rank by where the
detectors disagree, with one by the entropy of its scores; --data adds what is rare in it and leaves
its frames out. DIR gets stretches.csv, jobs.json, jobs.sh (a CVAT task each) and labels.json.
"""


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser("annotate-next", SUMMARY, EXAMPLES)
    add = parser.add_argument
    add("sources", nargs="+", metavar="VIDEO", help="video files, frame folders, folders of videos")
    add(
        "--detections",
        nargs="+",
        required=True,
        metavar="FILE",
        help="detections of the footage by one detector or two (stad predict --score-floor 0.05)",
    )
    add("--out", type=Path, required=True, metavar="DIR", help="a new folder")
    add("--data", type=Path, metavar="FILE", help="data set of what is annotated already")
    add("--seconds", type=float, default=4.0, help="length of a stretch (4)")
    add("--count", type=int, default=20, help="how many stretches (20)")
    add("--apart", type=float, default=4.0, help="seconds between stretches of a video (4)")
    add("--rarity", type=float, default=0.3, help="weight of rare classes, 0 to 1 (0.3)")
    add("--least", type=float, default=0.1, help="scores below it count as 0 (0.1)")
    return parser


def run(args: argparse.Namespace) -> None:
    from stadet.datasets.annotate_next import ChoiceOptions
    from stadet.tools.data.annotate_next import annotate_next, summary

    options = ChoiceOptions(args.seconds, args.count, args.apart, args.rarity, args.least)
    found = annotate_next(args.sources, args.detections, args.out, data=args.data, options=options)
    print(summary(found))
    print(f"written: {args.out}")


if __name__ == "__main__":
    from stadet.tools.cli import run_verb

    raise SystemExit(run_verb(sys.modules[__name__]))
