"""stad cross-validate: a classifier's accuracy over folds and seeds, with its spread."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from stadet.tools.cli import make_parser

SUMMARY = "k-fold cross-validation of a classifier by groups, over seeds; a resumable table"
EXAMPLES = """\
examples:
  stad cross-validate configs/handwash.yaml --folds 5 --seeds 0 1 2 --out runs/cv
  stad cross-validate configs/handwash.yaml data.split=stratified --folds 5 --out runs/cv-videos

Videos of one group (a recording) stay together, unless data.split is stratified. A seed deals the
folds and starts the networks. The figure of a fold is that of the last weights, so that nothing is
chosen on the videos that judge; best.pt's would be higher. The same command goes on where it was
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
    from stadet.tools.classification.run_table import run_all, text_table

    settings = list(args.settings)
    file = settings.pop(0) if settings and "=" not in settings[0] else None
    folder = Path(args.out)
    rows = run_all(plan_folds(args.folds, args.seeds), file, settings, folder, judge_last)
    if rows is None:
        print(f"stopped; the same command continues {folder}")
        return 130
    print(text_table(rows, ["seed", "fold", "videos", "right", "top1", "seconds"]))
    for line in summarise(rows, folder):
        print(line)
    return None


def plan_folds(folds: int, seeds: list[int]):
    """A run for each fold of each seed."""
    from stadet.engine.errors import UserError
    from stadet.tools.classification.run_table import PlannedRun

    if folds < 2 or len(set(seeds)) < len(seeds):
        raise UserError(f"expected 2 or more folds and different seeds, found {folds} and {seeds}")
    plans = []
    for seed in seeds:
        for fold in range(folds):
            name = f"seed{seed}_fold{fold}"
            overrides = (
                f"seed={seed}",
                f"data.split_seed={seed}",
                f"data.folds={folds}",
                f"data.fold={fold}",
            )
            plans.append(PlannedRun(name, {"run": name, "seed": seed, "fold": fold}, overrides))
    return plans


def judge_last(folder: Path, config) -> dict:
    """The held-out fold's answers by the last weights, kept in `held-out.csv`."""
    import torch

    from stadet.classify.figures import score
    from stadet.classify.report import write_predictions
    from stadet.detect.classification_batch import UNKNOWN
    from stadet.tools.classification.data import open_footage
    from stadet.tools.classification.reports import answers_of

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    footage = open_footage(config.data, config.input, config.sampling)
    answers = answers_of(folder / "last.pt", footage, "val", device)
    write_predictions(folder / "held-out.csv", answers)
    right = int((answers.predicted == answers.labels).sum())
    return {"videos": int((answers.labels != UNKNOWN).sum()), "right": right, **score(answers)}


def summarise(rows: list[dict], folder: Path) -> list[str]:
    """Write `summary.json` and `report/`; the lines to print."""
    import json

    import numpy as np

    from stadet.classify.answers import average_clips
    from stadet.classify.report import write_report
    from stadet.engine.files import atomic_write

    by_seed: dict[int, tuple[int, int]] = {}
    for row in rows:
        right, videos = by_seed.get(row["seed"], (0, 0))
        by_seed[row["seed"]] = right + row["right"], videos + row["videos"]
    pooled = {seed: right / videos for seed, (right, videos) in by_seed.items()}
    of_seeds = np.array(list(pooled.values()))
    of_folds = np.array([row["top1"] for row in rows])
    summary = {
        "folds": len(rows) // len(pooled),
        "seeds": list(pooled),
        "accuracy": float(of_seeds.mean()),
        "accuracy_by_seed": pooled,
        "spread_over_seeds": float(of_seeds.std(ddof=1)) if len(of_seeds) > 1 else None,
        "mean_of_folds": float(of_folds.mean()),
        "spread_over_folds": float(of_folds.std(ddof=1)),
    }
    with atomic_write(folder / "summary.json") as stream:
        json.dump(summary, stream, indent=1)
    names, answered = read_held_out([folder / row["run"] / "held-out.csv" for row in rows])
    page = write_report(
        folder / "report",
        average_clips(answered, names),
        title=f"{folder.resolve().name}: cross-validation",
        facts=[("Runs", f"{summary['folds']} folds, seeds {list(pooled)}, last weights")],
        notes=[
            "A video's probabilities are averaged over the seeds here, which is an ensemble: "
            "the accuracy of single models stands in summary.json."
        ]
        if len(pooled) > 1
        else [],
    )
    spread = summary["spread_over_seeds"]
    lines = [
        f"accuracy {summary['accuracy']:.4f} over {len(pooled)} seeds"
        + (f" (standard deviation over seeds {spread:.4f})" if spread is not None else ""),
        f"mean of the folds {summary['mean_of_folds']:.4f}, standard deviation over folds "
        f"{summary['spread_over_folds']:.4f}",
        f"report: {page}",
    ]
    return lines


def read_held_out(paths: list[Path]):
    """Class names, and (video, label, probabilities and P(known)) of every held-out answer."""
    import csv

    import numpy as np

    from stadet.detect.classification_batch import UNKNOWN
    from stadet.engine.csv_files import cell_text

    names: list[str] = []
    rows = []
    for path in paths:
        with open(path, encoding="utf-8", newline="") as stream:
            reader = csv.reader(stream)
            names = [cell_text(name) for name in next(reader)[5:]]
            for row in reader:
                video, truth, _, _, known, *probabilities = map(cell_text, row)
                values = [float(p) for p in probabilities] + [float(known or "nan")]
                label = names.index(truth) if truth else UNKNOWN
                rows.append((video, label, np.array(values)))
    return names, rows


if __name__ == "__main__":
    from stadet.tools.cli import run_verb

    raise SystemExit(run_verb(sys.modules[__name__]))
