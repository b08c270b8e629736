"""stad compare: evaluated runs side by side, with differences and paired intervals."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from stadet.tools.cli import make_parser

SUMMARY = "runs side by side with differences and intervals"
EXAMPLES = """\
examples:
  stad compare runs/frame runs/recurrent --out comparison
  stad compare runs/a/report runs/b/report runs/c/report --out comparison

Each folder is a run (its report/ is read) or a folder that stad evaluate wrote. Differences are to
the first one; their intervals are drawn with the same videos on both sides. Writes compare.json,
compare.md and compare.html.
"""


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser("compare", SUMMARY, EXAMPLES)
    parser.add_argument("runs", nargs="+", help="two or more evaluated runs, the baseline first")
    parser.add_argument("--out", required=True, help="folder of the comparison")
    parser.add_argument("--bootstrap", type=int, default=1000, help="replicates; 0 = no intervals")
    return parser


def run(args: argparse.Namespace) -> None:
    from stadet.detect.report.comparison import compare, read_run, write_comparison
    from stadet.engine.errors import UserError

    if len(args.runs) < 2:
        raise UserError("expected two or more runs to compare, found one")
    comparison = compare([read_run(path) for path in args.runs], args.bootstrap)
    page = write_comparison(Path(args.out), comparison)
    print((Path(args.out) / "compare.md").read_text(encoding="utf-8").strip())
    print(f"\nreport: {page}")


if __name__ == "__main__":
    from stadet.tools.cli import run_verb

    raise SystemExit(run_verb(sys.modules[__name__]))
