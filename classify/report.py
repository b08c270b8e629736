"""The report of a classifier: metrics.json, predictions.csv and one HTML page."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from stadet.classify.answers import Answers
from stadet.classify.figures import figures
from stadet.classify.rejection import Rejection
from stadet.detect.classification_batch import UNKNOWN
from stadet.detect.report import charts
from stadet.detect.report.html import note, page, panel, panels, rows_table, section, share_cell
from stadet.detect.report.words import decimal, interval, percent
from stadet.engine.files import atomic_write

NONE = "none of these"
MOST_MISTAKES = 40


def write_report(
    folder: str | os.PathLike,
    answers: Answers,
    *,
    title: str,
    rejection: Rejection | None = None,
    facts: Sequence[tuple[str, str]] = (),
    notes: Sequence[str] = (),
    events: Sequence[dict[str, Any]] = (),
) -> Path:
    """Write `metrics.json`, `predictions.csv` and `report.html`; returns the page's path.

    facts: (what, how) lines under the title; events: of a run's metrics.jsonl, for learning curves.
    """
    folder = Path(folder)
    numbers = figures(answers, rejection)
    with atomic_write(folder / "metrics.json") as stream:
        json.dump(numbers, stream, indent=1)
    write_predictions(folder / "predictions.csv", answers, rejection)
    with atomic_write(folder / "report.html") as stream:
        stream.write(report_page(answers, numbers, title, facts, notes, events))
    return folder / "report.html"


def write_predictions(
    path: str | os.PathLike, answers: Answers, rejection: Rejection | None = None
) -> None:
    """A row a video: truth, prediction, its probability, then the probability of each class."""
    none = (rejection or Rejection()).rejects(answers)
    with atomic_write(path) as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["video", "truth", "predicted", "probability", "known", *answers.names])
        for i, video in enumerate(answers.videos):
            label = answers.labels[i]
            writer.writerow(
                [
                    video,
                    answers.names[label] if label != UNKNOWN else "",
                    NONE if none[i] else answers.names[answers.predicted[i]],
                    f"{answers.confidence[i]:.6f}",
                    f"{answers.known[i]:.6f}" if np.isfinite(answers.known[i]) else "",
                    *(f"{p:.6f}" for p in answers.probabilities[i]),
                ]
            )


def report_page(
    answers: Answers,
    numbers: dict[str, Any],
    title: str,
    facts: Sequence[tuple[str, str]],
    notes: Sequence[str],
    events: Sequence[dict[str, Any]],
) -> str:
    """One self-contained HTML page."""
    rows = "".join(f"<dt>{escape(a)}</dt><dd>{escape(b)}</dd>" for a, b in facts)
    body = [
        f"<h1>{escape(title)}</h1>",
        f'<dl class="facts">{rows}</dl>' if rows else "",
        _cards(numbers),
        *(note(words) for words in notes),
        section("Classes", _classes(numbers)),
        section("Which class for which", _confusion(np.array(numbers["confusion"]), answers.names)),
        section("None of these", _rejection(numbers["rejection"])),
        section("Training", learning_curves(events)),
        section("Mistakes", _mistakes(answers)),
        "<footer>The same figures stand in metrics.json, every answer in predictions.csv beside "
        "this page. A video is one answer: the probabilities of its clips are averaged.</footer>",
    ]
    return page(title, body)


def learning_curves(events: Sequence[dict[str, Any]]) -> str:
    """Training loss, validation loss and accuracies against steps."""

    def of_validation(name: str):
        return lambda e: e.get(name) if e.get("event") == "validation" else None

    wanted = (
        (charts.training_loss, "training loss"),
        (of_validation("loss"), "validation loss"),
        (of_validation("top1"), "validation accuracy (top-1)"),
        (of_validation("top5"), "validation accuracy (top-5)"),
    )
    return panels(
        panel("", chart)
        for value_of, label in wanted
        if (chart := charts.learning_chart(events, value_of, label))
    )


def _cards(numbers: dict[str, Any]) -> str:
    spread = numbers["top1_interval"]
    cards = [
        (
            "top-1 accuracy",
            percent(numbers["top1"]),
            f"{numbers['right']:,} of {numbers['videos']:,} videos"
            + (f", 95% {interval(spread)}" if spread else ""),
        ),
        ("top-5 accuracy", percent(numbers["top5"]), ""),
        ("mean class accuracy", percent(numbers["mean_class"]), "each class counts alike"),
    ]
    parts = "".join(
        f'<div class="card"><div class="name">{escape(name)}</div><div class="number">{value}'
        f'<small> %</small></div><div class="remark">{escape(remark)}</div></div>'
        for name, value, remark in cards
    )
    return f'<div class="cards" style="--columns:{len(cards)}">{parts}</div>'


def _classes(numbers: dict[str, Any]) -> str:
    table = rows_table(
        ["class", "recognised, %", "videos", "precision, %", "F1, %"],
        (
            [
                name,
                share_cell(percent(row["recall"]), row["recall"]),
                f"{row['videos']:,}",
                percent(row["precision"]),
                percent(row["f1"]),
            ]
            for name, row in numbers["per_class"].items()
        ),
    )
    return panel("", table, wide=True)


def _confusion(matrix: np.ndarray, names: Sequence[str]) -> str:
    words = "".join(f"<li>{escape(line)}</li>" for line in charts.confusions(matrix, names))
    table = charts.confusion_table(matrix, names, background=False)
    return panel(
        "",
        table + (f"<ul>{words}</ul>" if words else ""),
        "Rows: truth; columns: answers.",
        wide=True,
    )


def _rejection(found: dict[str, Any] | None) -> str:
    if found is None:
        return ""
    how = (
        f"binary head below {decimal(found['known'])}"
        if found["known"] is not None
        else f"best class below {decimal(found['confidence'])}"
    )
    rows = [
        ["an answer is none of these", how],
        ["videos of a class kept, %", percent(found["known_kept"])],
        [
            f"of {found['unknown_videos']:,} videos of no class turned away, %",
            percent(found["unknown_rejected"]),
        ],
    ]
    return panel("", rows_table(["", ""], rows), "Thresholds are learnt on the validation side.")


def _mistakes(answers: Answers) -> str:
    rows = list(_wrong(answers))
    if not rows:
        return ""
    table = rows_table(
        ["video", "truth", "answer", "its probability, %", "of the truth, %"], rows[:MOST_MISTAKES]
    )
    more = f"{len(rows) - MOST_MISTAKES:,} more in predictions.csv." * (len(rows) > MOST_MISTAKES)
    return panel("", table, f"The surest first. {more}".strip(), wide=True)


def _wrong(answers: Answers) -> Iterator[list[str]]:
    wrong = (answers.labels != UNKNOWN) & (answers.predicted != answers.labels)
    for i in sorted(np.flatnonzero(wrong), key=lambda i: -answers.confidence[i]):
        yield [
            answers.videos[i],
            answers.names[answers.labels[i]],
            answers.names[answers.predicted[i]],
            percent(answers.confidence[i]),
            percent(answers.probabilities[i, answers.labels[i]]),
        ]
