"""One self-contained HTML page: no scripts, no network, prints as it is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from typing import Any

from stadet.detect.metrics.diagnosis import KINDS
from stadet.detect.metrics.evaluation import Evaluation
from stadet.detect.report import charts
from stadet.detect.report.words import (
    balance,
    by_frequency,
    decimal,
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
class Picture:
    """A frame of the gallery: jpeg bytes as a base64 text, and the words under it."""

    jpeg: str
    caption: str


def page(title: str, body: Iterable[str]) -> str:
    """A whole page around the parts of a report."""
    style = files("stadet.detect.report").joinpath("page.css").read_text(encoding="utf-8")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style></head>\n<body><main>\n"
        + "\n".join(part for part in body if part)
        + "\n</main></body></html>\n"
    )


def report_page(
    evaluation: Evaluation,
    figures: dict[str, Any],
    title: str = "Evaluation",
    *,
    events: Sequence[dict[str, Any]] = (),
    worst: Sequence[Picture] = (),
    best: Sequence[Picture] = (),
) -> str:
    """The report. figures: of `detect.report.figures`; events: of the run's metrics.jsonl."""
    e = evaluation
    unprocessed = e.unprocessed.sentence()
    body = [
        f"<h1>{escape(title)}</h1>",
        fact_list(figures),
        headline_cards(figures),
        *(note(words) for words in [*([unprocessed] if unprocessed else []), *e.notes]),
        _classes(figures),
        section("Curves", _curves(e)),
        section("What goes wrong", _errors(e)),
        section("Which class for which", _confusion(e)),
        section("What makes it hard", _strata(e)),
        section("Direction of reversed actions", _direction(figures["direction"])),
        section("Other figures", _others(figures)),
        section("Training", _training(events)),
        section("Worst frames", _gallery(worst)),
        section("Best frames", _gallery(best)),
        "<footer>Written by stad evaluate; the same figures stand in metrics.json beside this "
        "page. Percentages and points throughout unless a unit is given.</footer>",
    ]
    return page(title, body)


def fact_list(figures: dict[str, Any]) -> str:
    """Protocol, data, threshold and intervals, as a list."""
    rows = "".join(f"<dt>{escape(a)}</dt><dd>{escape(b)}</dd>" for a, b in facts(figures))
    return f'<dl class="facts">{rows}</dl>'


def headline_cards(figures: dict[str, Any]) -> str:
    """The headline figures."""
    cards = [
        f'<div class="card"><div class="name">{escape(name)}</div><div class="number">{value}'
        f'<small> %</small></div><div class="remark">{escape(remark)}</div></div>'
        for name, value, remark in headlines(figures)
    ]
    columns = 3 if len(cards) in (3, 5, 6, 9) else 4  # rows as full as can be
    return f'<div class="cards" style="--columns:{columns}">{"".join(cards)}</div>'


def note(words: str) -> str:
    """A remark that must not be overlooked."""
    return f'<p class="note">{escape(words)}</p>'


def section(heading: str, content: str) -> str:
    """A headed part of the page; nothing where there is no content."""
    return f"<h2>{escape(heading)}</h2>\n{content}" if content else ""


def panel(heading: str, content: str, remark: str = "", wide: bool = False) -> str:
    """A box with a heading; wide ones scroll sideways where the screen is narrow."""
    words = f'<p class="soft">{escape(remark)}</p>' if remark else ""
    title = f"<h3>{escape(heading)}</h3>" if heading else ""
    return f'<div class="panel{" wide" if wide else ""}">{title}{content}{words}</div>'


def panels(parts: Iterable[str]) -> str:
    """Panels side by side as the screen allows."""
    joined = "".join(part for part in parts if part)
    return f'<div class="panels">{joined}</div>' if joined else ""


