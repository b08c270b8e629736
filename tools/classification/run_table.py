"""Many classifier runs as one resumable table: what grid search and cross-validation share."""

from __future__ import annotations

import csv
import json
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stadet.engine.config import from_dict, load_config, to_dict
from stadet.engine.errors import UserError
from stadet.engine.files import atomic_write
from stadet.engine.reading import read_json

_log = logging.getLogger(__name__)

RESULT = "result.json"


@dataclass(frozen=True)
class PlannedRun:
    """One run: its folder's name, the columns that tell it apart, and its overrides."""

    name: str
    columns: dict[str, Any]
    overrides: tuple[str, ...]


def run_all(
    plans: Sequence[PlannedRun],
    config_file: str | Path | None,
    settings: Sequence[str],
    folder: Path,
    judge: Callable[[Path, Any], dict[str, Any]],
) -> list[dict[str, Any]] | None:
    """Train and judge every planned run below `folder`; the table's rows, None if interrupted.

    A run that was finished keeps its result, one that was interrupted continues where it stopped.
    judge(run folder, configuration) -> more columns. `FOLDER/table.csv` is written after every run.
    UserError where a folder holds runs of another configuration.
    """
    from stadet.configs import find_config
    from stadet.tools.classification.config import ClassifierConfig
    from stadet.tools.classification.train import train_classifier

    file = find_config(config_file) if config_file else None
    rows = []
    for number, plan in enumerate(plans, 1):
        place = folder / plan.name
        overrides = [*settings, *plan.overrides, f"output={place}"]
        config = load_config(ClassifierConfig, file, overrides)
        _expect_same(place, to_dict(config))
        row = _finished(place)
        if row is None:
            words = ", ".join(f"{key} {value}" for key, value in plan.columns.items())
            _log.info(f"run {number} of {len(plans)}: {words}")
            begun = time.monotonic()
            resume = (place / "last.pt").exists()
            if train_classifier(config, resume=resume).interrupted:
                return None
            seconds = round(time.monotonic() - begun, 1)
            row = {**plan.columns, **judge(place, config), "seconds": seconds}
            with atomic_write(place / RESULT) as stream:
                json.dump(row, stream, indent=1)
        rows.append(row)
        write_table(folder / "table.csv", rows)
    return rows


def write_table(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """CSV with a column for every key that occurs."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    with atomic_write(path) as stream:
        writer = csv.DictWriter(stream, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def text_table(rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> str:
    """Rows as aligned text."""

    def words(value: Any) -> str:
        return f"{value:.4f}" if isinstance(value, float) else str(value)

    cells = [list(columns), *([words(row.get(c, "")) for c in columns] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True))
        for line in cells
    )


def _finished(place: Path) -> dict[str, Any] | None:
    path = place / RESULT
    return read_json(path, "the result of a run") if path.is_file() else None


def _expect_same(place: Path, wanted: dict[str, Any]) -> None:
    """Refuse to mix runs of different configurations in one table."""
    from stadet.engine.config import read_yaml
    from stadet.tools.classification.config import ClassifierConfig

    path = place / "config.yaml"
    if not path.is_file():
        return
    found = to_dict(from_dict(ClassifierConfig, read_yaml(path), str(path)))
    for config in (found, wanted):
        config.pop("output")
    if found != wanted:
        differing = [key for key in wanted if found.get(key) != wanted[key]]
        raise UserError(
            f"{place}: holds a run of another configuration ({', '.join(differing)} differ); "
            "choose another --out or remove it"
        )
