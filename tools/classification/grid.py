"""A classifier's validation accuracy over combinations of settings."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stadet.engine.errors import UserError
from stadet.engine.runlog import read_events
from stadet.tools.classification.config import ClassifierConfig
from stadet.tools.classification.run_table import PlannedRun, run_all


def grid_search(
    config_file: str | Path | None,
    overrides: Sequence[str],
    out: str | Path,
    axes: Mapping[str, Sequence[str]],
) -> list[dict[str, Any]] | None:
    """Train a classifier for every combination of the values of some keys.

    The same call continues what was interrupted.

    Args:
        config_file: a classifier's configuration (None: the defaults).
        overrides: "key.path=value", later ones win.
        out: folder of the runs and `table.csv`.
        axes: key -> its values as YAML texts, as in {"loop.optimiser.lr": ["1e-3", "3e-4"]}.

    Returns:
        A row for each run (its folder's name under "run"), the best first; None where the user
        interrupted it. The best was chosen on the validation side: judge it on other videos.

    Raises:
        UserError: where `out` holds runs of another configuration.
    """
    rows = run_all(plan_grid(axes), config_file, overrides, Path(out), best_of)
    return None if rows is None else sorted(rows, key=lambda row: -row["top1"])


def plan_grid(axes: Mapping[str, Sequence[str]]) -> list[PlannedRun]:
    """A run for each combination, in the order of the axes."""
    plans = []
    for values in itertools.product(*axes.values()):
        chosen = dict(zip(axes, values, strict=True))
        name = "_".join(f"{key.rpartition('.')[2]}-{_file_name(v)}" for key, v in chosen.items())
        overrides = tuple(f"{key}={value}" for key, value in chosen.items())
        plans.append(PlannedRun(name, {"run": name, **chosen}, overrides))
    return plans


def best_of(folder: Path, config: ClassifierConfig) -> dict[str, Any]:
    """The best validation of a run."""
    events = read_events(folder / "metrics.jsonl", "validation")
    if not events:
        raise UserError(f"{folder}: expected validations, found none; data.split=all has none")
    best = max(events, key=lambda event: event[config.loop.metric])
    return {key: best[key] for key in ("top1", "top5", "mean_class", "loss", "epoch")}


def _file_name(text: str) -> str:
    return text.strip("[]").replace(", ", "x").replace("/", "-")
