"""Evaluated runs side by side: differences to the first, with paired intervals."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stadet.detect.metrics.bootstrap import FrameMAPIntervals, Interval, paired_difference
from stadet.detect.metrics.unit_ranking import UnitRanking
from stadet.detect.report.charts import difference_chart
from stadet.detect.report.figures import plain, read_figures, write_figures
from stadet.detect.report.markdown import escaped, table
from stadet.detect.report.pages import Cell, Table, render
from stadet.detect.report.words import by_frequency, facts, percent
from stadet.engine.errors import UserError
from stadet.engine.files import atomic_write

MOST_DRAWN = 24  # classes in a plot
ROWS = {
    "frame_map_50": "frame-mAP@0.5",
    "frame_map_50_95": "frame-mAP@0.5:0.95",
    "precision": "precision",
    "recall": "recall",
    "f1": "F1",
    "localization_recall": "localization recall",
    "classification_accuracy": "classification accuracy",
}
DIRECTION_ROWS = {
    "everywhere": "direction accuracy of reversed pairs (50 = chance)",
    "motionless": "the same where the hand rests",
}


@dataclass(frozen=True, eq=False)
class EvaluatedRun:
    """A folder that stad evaluate wrote: its name, figures and ranking."""

    name: str
    figures: dict[str, Any]
    ranking: UnitRanking


@dataclass(frozen=True, eq=False)
class Comparison:
    """Runs, the differences of each later run to the first (None where the two were not scored on
    the same truth under the same protocol), and what does not match, in words."""

    runs: list[EvaluatedRun]
    differences: list[FrameMAPIntervals | None]
    warnings: list[str]


def read_run(path: str | os.PathLike) -> EvaluatedRun:
    """An evaluation's folder, or a run folder whose `report/` holds one. UserError for neither."""
    path = Path(path)
    for folder in (path, path / "report"):
        if (folder / "metrics.json").is_file():
            return EvaluatedRun(
                path.resolve().name if path.name in ("", ".", "..") else path.name,
                read_figures(folder / "metrics.json"),
                UnitRanking.load(folder / "ranking.npz"),
            )
    raise UserError(
        f"{path}: expected metrics.json (or report/metrics.json), found neither; "
        "run stad evaluate first"
    )


def compare(runs: Sequence[EvaluatedRun], replicates: int = 1000) -> Comparison:
    """Compare runs with the first. Runs of the same name get a number."""
    names: list[str] = []
    for run in runs:
        count = sum(name.split(" #")[0] == run.name for name in names)
        names.append(f"{run.name} #{count + 1}" if count else run.name)
    runs = [
        EvaluatedRun(name, run.figures, run.ranking) for name, run in zip(names, runs, strict=True)
    ]
    first, warnings = runs[0], []
    differences: list[FrameMAPIntervals | None] = []
    for run in runs[1:]:
        problem = _mismatch(first, run)
        if problem:
            warnings.append(f"{run.name} against {first.name}: {problem}; no difference is given")
            differences.append(None)
            continue
        ap_first, ap_run = _average_precisions(first), _average_precisions(run)
        differences.append(
            paired_difference(first.ranking, run.ranking, ap_first, ap_run, replicates)
        )
    return Comparison(list(runs), differences, warnings)


def write_comparison(folder: Path, comparison: Comparison) -> Path:
    """`compare.json`, `compare.md` and `compare.html`; returns the page's path."""
    write_figures(folder / "compare.json", _figures(comparison))
    with atomic_write(folder / "compare.md") as stream:
        stream.write(_markdown(comparison))
    with atomic_write(folder / "compare.html") as stream:
        stream.write(_page(comparison))
    return folder / "compare.html"


def _mismatch(a: EvaluatedRun, b: EvaluatedRun) -> str:
    if a.figures["protocol_details"] != b.figures["protocol_details"]:
        return f"protocols {a.figures['protocol']} and {b.figures['protocol']} do not compare"
    if not a.ranking.same_truth(b.ranking):
        return "they were not scored on the same truth"
    return ""


def _average_precisions(run: EvaluatedRun) -> np.ndarray:
    rows = [run.figures["per_class"][name]["ap_50"] for name in run.ranking.names]
    return np.array([np.nan if value is None else value for value in rows])


def _figures(comparison: Comparison) -> dict[str, Any]:
    first = comparison.runs[0]
    result = []
    for run, found in zip(comparison.runs[1:], comparison.differences, strict=True):
        entry: dict[str, Any] = {"run": run.name, "against": first.name, "frame_map_50": None}
        if found is not None:
            entry["frame_map_50"] = found.mean.value
            entry["frame_map_50_interval"] = [found.mean.low, found.mean.high]
            entry["per_class"] = {
                name: {"ap_50": d.value, "ap_50_interval": [d.low, d.high]}
                for name, d in zip(run.ranking.names, found.per_class, strict=True)
            }
            entry["bootstrap"] = {"units": found.units, "replicates": found.replicates}
        result.append(entry)
    runs = {
        run.name: {key: run.figures[key] for key in (*ROWS, "threshold", "protocol")}
        for run in comparison.runs
    }
    return plain({"runs": runs, "differences": result, "warnings": comparison.warnings})


