"""The charts of the report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from stadet.detect.drawing.short_names import shortened
from stadet.detect.metrics.bootstrap import Interval
from stadet.detect.metrics.calibration import BINS
from stadet.detect.metrics.diagnosis import KINDS
from stadet.detect.metrics.evaluation import Evaluation
from stadet.detect.metrics.strata import Stratum
from stadet.detect.report.svg import Chart, round_ticks
from stadet.detect.report.words import percent

NAMED_CURVES = 6  # classes with a colour of their own
CURVE_POINTS = 160
NO_LOSS = ("event", "step", "epoch", "lr", "frames_per_second")  # the rest of a training event is
SHARES = [(s / 100, str(s)) for s in (0, 25, 50, 75, 100)]


def precision_recall_chart(e: Evaluation) -> tuple[Markup, list[tuple[str, str]]]:
    """The curves of all classes, the most frequent in colour; and their legend (style, name)."""
    chart = Chart(
        (0, 1),
        (0, 1),
        x_label="recall, %",
        y_label="precision, %",
        x_ticks=SHARES,
        y_ticks=SHARES,
    )
    order = [c for c in np.argsort(-e.counts.truths, kind="stable") if e.counts.truths[c]]
    legend = []
    for place, c in reversed(list(enumerate(order))):
        precision, recall, _ = e.ranking.curve(c)
        picked = _spread(len(recall), CURVE_POINTS)
        style = f"line c{place}" if place < NAMED_CURVES else "line rest"
        ap = percent(e.frame_map.at(0.5)[c])
        chart.line(recall[picked], precision[picked], style, f"{e.names[c]}: AP {ap}")
        if place < NAMED_CURVES:
            legend.append((f"c{place}", f"{shortened(e.names[c], 40)} {ap}"))
    if len(order) > NAMED_CURVES:
        legend.insert(0, ("rest", f"{len(order) - NAMED_CURVES} more classes"))
    return chart.render("Precision against recall of each class"), legend[::-1]


def threshold_chart(e: Evaluation) -> Markup:
    """Precision, recall and F1 of all boxes together against the score threshold."""
    ranking = e.ranking
    order = np.argsort(-ranking.score, kind="stable")
    score, found = ranking.score[order], np.cumsum(ranking.true_positive[order])
    kept, truths = np.arange(1, len(order) + 1), max(int(ranking.num_truths.sum()), 1)
    picked = _spread(len(order), CURVE_POINTS)
    chart = Chart(
        (0, 1),
        (0, 1),
        x_label="score threshold",
        y_label="%",
        y_ticks=SHARES,
    )
    score = score[picked].clip(0, 1)
    chart.line(score, (found / kept)[picked], "line c0", "precision")
    chart.line(score, (found / truths)[picked], "line c1", "recall")
    chart.line(score, (2 * found / (kept + truths))[picked], "line c2", "F1")
    at = min(max(e.thresholds.overall, 0.0), 1.0)
    chart.line([at, at], [0, 1], "mark", "threshold in use")
    return chart.render("Precision, recall and F1 against the score threshold")


def diagnosis_chart(e: Evaluation) -> Markup:
    """AP that each kind of error costs, with its count."""
    gains = {kind: _known(e.diagnosis.ap_gain[kind]) for kind in KINDS}
    counts = {kind: int(e.diagnosis.counts[kind].sum()) for kind in KINDS}
    remarks = {kind: f"{percent(gains[kind])} ({counts[kind]:,})" for kind in KINDS}
    top = max([*gains.values(), 0.01])
    chart = Chart(
        (0, top),
        (0, len(KINDS)),
        x_label="AP@0.5 gained if corrected, points",
        x_ticks=[(v / 100, words) for v, words in round_ticks((0, 100 * top))],
        y_ticks=[],
        left=104,
        right=12 + 7 * max(map(len, remarks.values())),
    )
    for place, kind in enumerate(KINDS):
        y = len(KINDS) - place - 0.5
        chart.bar((0, y - 0.3), (max(gains[kind], 0), y + 0.3), f"fill k{place}", KINDS[kind])
        chart.text(max(gains[kind], 0), y, remarks[kind], "start", (6, 4))
        chart.text(0, y, kind, "end", (-6, 4))
    return chart.render("AP cost of each kind of error")


def calibration_chart(e: Evaluation) -> Markup:
    """Share of right detections against score, over the number of detections in each bin."""
    chart = Chart(
        (0, 1),
        (0, 1),
        x_label="score",
        y_label="right, %",
        x_ticks=[(v / 4, f"{v / 4:g}") for v in range(5)],
        y_ticks=SHARES,
    )
    most = max(int(e.calibration.count.max()), 1)
    for place, count in enumerate(e.calibration.count):
        low, high = place / BINS + 0.005, (place + 1) / BINS - 0.005
        chart.bar((low, 0), (high, 0.4 * count / most), "fill soft", f"{count:,} detections")
    chart.line([0, 1], [0, 1], "mark", "calibrated")
    chart.line(e.calibration.score, e.calibration.precision, "line c0")
    chart.dots(e.calibration.score, e.calibration.precision, "dot c0")
    return chart.render("Share of right detections against score")


def strata_chart(strata: Sequence[Stratum], label: str) -> Markup:
    """AP in bins of a property of the truth."""
    ticks = [(i + 0.5, f"{_short(s.low)}–{_short(s.high)}") for i, s in enumerate(strata)]
    chart = Chart(
        (0, len(strata)),
        (0, 1),
        x_label=label,
        y_label="AP@0.5, %",
        x_ticks=ticks,
        y_ticks=SHARES,
    )
    for place, stratum in enumerate(strata):
        if np.isfinite(stratum.ap):
            words = f"{stratum.truths:,} truths, recall {percent(stratum.recall)} %"
            chart.bar((place + 0.15, 0), (place + 0.85, stratum.ap), "fill c0", words)
            chart.text(place + 0.5, stratum.ap, percent(stratum.ap))
    return chart.render(f"AP against {label}")


def training_loss(event: dict[str, Any]) -> float | None:
    """The total loss of an event of a run's log: the sum of its terms."""
    terms = [
        value
        for key, value in event.items()
        if key not in NO_LOSS and isinstance(value, (int, float))
    ]
    return sum(terms) if event.get("event") == "train" and terms else None


