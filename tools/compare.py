"""stad compare: evaluated runs side by side, with differences and paired intervals."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from stadet.engine.signatures import checked
from stadet.tools.cli import add_overwrite, make_parser

if TYPE_CHECKING:
    from stadet.detect.report.comparison import Comparison

SUMMARY = "runs side by side with differences and intervals"
EXAMPLES = """\
examples:
  stad compare runs/frame runs/recurrent --out comparison
  stad compare runs/a/report runs/b/report runs/c/report --out comparison

Each folder is a run (its report/ is read) or a folder that stad evaluate wrote. Differences are to
the first one; their intervals are drawn with the same videos on both sides. Writes compare.json,
compare.md and compare.html.
"""


@dataclass(frozen=True, eq=False)
class ComparisonResult:
    """A comparison and its page.

    Attributes:
        comparison: the runs, and the differences of each later one to the first.
        page: path of compare.html.
    """

    comparison: Comparison
    page: Path


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser("compare", SUMMARY, EXAMPLES)
    parser.add_argument("runs", nargs="+", help="two or more evaluated runs, the baseline first")
    parser.add_argument("--out", required=True, help="folder of the comparison")
    parser.add_argument("--bootstrap", type=int, default=1000, help="replicates; 0 = no intervals")
    add_overwrite(parser)
    return parser


def run(args: argparse.Namespace) -> None:
    from stadet.engine.files import expect_absent

    files = ("compare.json", "compare.md", "compare.html")
    expect_absent(*(Path(args.out) / name for name in files), overwrite=args.overwrite)
    comparison = compare(args.runs, out=args.out, bootstrap=args.bootstrap)
    print((Path(args.out) / "compare.md").read_text(encoding="utf-8").strip())
    print(f"\nreport: {comparison.page}")


@checked
def compare(
    runs: str | Path | Sequence[str | Path], *, out: str | Path, bootstrap: int = 1000
) -> ComparisonResult:
    """Compare evaluated runs and write `compare.json`, `compare.md` and `compare.html`.

    Args:
        runs: two or more folders of runs or of reports, the baseline first.
        out: folder of the comparison.
        bootstrap: replicates of the paired intervals; 0 = no intervals.

    Raises:
        UserError: for fewer than two runs, and for folders without a report.
    """
    from stadet.detect.report import comparison
    from stadet.engine.errors import UserError
    from stadet.engine.files import path_list

    runs = path_list(runs)
    if len(runs) < 2:
        raise UserError(f"expected two or more runs to compare, found {len(runs)}")
    found = comparison.compare([comparison.read_run(path) for path in runs], bootstrap)
    return ComparisonResult(found, comparison.write_comparison(Path(out), found))


if __name__ == "__main__":
    from stadet.tools.cli import run_verb

    raise SystemExit(run_verb(sys.modules[__name__]))
