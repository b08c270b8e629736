"""stad make-reversals: a generated classification set whose classes are exact time reversals."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from stadet.tools.cli import make_parser

SUMMARY = "generate a classification set of exact time reversals"
EXAMPLES = """\
examples:
  stad make-reversals --out data/reversals
  stad make-reversals --out data/reversals --pairs 2 --performances 100 --size 64 96

DIR holds train/ and val/ with a folder of frame folders a class. Every performance is there
twice, forwards under one class and backwards under its reversal, so a model that is blind to the
order of frames is at chance.
"""


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser("make-reversals", SUMMARY, EXAMPLES)
    add = parser.add_argument
    add("--out", type=Path, required=True, metavar="DIR", help="folder to write, new or empty")
    add("--pairs", type=int, default=1, help="pairs of classes (default 1)")
    add("--performances", type=int, default=60, help="of each pair (default 60)")
    add("--val", type=float, default=0.25, help="share for validation (default 0.25)")
    add("--size", type=int, nargs=2, default=[48, 72], metavar=("HEIGHT", "WIDTH"))
    add("--seed", type=int, default=0)
    return parser


def run(args: argparse.Namespace) -> None:
    from stadet.datasets.labelled.reversals import write_reversals

    folder = write_reversals(
        args.out,
        performances=args.performances,
        pairs=args.pairs,
        val=args.val,
        size=tuple(args.size),
        seed=args.seed,
    )
    print(f"{2 * args.pairs} classes, {2 * args.pairs * args.performances:,} videos: {folder}")


if __name__ == "__main__":
    from stadet.tools.cli import run_verb

    raise SystemExit(run_verb(sys.modules[__name__]))
