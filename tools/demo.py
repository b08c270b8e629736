"""stad demo: the whole route on generated footage, to a report and a boxed video."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from stadet.tools.cli import make_parser

SUMMARY = "the whole route on generated footage, on the CPU, in minutes"
EXAMPLES = """\
examples:
  stad demo
  stad demo --out demo3 --seed 3
  stad demo --minutes 2 --steps 200       (a quick look: the detectors will be poor)

Films a restaurant counter, finds anchors, trains a small YOLOv3 and then, from its weights, one
with memory; judges both on footage of another seed and draws the boxes of both into one video.
Some actions are each other's time reversal: one frame cannot tell them, memory can. Each step is
an ordinary command and is printed as such.
"""


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser("demo", SUMMARY, EXAMPLES)
    add = parser.add_argument
    add("--out", type=Path, default=Path("demo"), help="a new folder (default: demo)")
    add("--minutes", type=float, default=12.0, help="of footage to train on (default 12)")
    add("--steps", type=int, help="of each training (default: the configurations')")
    add("--seed", type=int, default=0)
    return parser


def run(args: argparse.Namespace) -> int | None:
    from stadet.tools.training.demo import MODELS, demo

    result = demo(args.out, minutes=args.minutes, steps=args.steps, seed=args.seed)
    if result is None:
        return 130
    print(f"\nDone in {result.seconds:.0f} s.")
    for name, title in MODELS.items():
        print(f"report, {title}: {result.reports[name]}")
    print(f"side by side: {result.comparison}")
    print(f"video of both: {result.video}")
    return None


if __name__ == "__main__":
    from stadet.tools.cli import run_verb

    raise SystemExit(run_verb(sys.modules[__name__]))