def rows_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of ready cells: `<td>` elements, or texts that become one."""
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join(
        "<tr>"
        + "".join(cell if cell.startswith("<td") else f"<td>{escape(cell)}</td>" for cell in row)
        + "</tr>"
        for row in rows
    )
    narrow = " narrow" if len(head) <= 4 else ""
    return f'<table class="rows{narrow}"><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>'


def share_cell(words: str, share: float | None, style: str = "") -> str:
    """A table cell with a bar of that share of its width under the words."""
    return f'<td class="bar {style}">{escape(words)}<i style="--share:{share or 0:.3f}"></i></td>'


def _classes(figures: dict[str, Any]) -> str:
    rows = by_frequency(figures)
    most = max((row["ground_truths"] for _, row in rows), default=0) or 1
    table = rows_table(
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
        (
            [
                name,
                share_cell(percent(row["ap_50"]), row["ap_50"]),
                share_cell(f"{row['ground_truths']:,}", row["ground_truths"] / most, "quiet"),
                f"{row['clips']:,}",
                interval(row["ap_50_interval"]),
                percent(row["ap_50_95"]),
                percent(row["precision"]),
                percent(row["recall"]),
                decimal(row["threshold"], 2),
                percent(row["at_own_threshold"]["f1"]),
            ]
            for name, row in rows
        ),
    )
    remark = " ".join([balance(figures), without_truth(figures), *top_classes(figures)])
    return section("Classes, the most frequent first", panel("", table, remark, wide=True))


def _curves(e: Evaluation) -> str:
    curves, legend = charts.precision_recall_chart(e)
    return panels(
        [
            panel("Precision and recall", curves + _legend(legend), "Number: AP@0.5."),
            panel(
                "Choice of threshold",
                charts.threshold_chart(e)
                + _legend([("c0", "precision"), ("c1", "recall"), ("c2", "F1")]),
                f"Dashed: {decimal(e.thresholds.overall)}, {e.thresholds.source}.",
            ),
            panel(
                "Calibration",
                charts.calibration_chart(e),
                f"Expected calibration error {decimal(e.calibration.error)}. Bars: how many "
                "detections; dashed: scores that mean what they say.",
            ),
        ]
    )


def _errors(e: Evaluation) -> str:
    examples = "".join(
        f"<li><b>{kind}</b> ({escape(words)}): "
        + (escape("; ".join(f"{x.video} frame {x.frame}" for x in e.diagnosis.examples[kind][:2])))
        + "</li>"
        for kind, words in KINDS.items()
        if e.diagnosis.examples[kind]
    )
    return panels(
        [
            panel(
                "What each kind of error costs",
                charts.diagnosis_chart(e),
                "In brackets: how many at the threshold. Gains are over all scores, each kind "
                "put right alone.",
            ),
            panel("Where to look", f"<ul>{examples}</ul>") if examples else "",
        ]
    )


def _confusion(e: Evaluation) -> str:
    common = charts.confusions(e.confusion, e.names)
    words = "".join(f"<li>{escape(line)}</li>" for line in common)
    return panel(
        "",
        charts.confusion_table(e.confusion, e.names) + (f"<ul>{words}</ul>" if words else ""),
        f"Rows: truth; columns: detections of score {decimal(e.thresholds.overall)} or more at "
        "IoU 0.5. The last column was missed, the last row is false alarms and duplicates.",
        wide=True,
    )


def _strata(e: Evaluation) -> str:
    return panels(
        panel("", charts.strata_chart(strata, STRATA[name]))
        for name, strata in e.strata.items()
        if strata
    )


def _direction(direction: dict[str, Any] | None) -> str:
    if not direction:
        return ""
    rows = [
        [
            " / ".join(row["pair"]),
            where,
            decimal(row["accuracy"]),
            f"{row['matched']:,} of {row['truths']:,}",
        ]
        for where in ("everywhere", "motionless")
        for row in direction[where]
    ]
    rows += [
        ["all pairs", f"{age} frames after the stop", decimal(accuracy), ""]
        for age, accuracy in direction["by_frames_since_stop"].items()
    ]
    rows += [
        [name, "motionless, AP@0.5 (%)", percent(ap), ""]
        for name, ap in direction["motionless_ap_50"].items()
    ]
    table = rows_table(["pair", "where", "accuracy", "matched truths"], rows)
    remark = "Balanced over the two classes of a pair; 0.5 is a coin."
    return panel("", table, remark, wide=True)


def _others(figures: dict[str, Any]) -> str:
    tables = {
        "video-mAP, %": figures["video_map"],
        "frame-mAP by IoU, %": figures["frame_map"],
        "COCO, %": figures["coco"],
    }
    return panels(
        panel(
            heading,
            rows_table(["at", "value"], ([name, percent(v)] for name, v in values.items())),
        )
        for heading, values in tables.items()
        if values
    )


def _training(events: Sequence[dict[str, Any]]) -> str:
    wanted = (
        (charts.training_loss, "training loss"),
        (charts.validation_map, "frame-mAP@0.5 in validation"),
    )
    return panels(
        panel("", chart)
        for value_of, label in wanted
        if (chart := charts.learning_chart(events, value_of, label))
    )


def _gallery(pictures: Sequence[Picture]) -> str:
    if not pictures:
        return ""
    shown = "".join(
        f'<figure><img alt="{escape(picture.caption, quote=True)}" '
        f'src="data:image/jpeg;base64,{picture.jpeg}"><figcaption>{escape(picture.caption)}'
        "</figcaption></figure>"
        for picture in pictures
    )
    words = "Dashed: truth. Coloured: detections at or above the threshold, with their scores."
    return f'<p class="soft">{words}</p><div class="gallery">{shown}</div>'


def _legend(entries: Sequence[tuple[str, str]]) -> str:
    parts = "".join(f'<span class="{style}">{escape(name)}</span>' for style, name in entries)
    return f'<div class="legend">{parts}</div>'
