"""stad grid-search: a classifier's validation accuracy over combinations of settings."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from stadet.tools.cli import make_parser
from stadet.tools.training.command import split_settings

SUMMARY = "train a classifier over combinations of settings; a resumable table"
EXAMPLES = """\
examples:
  stad grid-search configs/handwash.yaml --out runs/grid
  stad grid-search configs/handwash.yaml --out runs/grid --batches 8 16 --rates 1e-3 3e-4
  stad grid-search configs/handwash.yaml --out runs/sizes --sizes 64x64 84x84 128x128
  stad grid-search configs/handwash.yaml loop.epochs=20 --out runs/more \\
      --vary sampling.frames=8,16,32 --vary augment.flip=0,0.5

Without options: batch sizes 8, 16, 32 by learning rates 0.01, 0.001, 0.0001. Each combination is a
run folder below --out; table.csv grows run by run, and the same command continues where it was
stopped. The best combination was chosen on the validation side: judge it on other videos.
"""
BATCHES = (8, 16, 32)
RATES = (0.01, 0.001, 0.0001)


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser("grid-search", SUMMARY, EXAMPLES)
    add = parser.add_argument
    add("settings", nargs="*", help="a configuration file, then key.path=value overrides")
    add("--out", required=True, metavar="DIR", help="folder of the runs and table.csv")
    add("--batches", type=int, nargs="+", help="values of input.batch")
    add("--rates", type=float, nargs="+", help="values of loop.optimiser.lr")
    add("--sizes", nargs="+", metavar="HxW", help="values of input.size")
    add("--vary", action="append", default=[], metavar="KEY=A,B,..", help="values of any key")
    return parser


def run(args: argparse.Namespace) -> int | None:
    from stadet.tools.classification.grid import grid_search
    from stadet.tools.classification.run_table import text_table

    file, overrides = split_settings(args.settings)
    axes = grid_axes(args.batches, args.rates, args.sizes, args.vary)
    rows = grid_search(file, overrides, args.out, axes)
    if rows is None:
        print(f"stopped; the same command continues {args.out}")
        return 130
    print(text_table(rows, [*axes, "top1", "top5", "epoch", "seconds"]))
    print(f"table: {Path(args.out) / 'table.csv'}; best run: {Path(args.out) / rows[0]['run']}")
    return None


def grid_axes(
    batches: Sequence[int] | None = None,
    rates: Sequence[float] | None = None,
    sizes: Sequence[str] | None = None,
    vary: Sequence[str] = (),
) -> dict[str, list[str]]:
    """Key -> its values as YAML texts; 3 batch sizes by 3 rates where nothing is asked for.

    sizes: "HEIGHTxWIDTH"; vary: "KEY=A,B,..".
    """
    from stadet.engine.errors import UserError

    axes: dict[str, list[str]] = {}
    if batches or not (rates or sizes or vary):
        axes["input.batch"] = [str(b) for b in batches or BATCHES]
    if rates or not (batches or sizes or vary):
        axes["loop.optimiser.lr"] = [repr(r) for r in rates or RATES]
    if sizes:
        axes["input.size"] = [_size(text) for text in sizes]
    for text in vary:
        key, _, values = text.partition("=")
        if not key or not values or key in axes:
            raise UserError(f"--vary {text!r}: expected a new KEY=VALUE,VALUE,..")
        axes[key] = values.split(",")
    return axes


def _size(text: str) -> str:
    from stadet.engine.errors import UserError

    height, _, width = text.lower().partition("x")
    if not (height.isdigit() and width.isdigit()):
        raise UserError(f"--sizes: expected HEIGHTxWIDTH, found {text!r}")
    return f"[{height}, {width}]"


if __name__ == "__main__":
    from stadet.tools.cli import run_verb

    raise SystemExit(run_verb(sys.modules[__name__]))
