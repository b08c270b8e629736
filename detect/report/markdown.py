"""An evaluation as Markdown, for notes and pull requests."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from stadet.detect.metrics.diagnosis import KINDS
from stadet.detect.report.happened import class_rows, event_summary, other_rows, rule_rows
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

_SPECIAL = re.compile(r"[\\|<>`\[\]~]|\*(?=\S)|(?<=\S)\*|(?<!\w)_|_(?!\w)|&(?=#|\w)")


def escaped(text: str) -> str:
    """Text that Markdown shows as it is, on one line; also inside a table."""
    return _SPECIAL.sub(lambda match: "\\" + match.group(), " ".join(text.split()))


def table(
    head: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[int] = (0,)
) -> list[str]:
    """Lines of a table, texts escaped; columns are right-aligned but for `left`."""
    rule = "|".join("---" if place in left else "---:" for place in range(len(head)))

    def line(cells: Sequence[str]) -> str:
        return f"| {' | '.join(map(escaped, cells))} |"

    return [line(head), f"|{rule}|", *map(line, rows)]


def markdown(figures: dict[str, Any], title: str = "Evaluation") -> str:
    """The report's figures and tables; plots and frames are on the HTML page."""
    lines = [f"# {escaped(title)}", ""]
    lines += [f"- {what}: {escaped(how)}" for what, how in facts(figures)]
    cards = [(card.name, card.value, card.remark) for card in headlines(figures)]
    lines += ["", *table(["figure", "%", ""], cards, left=(0, 2))]
    if figures["video_map"]:
        lines += ["", "video-mAP (%): " + _listed(figures["video_map"])]
    lines += ["", "## Classes", "", balance(figures), ""]
    head = "class, truths, clips, AP@0.5, 95% interval, AP@0.5:0.95, precision, recall"
    rows = [
        [
            name,
            f"{row['ground_truths']:,}",
            f"{row['clips']:,}",
            percent(row["ap_50"]),
            interval(row["ap_50_interval"]),
            percent(row["ap_50_95"]),
            percent(row["precision"]),
            percent(row["recall"]),
        ]
        for name, row in by_frequency(figures)
    ]
    lines += table(head.split(", "), rows)
    for sentence in (without_truth(figures), *top_classes(figures)):
        lines += ["", sentence] if sentence else []
    if figures["events"]:
        lines += ["", "## Events", "", *event_lines(figures["events"])]
    diagnosis = figures["diagnosis"]
    rows = []
    for kind, words in KINDS.items():
        gain = diagnosis["ap_gain_if_fixed"][kind]
        signed = "" if gain is None else f"{100 * gain:+.1f}"
        rows.append([kind, f"{diagnosis['counts'][kind]:,}", signed, words])
    lines += ["", "## Errors", ""]
    lines += table(["kind", "count", "AP if fixed", "what it is"], rows, left=(0, 3))
    error = figures["calibration"]["expected_error"]
    lines += ["", f"Expected calibration error {decimal(error)}."]
    if figures["direction"]:
        lines += ["", "## Direction of reversed actions", "", *_direction(figures["direction"])]
    if figures["coco"]:
        lines += ["", "COCO (%): " + _listed(figures["coco"])]
    if figures["notes"]:
        lines += ["", "## Notes", "", *(f"- {escaped(note)}" for note in figures["notes"])]
    return "\n".join(lines) + "\n"


def event_lines(events: dict[str, Any]) -> list[str]:
    """Lines of the section on events and ids; `events` as in metrics.json."""
    return [
        event_summary(events),
        "",
        *table(*rule_rows(events)),
        "",
        *table(*class_rows(events)),
        "",
        *table(["of events and ids", "%"], list(other_rows(events))),
    ]


def _listed(values: dict[str, float | None]) -> str:
    return ", ".join(f"{escaped(name)} {percent(value)}" for name, value in values.items())


def _direction(direction: dict[str, Any]) -> list[str]:
    rows = direction_rows(direction)
    lines = table(["pair", "where", "accuracy", "matched of truths"], rows, left=(0, 1))
    if direction["motionless_ap_50"]:
        found = _listed(direction["motionless_ap_50"])
        lines += ["", f"AP@0.5 (%) on the motionless frames alone: {found}"]
    return lines