def validation_map(event: dict[str, Any]) -> float | None:
    """frame-mAP@0.5 of an event of a run's log."""
    return event.get("frame_map_50") if event.get("event") == "validation" else None


def learning_chart(
    events: Sequence[dict[str, Any]],
    value_of: Callable[[dict[str, Any]], float | None],
    label: str,
) -> Markup:
    """A value of a run's events against its steps; empty with fewer than two."""
    rows = [(e["step"], value) for e in events if (value := value_of(e)) is not None]
    if len(rows) < 2:
        return Markup()
    steps, values = np.array(rows, dtype=np.float64).T
    finite = values[np.isfinite(values)]
    if not len(finite):
        return Markup()
    low = min(0.0, float(finite.min()))
    chart = Chart(
        (0, float(steps.max())), (low, float(finite.max()) * 1.05), x_label="step", y_label=label
    )
    picked = _spread(len(steps), 400)
    chart.line(steps[picked], values[picked], "line c0", label)
    return chart.render(f"{label} against training steps")


ROW_NAME = 26  # columns of text of a class name next to a row of a chart
TABLE_NAME = 32  # .. and in the confusion matrix


def difference_chart(names: Sequence[str], differences: Sequence[Interval], label: str) -> Markup:
    """Differences with their intervals, one row a name, around the line of no difference."""
    ends = [e for d in differences for e in (d.value, d.low, d.high) if np.isfinite(e)]
    reach = max([abs(end) for end in ends] + [0.01]) * 1.1
    count = len(names)
    chart = Chart(
        (-reach, reach),
        (0, count),
        x_label=label,
        x_ticks=[(v / 100, words) for v, words in round_ticks((-100 * reach, 100 * reach))],
        y_ticks=[],
        height=60 + 24 * count,
        left=8 * ROW_NAME,
    )
    chart.line([0, 0], [0, count], "mark")
    for place, (name, found) in enumerate(zip(names, differences, strict=True)):
        y = count - place - 0.5
        style = "c2" if found.low > 0 else "c1" if found.high < 0 else "c0"
        chart.line([found.low, found.high], [y, y], f"line {style}", name)
        chart.dots([found.value], [y], f"dot {style}")
        chart.text(-reach, y, shortened(name, ROW_NAME), "end", (-6, 4))
    return chart.render(label)


