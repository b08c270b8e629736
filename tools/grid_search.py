"""stad grid-search: a classifier's validation accuracy over combinations of settings."""

from __future__ import annotations

import argparse
import itertools
import sys
from pathlib import Path

from stadet.tools.cli import make_parser

SUMMARY = "train a classifier over combinations of settings; a resumable table"
EXAMPLES = """\
examples:
  stad grid-search configs/handwash.yaml --out runs/grid
  stad grid-search configs/handwash.yaml --out runs/grid --batches 8 16 --rates 1e-3 3e-4
  stad grid-search configs/handwash.yaml --out runs/sizes --sizes 64x64 84x84 128x128
  stad grid-search configs/handwash.yaml loop.epochs=20 --out runs/more \\
      --vary sampling.frames=8,16,32 --vary augment.flip=0,0.5

Without options: batch sizes 8, 16, 32 by learning rates 0.01, 0.001, 0.0001. Each combination is a
run folder below --out; table.csv grows run by run, and the same command goes on where it was
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
    from stadet.tools.classification.run_table import run_all, text_table

    settings = list(args.settings)
    file = settings.pop(0) if settings and "=" not in settings[0] else None
    axes = grid_axes(args)
    folder = Path(args.out)
    rows = run_all(plan_grid(axes), file, settings, folder, best_of)
    if rows is None:
        print(f"stopped; the same command continues {folder}")
        return 130
    rows = sorted(rows, key=lambda row: -row["top1"])
    print(text_table(rows, [*axes, "top1", "top5", "epoch", "seconds"]))
    print(f"table: {folder / 'table.csv'}; best run: {folder / rows[0]['run']}")
    return None


def grid_axes(args: argparse.Namespace) -> dict[str, list[str]]:
    """key -> its values as YAML texts; the report's 3 x 3 where nothing is asked for."""
    from stadet.engine.errors import UserError

    axes: dict[str, list[str]] = {}
    if args.batches or not (args.rates or args.sizes or args.vary):
        axes["input.batch"] = [str(b) for b in args.batches or BATCHES]
    if args.rates or not (args.batches or args.sizes or args.vary):
        axes["loop.optimiser.lr"] = [repr(r) for r in args.rates or RATES]
    if args.sizes:
        axes["input.size"] = [_size(text) for text in args.sizes]
    for text in args.vary:
        key, _, values = text.partition("=")
        if not key or not values or key in axes:
            raise UserError(f"--vary {text!r}: expected a new KEY=VALUE,VALUE,..")
        axes[key] = values.split(",")
    return axes


def plan_grid(axes: dict[str, list[str]]):
    """A run for each combination, in the order of the axes."""
    from stadet.tools.classification.run_table import PlannedRun

    plans = []
    for values in itertools.product(*axes.values()):
        chosen = dict(zip(axes, values, strict=True))
        name = "_".join(f"{key.rpartition('.')[2]}-{_file_name(v)}" for key, v in chosen.items())
        overrides = tuple(f"{key}={value}" for key, value in chosen.items())
        plans.append(PlannedRun(name, {"run": name, **chosen}, overrides))
    return plans


def best_of(folder: Path, config) -> dict:
    """The best validation of a run."""
    from stadet.engine.errors import UserError
    from stadet.engine.runlog import read_events

    events = read_events(folder / "metrics.jsonl", "validation")
    if not events:
        raise UserError(f"{folder}: expected validations, found none; data.split=all has none")
    best = max(events, key=lambda event: event[config.loop.metric])
    return {key: best[key] for key in ("top1", "top5", "mean_class", "loss", "epoch")}


def _size(text: str) -> str:
    from stadet.engine.errors import UserError

    height, _, width = text.lower().partition("x")
    if not (height.isdigit() and width.isdigit()):
        raise UserError(f"--sizes: expected HEIGHTxWIDTH, found {text!r}")
    return f"[{height}, {width}]"


def _file_name(text: str) -> str:
    return text.strip("[]").replace(", ", "x").replace("/", "-")


if __name__ == "__main__":
    from stadet.tools.cli import run_verb

    raise SystemExit(run_verb(sys.modules[__name__]))
