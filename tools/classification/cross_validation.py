"""K-fold cross-validation of a classifier over seeds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from stadet.classify.answers import average_clips
from stadet.classify.figures import score
from stadet.classify.report import write_predictions, write_report
from stadet.detect.classification_batch import UNKNOWN
from stadet.engine.csv_files import cell_text
from stadet.engine.errors import UserError
from stadet.engine.files import atomic_write
from stadet.engine.reading import csv_rows, parse_number
from stadet.engine.signatures import checked
from stadet.tools.classification.config import ClassifierConfig
from stadet.tools.classification.data import open_footage
from stadet.tools.classification.reports import answers_of
from stadet.tools.classification.run_table import PlannedRun, run_all


@dataclass(frozen=True, eq=False)
class CrossValidation:
    """A finished cross-validation.

    Attributes:
        rows: the table, one a fold and seed.
        summary: accuracy over seeds and folds with its spread; also in `summary.json`.
        report: the page over all held-out videos.
    """

    rows: list[dict[str, Any]]
    summary: dict[str, Any]
    report: Path

    def text(self) -> str:
        """The summary to read."""
        s, spread = self.summary, self.summary["spread_over_seeds"]
        return "\n".join(
            [
                f"accuracy {s['accuracy']:.4f} over {len(s['seeds'])} seeds"
                + (f" (standard deviation over seeds {spread:.4f})" if spread is not None else ""),
                f"mean of the folds {s['mean_of_folds']:.4f}, standard deviation over folds "
                f"{s['spread_over_folds']:.4f}",
                f"report: {self.report}",
            ]
        )


@checked
def cross_validate(
    config_file: str | Path | None,
    overrides: Sequence[str],
    out: str | Path,
    *,
    folds: int = 5,
    seeds: Sequence[int] = (0,),
) -> CrossValidation | None:
    """Train and judge a classifier on each fold of each seed.

    The figure of a fold is that of the last weights, so that nothing is chosen on the videos that
    judge. The same call continues what was interrupted.

    Args:
        config_file: a classifier's configuration (None: the defaults).
        overrides: "key.path=value", later ones win.
        out: folder of the runs, `table.csv`, `summary.json` and `report/`.
        folds: number of parts; videos of one group stay together unless data.split=stratified.
        seeds: one whole cross-validation each; a seed deals the folds and starts the networks.

    Returns:
        None where the user interrupted it.

    Raises:
        UserError: where `out` holds runs of another configuration.
    """
    rows = run_all(plan_folds(folds, seeds), config_file, overrides, Path(out), judge_last)
    return None if rows is None else summarise(rows, Path(out))


def plan_folds(folds: int, seeds: Sequence[int]) -> list[PlannedRun]:
    """A run for each fold of each seed."""
    if folds < 2 or not 0 < len(set(seeds)) == len(seeds):
        raise UserError(
            f"expected 2 or more folds and different seeds, found {folds} and {list(seeds)}"
        )
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


def judge_last(folder: Path, config: ClassifierConfig) -> dict[str, Any]:
    """The held-out fold's answers by the last weights, kept in `held-out.csv`."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    footage = open_footage(config.data, config.input, config.sampling)
    answers = answers_of(folder / "last.pt", footage, "val", device)
    write_predictions(folder / "held-out.csv", answers)
    right = int((answers.predicted == answers.labels).sum())
    return {"videos": int((answers.labels != UNKNOWN).sum()), "right": right, **score(answers)}


def summarise(rows: list[dict[str, Any]], folder: Path) -> CrossValidation:
    """Write `summary.json` and `report/` of the finished rows."""
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
            "the accuracy of single models is in summary.json."
        ]
        if len(pooled) > 1
        else [],
    )
    return CrossValidation(rows, summary, page)


def read_held_out(
    paths: Sequence[Path],
) -> tuple[list[str], list[tuple[str, int, np.ndarray]]]:
    """Class names, and (video, label, probabilities and P(known)) of every held-out answer."""
    names: list[str] = []
    rows = []
    for path in paths:
        lines = csv_rows(path, "held-out answers")
        names = [cell_text(name) for name in next(lines, (0, []))[1][5:]]
        for number, row in lines:
            where = f"{path}, line {number}"
            if len(row) != 5 + len(names) or (row[1] and cell_text(row[1]) not in names):
                raise UserError(f"{where}: expected an answer for each class; run it again")
            video, truth, _, _, known, *probabilities = map(cell_text, row)
            values = [parse_number(p, where) for p in probabilities]
            values.append(parse_number(known, where) if known else np.nan)
            label = names.index(truth) if truth else UNKNOWN
            rows.append((video, label, np.array(values)))
    return names, rows
