"""The report of an evaluation as one HTML page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from stadet.detect.metrics.diagnosis import KINDS
from stadet.detect.metrics.evaluation import Evaluation
from stadet.detect.report import charts
from stadet.detect.report.gallery import FrameKey, example_frames
from stadet.detect.report.happened import class_rows, event_summary, other_rows, rule_rows
from stadet.detect.report.pages import Cell, Picture, Table, render
from stadet.detect.report.words import (
    balance,
    by_frequency,
    decimal,
    direction_rows,
    facts,
    headlines,
    interval,
    percent,
    top_classes,
    without_truth,
)

STRATA = {
    "size": "box size (root of area), pixels",
    "duration": "duration of the action, s",
    "motion": "motion, box sizes a second",
}


@dataclass(frozen=True)
class FrameLink:
    """A frame in words; anchor: id of its picture on the page, "" without one."""

    words: str
    anchor: str


@dataclass(frozen=True)
class ErrorExamples:
    """Frames that show one kind of error."""

    kind: str
    words: str
    frames: list[FrameLink]


def report_page(
    evaluation: Evaluation,
    figures: dict[str, Any],
    title: str = "Evaluation",
    *,
    events: Sequence[dict[str, Any]] = (),
    worst: Mapping[FrameKey, Picture] | None = None,
    best: Mapping[FrameKey, Picture] | None = None,
    examples: Mapping[FrameKey, Picture] | None = None,
) -> str:
    """One self-contained HTML page.

    figures: as by `stadet.detect.report.figures.figures`.
    events: of the run's metrics.jsonl.
    worst, best, examples: pictures by (video, frame), each frame in one of them at most.
    """
    e = evaluation
    worst, best, examples = worst or {}, best or {}, examples or {}
    unprocessed = e.unprocessed.sentence()
    curves, legend = charts.precision_recall_chart(e)
    return render(
        "report.html",
        title=title,
        facts=list(facts(figures)),
        headlines=list(headlines(figures)),
        notes=[*([unprocessed] if unprocessed else []), *e.notes],
        classes=_classes(figures),
        class_remark=" ".join([balance(figures), without_truth(figures), *top_classes(figures)]),
        precision_recall=curves,
        precision_recall_legend=legend,
        threshold=f"{decimal(e.thresholds.overall)}, {e.thresholds.source}",
        threshold_chart=charts.threshold_chart(e),
        calibration=charts.calibration_chart(e),
        calibration_error=decimal(e.calibration.error),
        diagnosis=charts.diagnosis_chart(e),
        examples=_examples(e, {**best, **examples, **worst}),
        confusion_table=charts.confusion_table(e.confusion, e.names),
        confusions=charts.confusions(e.confusion, e.names),
        confusion_remark=f"Rows: truth; columns: detections of score "
        f"{decimal(e.thresholds.overall)} or more at IoU 0.5. The last column counts missed "
        "truths, the last row false alarms and duplicates.",
        event_remark=event_summary(figures["events"]) if figures["events"] else "",
        events=_events(figures["events"]),
        strata=[charts.strata_chart(bins, STRATA[name]) for name, bins in e.strata.items() if bins],
        direction=_direction(figures["direction"]),
        others=list(_others(figures)),
        training=_training(events),
        galleries=[
            ("Examples of each kind of error", list(examples.values())),
            ("Worst frames", list(worst.values())),
            ("Best frames", list(best.values())),
        ],
    )


def _classes(figures: dict[str, Any]) -> Table:
    rows = by_frequency(figures)
    most = max((row["ground_truths"] for _, row in rows), default=0) or 1
    return Table(
        [
            "class",
            "AP@0.5",
            "truths",
            "clips",
            "95% interval",
            "AP@0.5:0.95",
            "precision",
            "recall",
            "own threshold",
            "F1 there",
        ],
        [
            [
                name,
                Cell(percent(row["ap_50"]), row["ap_50"]),
                Cell(f"{row['ground_truths']:,}", row["ground_truths"] / most, "quiet"),
                f"{row['clips']:,}",
                interval(row["ap_50_interval"]),
                percent(row["ap_50_95"]),
                percent(row["precision"]),
                percent(row["recall"]),
                decimal(row["threshold"], 2),
                percent(row["at_own_threshold"]["f1"]),
            ]
            for name, row in rows
        ],
    )


def _examples(e: Evaluation, pictures: Mapping[FrameKey, Picture]) -> list[ErrorExamples]:
    def link(key: FrameKey) -> FrameLink:
        picture = pictures.get(key)
        return FrameLink(f"{key[0]} frame {key[1]}", picture.anchor if picture else "")

    return [
        ErrorExamples(kind, KINDS[kind], [link(key) for key in keys])
        for kind, keys in example_frames(e).items()
    ]


def _events(events: dict[str, Any] | None) -> list[Table]:
    if events is None:
        return []
    return [
        Table(*rule_rows(events)),
        Table(["of events and ids", "%"], list(other_rows(events))),
        Table(*class_rows(events)),
    ]


def _direction(direction: dict[str, Any] | None) -> Table | None:
    if not direction:
        return None
    rows = direction_rows(direction)
    rows += [
        [name, "motionless, AP@0.5 (%)", percent(ap), ""]
        for name, ap in direction["motionless_ap_50"].items()
    ]
    return Table(["pair", "where", "accuracy", "matched truths"], rows, text=(0, 1))


def _others(figures: dict[str, Any]) -> Iterable[tuple[str, Table]]:
    tables = {
        "video-mAP, %": figures["video_map"],
        "frame-mAP by IoU, %": figures["frame_map"],
        "COCO, %": figures["coco"],
    }
    for heading, values in tables.items():
        if values:
            rows = [[name, percent(value)] for name, value in values.items()]
            yield heading, Table(["at", "value"], rows)


def _training(events: Sequence[dict[str, Any]]) -> list[Markup]:
    wanted = (
        (charts.training_loss, "training loss"),
        (charts.validation_map, "frame-mAP@0.5 in validation"),
    )
    found = (charts.learning_chart(events, value_of, label) for value_of, label in wanted)
    return [chart for chart in found if chart]