@dataclass(frozen=True)
class Label:
    """A class name, whole and as short as a table of many columns needs it."""

    full: str
    short: str


@dataclass(frozen=True)
class ConfusionCell:
    """count of a pair (truth, prediction), its share of the row, and both in words."""

    count: int
    share: float
    right: bool
    words: str


@dataclass(frozen=True)
class ConfusionRow:
    """A true class; cells: one for each column, None where nothing can be counted."""

    label: Label
    cells: list[ConfusionCell | None]


@dataclass(frozen=True)
class ConfusionTable:
    """Rows true, columns predicted."""

    columns: list[Label]
    rows: list[ConfusionRow]


def confusion_table(
    matrix: np.ndarray, names: Sequence[str], most: int = 24, *, background: bool = True
) -> ConfusionTable:
    """Classes without truth, and those past the `most` frequent, are summed.

    matrix (C + 1, C + 1), the last row and column being the background; or (C, C) without one.
    """
    if not background:
        matrix = np.pad(matrix, (0, 1))
    matrix, names = _most_frequent(matrix, names, most)
    full = [*names, "background"] if background else list(names)
    if not background:
        matrix = matrix[:-1, :-1]
    rows = []
    for row, name in enumerate(full):
        total = matrix[row].sum()
        if not total:
            continue  # classes without truth have a column only
        cells = [
            None  # background taken for background is not counted
            if row == column == len(names)
            else ConfusionCell(
                int(count),
                float(count / total),
                row == column,
                f"{name} taken for {full[column]}: {count:,} of {total:,}",
            )
            for column, count in enumerate(matrix[row])
        ]
        rows.append(ConfusionRow(_label(name), cells))
    return ConfusionTable([_label(name) for name in full], rows)


def _label(name: str) -> Label:
    return Label(name, shortened(name, TABLE_NAME))


def confusions(matrix: np.ndarray, names: Sequence[str]) -> list[str]:
    """The commonest mistakes between classes, in words; matrix as for `confusion_table`."""
    size = len(names)
    between = matrix[:size, :size].copy()
    np.fill_diagonal(between, 0)
    order = np.argsort(-between, axis=None, kind="stable")[:5]
    return [
        f"{names[t]} taken for {names[p]}: {between[t, p]:,} "
        f"({percent(between[t, p] / max(matrix[t].sum(), 1))} % of its truths)"
        for t, p in zip(*np.unravel_index(order, between.shape), strict=True)
        if between[t, p]
    ]


def _most_frequent(
    matrix: np.ndarray, names: Sequence[str], most: int
) -> tuple[np.ndarray, list[str]]:
    size = len(names)
    truths = matrix.sum(axis=1)[:size]
    order = np.argsort(-truths, kind="stable").tolist()
    shown = [c for c in order if truths[c]][:most]
    rest = order[len(shown) :]
    groups = [[c] for c in shown] + ([rest] if rest else []) + [[size]]
    labels = [names[c] for c in shown] + ([f"{len(rest)} others"] if rest else [])
    sums = [[matrix[np.ix_(a, b)].sum() for b in groups] for a in groups]
    return np.array(sums, dtype=np.int64), labels


def _spread(count: int, points: int) -> np.ndarray:
    return np.unique(np.linspace(0, max(count - 1, 0), min(points, count)).astype(np.int64))


def _known(value: float) -> float:
    return value if np.isfinite(value) else 0.0


def _short(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 10 else f"{value:.2g}"
