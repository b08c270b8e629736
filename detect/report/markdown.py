"""An evaluation as Markdown, for notes and pull requests."""

from __future__ import annotations

from typing import Any

from stadet.detect.metrics.diagnosis import KINDS
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


def markdown(figures: dict[str, Any], title: str = "Evaluation") -> str:
    """The report's figures and tables; plots and frames are on the HTML page."""
    lines = [f"# {title}", "", *(f"- {what}: {how}" for what, how in facts(figures)), ""]
    lines += ["| figure | % | |", "|---|---:|---|"]
    lines += [f"| {name} | {value} | {remark} |" for name, value, remark in headlines(figures)]
    if figures["video_map"]:
        lines += ["", "video-mAP (%): " + _listed(figures["video_map"])]
    lines += ["", "## Classes", "", balance(figures), ""]
    lines += [
        "| class | truths | clips | AP@0.5 | 95% interval | AP@0.5:0.95 | precision | recall |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, row in by_frequency(figures):
        lines.append(
            f"| {name} | {row['ground_truths']:,} | {row['clips']:,} | {percent(row['ap_50'])} | "
            f"{interval(row['ap_50_interval'])} | {percent(row['ap_50_95'])} | "
            f"{percent(row['precision'])} | {percent(row['recall'])} |"
        )
    for sentence in (without_truth(figures), *top_classes(figures)):
        lines += ["", sentence] if sentence else []
    lines += [
        "",
        "## Errors",
        "",
        "| kind | count | AP if fixed | what it is |",
        "|---|---:|---:|---|",
    ]
    diagnosis = figures["diagnosis"]
    for kind, words in KINDS.items():
        gain = diagnosis["ap_gain_if_fixed"][kind]
        lines.append(
            f"| {kind} | {diagnosis['counts'][kind]:,} | "
            f"{'' if gain is None else f'{100 * gain:+.1f}'} | {words} |"
        )
    error = figures["calibration"]["expected_error"]
    lines += ["", f"Expected calibration error {decimal(error)}."]
    if figures["direction"]:
        lines += ["", "## Direction of reversed actions", "", *_direction(figures["direction"])]
    if figures["coco"]:
        lines += ["", "COCO (%): " + _listed(figures["coco"])]
    if figures["notes"]:
        lines += ["", "## Notes", "", *(f"- {note}" for note in figures["notes"])]
    return "\n".join(lines) + "\n"


def _listed(values: dict[str, float | None]) -> str:
    return ", ".join(f"{name} {percent(value)}" for name, value in values.items())


def _direction(direction: dict[str, Any]) -> list[str]:
    lines = ["| pair | where | accuracy | matched of truths |", "|---|---|---:|---:|"]
    for where in ("everywhere", "motionless"):
        for row in direction[where]:
            lines.append(
                f"| {' / '.join(row['pair'])} | {where} | {decimal(row['accuracy'])} | "
                f"{row['matched']:,} of {row['truths']:,} |"
            )
    for age, accuracy in direction["by_frames_since_stop"].items():
        lines.append(f"| all pairs | {age} frames after the stop | {decimal(accuracy)} | |")
    if direction["motionless_ap_50"]:
        found = _listed(direction["motionless_ap_50"])
        lines += ["", f"AP@0.5 (%) on the motionless frames alone: {found}"]
    return lines
