"""Tables of events and ids for every report."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from stadet.detect.report.words import DASH, decimal, percent

Rows = list[list[str]]


def signed_seconds(value: float | None) -> str:
    """0.25 -> "+0.25"; None -> a dash."""
    return DASH if value is None else f"{value:+.2f}"


def event_summary(events: dict[str, Any]) -> str:
    """A sentence on what the tables are made of; `events` as in metrics.json."""
    options, delay = events["options"], events["delay_seconds"]
    late = (
        "no true event was caught"
        if delay["median"] is None
        else f"found beginnings lie {signed_seconds(delay['median'])} s from the true ones "
        f"(median; {decimal(delay['mean_absolute'], 2)} s on average without sign)"
    )
    return (
        f"{events['truths']:,} true events, {events['events']:,} found: tubes of score "
        f"{decimal(options['min_score'])} or more, joined over pauses of up to "
        f"{options['join_seconds']:g} s, at least {options['min_seconds']:g} s long; {late}. "
        f"The number of events of a class in a video is off by "
        f"{decimal(events['count_error'], 2)} on average."
    )


def rule_rows(events: dict[str, Any]) -> tuple[list[str], Rows]:
    """Precision, recall and F1 (%) by what counts as caught."""
    rows = [
        [f"temporal IoU of {iou}", *_three(row)] for iou, row in events["at_temporal_iou"].items()
    ]
    rows += [
        [f"begins within {seconds} s", *_three(row)]
        for seconds, row in events["beginning_within_seconds"].items()
    ]
    return ["caught if", "precision", "recall", "F1"], rows


def class_rows(events: dict[str, Any]) -> tuple[list[str], Rows]:
    """Events of each class, most frequent first."""
    tracking = events["tracking"]["per_class"]
    found = sorted(events["per_class"].items(), key=lambda item: -item[1]["truths"])
    head = [
        "class",
        "true",
        "found",
        "precision@0.5",
        "recall@0.5",
        "F1@0.5",
        "begins (s)",
        "HOTA",
        "IDF1",
    ]
    return head, [
        [
            name,
            f"{row['truths']:,}",
            f"{row['events']:,}",
            *_three(row["at_iou"]),
            signed_seconds(row["delay"]),
            *(percent(tracking.get(name, {}).get(figure)) for figure in ("hota", "idf1")),
        ]
        for name, row in found
    ]


def other_rows(events: dict[str, Any]) -> Iterator[list[str]]:
    """Figures of events and ids that are one number (%)."""
    for iou, value in events["segment_map"].items():
        yield [f"segment mAP@{iou}", percent(value)]
    yield ["HOTA, mean over classes", percent(events["tracking"]["hota"])]
    yield ["IDF1, mean over classes", percent(events["tracking"]["idf1"])]


def _three(row: dict[str, Any]) -> list[str]:
    return [percent(row[key]) for key in ("precision", "recall", "f1")]
