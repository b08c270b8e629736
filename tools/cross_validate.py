"""stad cross-validate: a classifier's accuracy over folds and seeds, with its spread."""

from __future__ import annotations

import argparse
import sys

from stadet.tools.cli import make_parser
from stadet.tools.training.command import split_settings

SUMMARY = "k-fold cross-validation of a classifier by groups, over seeds; a resumable table"
EXAMPLES = """\
examples:
  stad cross-validate configs/handwash.yaml --folds 5 --seeds 0 1 2 --out runs/cv
  stad cross-validate configs/handwash.yaml data.split=stratified --folds 5 --out runs/cv-videos

Videos of one group (a recording) stay together, unless data.split is stratified. A seed deals the
folds and starts the networks. The figure of a fold is that of the last weights, so that nothing is
chosen on the videos that judge; best.pt's would be higher. The same command continues where it was
stopped. DIR holds the runs, table.csv (a row a fold), summary.json and report/ (every video
answered once a seed by a model that never saw it).
"""


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser("cross-validate", SUMMARY, EXAMPLES)
    add = parser.add_argument
    add("settings", nargs="*", help="a configuration file, then key.path=value overrides")
    add("--out", required=True, metavar="DIR", help="folder of the runs and the table")
    add("--folds", type=int, default=5)
    add("--seeds", type=int, nargs="+", default=[0], help="one whole cross-validation each")
    return parser


def run(args: argparse.Namespace) -> int | None:
    from stadet.tools.classification.cross_validation import cross_validate
    from stadet.tools.classification.run_table import text_table

    file, overrides = split_settings(args.settings)
    result = cross_validate(file, overrides, args.out, folds=args.folds, seeds=args.seeds)
    if result is None:
        print(f"stopped; the same command continues {args.out}")
        return 130
    print(text_table(result.rows, ["seed", "fold", "videos", "right", "top1", "seconds"]))
    print(result.text())
    return None


if __name__ == "__main__":
    from stadet.tools.cli import run_verb

    raise SystemExit(run_verb(sys.modules[__name__]))