def _overview_rows(comparison: Comparison) -> list[list[str]]:
    """Figures by row, runs by column."""
    rows = [
        [label, *(percent(run.figures[key]) for run in comparison.runs)]
        for key, label in ROWS.items()
    ]
    overlaps = {overlap for run in comparison.runs for overlap in run.figures["video_map"] or {}}
    rows += [
        [
            f"video-mAP@{overlap}",
            *(percent((run.figures["video_map"] or {}).get(overlap)) for run in comparison.runs),
        ]
        for overlap in sorted(overlaps, key=lambda name: (":" in name, name))
    ]
    return rows + _direction_rows(comparison)


def _direction_rows(comparison: Comparison) -> list[list[str]]:
    """Means over the reversed pairs, where some run was scored on them."""
    rows = []
    for where, label in DIRECTION_ROWS.items():
        accuracies = [
            [pair["accuracy"] for pair in (run.figures["direction"] or {}).get(where, [])]
            for run in comparison.runs
        ]
        if any(accuracies):
            rows.append([label, *(percent(_mean(found)) for found in accuracies)])
    return rows


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _difference_rows(comparison: Comparison) -> list[list[str]]:
    """Differences to the first run: frame-mAP, then classes by frequency."""
    known = [d for d in comparison.differences if d is not None]
    rows = [["frame-mAP@0.5", *(_signed(d.mean) for d in known)]]
    for name in _class_order(comparison):
        c = comparison.runs[0].ranking.names.index(name)
        rows.append([name, *(_signed(d.per_class[c]) for d in known)])
    return rows


def _class_order(comparison: Comparison) -> list[str]:
    """Classes with truth, the most frequent first."""
    return [name for name, _ in by_frequency(comparison.runs[0].figures)]


def _signed(found: Interval) -> str:
    words = f"{100 * found.value:+.1f}"
    if np.isnan(found.low):
        return words
    sure = found.low > 0 or found.high < 0
    return f"{words} ({100 * found.low:+.1f} to {100 * found.high:+.1f}){' *' if sure else ''}"


def _difference_head(comparison: Comparison) -> list[str]:
    later = zip(comparison.runs[1:], comparison.differences, strict=True)
    return ["AP@0.5", *(run.name for run, found in later if found is not None)]


def _explanation(comparison: Comparison) -> str:
    known = next((d for d in comparison.differences if d is not None and d.replicates), None)
    if known is None:
        return "No intervals."
    return (
        f"Points; in brackets the 95% interval of the difference, from {known.replicates:,} "
        f"bootstrap draws of {known.units}, the same for both runs. * the interval excludes 0."
    )


def _markdown(comparison: Comparison) -> str:
    names = [run.name for run in comparison.runs]
    lines = ["# Comparison", ""]
    for run in comparison.runs:
        lines.append(f"- {escaped(run.name)}: {escaped(dict(facts(run.figures))['Protocol'])}")
    lines += ["", *table(["%", *names], _overview_rows(comparison))]
    if any(d is not None for d in comparison.differences):
        lines += ["", f"## Difference to {escaped(names[0])}", "", _explanation(comparison), ""]
        lines += table(_difference_head(comparison), _difference_rows(comparison))
    lines += ["", *(f"- {escaped(warning)}" for warning in comparison.warnings)]
    return "\n".join(lines).rstrip() + "\n"


def _page(comparison: Comparison) -> str:
    names = [run.name for run in comparison.runs]
    order = _class_order(comparison)
    drawn = order[:MOST_DRAWN]
    plots = [
        (
            run.name,
            difference_chart(
                ["all classes", *drawn],
                [found.mean, *(found.per_class[run.ranking.names.index(name)] for name in drawn)],
                "AP@0.5, points",
            ),
        )
        for run, found in zip(comparison.runs[1:], comparison.differences, strict=True)
        if found is not None
    ]
    return render(
        "comparison.html",
        title="Comparison",
        heading=" against ".join([" and ".join(names[1:]), names[0]]),
        baseline=names[0],
        facts=[
            (run.name, "; ".join(f"{what}: {how}" for what, how in facts(run.figures)))
            for run in comparison.runs
        ],
        notes=comparison.warnings,
        overview=Table(["%", *names], _overview_rows(comparison)),
        plots=plots,
        differences=Table(_difference_head(comparison), _difference_rows(comparison)),
        explanation=_explanation(comparison),
        per_class=Table(["class", *names], [_ap_row(comparison, name) for name in order]),
    )


def _ap_row(comparison: Comparison, name: str) -> list[str | Cell]:
    found = [run.figures["per_class"].get(name, {}).get("ap_50") for run in comparison.runs]
    return [name, *(Cell(percent(ap), ap) for ap in found)]
