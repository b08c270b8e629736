"""The report of a classifier: metrics.json, predictions.csv and one HTML page."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from stadet.classify.answers import Answers
from stadet.classify.figures import figures
from stadet.classify.rejection import Rejection
from stadet.detect.classification_batch import UNKNOWN
from stadet.detect.report import charts
from stadet.detect.report.pages import Card, Cell, Table, render
from stadet.detect.report.words import decimal, interval, percent
from stadet.engine.csv_files import CsvWriter
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
        writer = CsvWriter(stream)
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
    matrix = np.array(numbers["confusion"])
    mistakes = list(_wrong(answers))
    more = f" {len(mistakes) - MOST_MISTAKES:,} more in predictions.csv."
    return render(
        "classifier.html",
        package="stadet.classify",
        title=title,
        facts=facts,
        headlines=_headlines(numbers),
        notes=notes,
        classes=_classes(numbers),
        confusion_table=charts.confusion_table(matrix, answers.names, background=False),
        confusions=charts.confusions(matrix, answers.names),
        rejection=_rejection(numbers["rejection"]),
        training=learning_curves(events),
        mistakes=Table(
            ["video", "truth", "prediction", "its probability, %", "of the truth, %"],
            mistakes[:MOST_MISTAKES],
            text=(0, 1, 2),
        ),
        mistakes_remark=f"The most confident first.{more * (len(mistakes) > MOST_MISTAKES)}",
    )


def learning_curves(events: Sequence[dict[str, Any]]) -> list[Markup]:
    """Training loss, validation loss and accuracies against steps, as far as they were logged."""

    def of_validation(name: str):
        return lambda e: e.get(name) if e.get("event") == "validation" else None

    wanted = (
        (charts.training_loss, "training loss"),
        (of_validation("loss"), "validation loss"),
        (of_validation("top1"), "validation accuracy (top-1)"),
        (of_validation("top5"), "validation accuracy (top-5)"),
    )
    found = (charts.learning_chart(events, value_of, label) for value_of, label in wanted)
    return [chart for chart in found if chart]


def _headlines(numbers: dict[str, Any]) -> list[Card]:
    spread = numbers["top1_interval"]
    right = f"{numbers['right']:,} of {numbers['videos']:,} videos"
    return [
        Card(
            "top-1 accuracy",
            percent(numbers["top1"]),
            right + (f", 95% {interval(spread)}" if spread else ""),
        ),
        Card("top-5 accuracy", percent(numbers["top5"])),
        Card("mean class accuracy", percent(numbers["mean_class"]), "all classes weigh the same"),
    ]


def _classes(numbers: dict[str, Any]) -> Table:
    return Table(
        ["class", "recall, %", "videos", "precision, %", "F1, %"],
        [
            [
                name,
                Cell(percent(row["recall"]), row["recall"]),
                f"{row['videos']:,}",
                percent(row["precision"]),
                percent(row["f1"]),
            ]
            for name, row in numbers["per_class"].items()
        ],
    )


def _rejection(found: dict[str, Any] | None) -> Table | None:
    if found is None:
        return None
    how = (
        f"binary head below {decimal(found['known'])}"
        if found["known"] is not None
        else f"best class below {decimal(found['confidence'])}"
    )
    rows = [
        ["a video is none of these", how],
        ["videos of a class kept, %", percent(found["known_kept"])],
        [
            f"of {found['unknown_videos']:,} videos of no class rejected, %",
            percent(found["unknown_rejected"]),
        ],
    ]
    return Table(["", ""], rows)


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
