"""Wording of numbers and facts in every report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from stadet.detect.report.pages import Card

DASH = "–"


def percent(value: float | None, digits: int = 1) -> str:
    """0.5 -> "50.0"; None -> a dash. The unit is in the heading."""
    return DASH if value is None else f"{100 * value:.{digits}f}"


def decimal(value: float | None, digits: int = 3) -> str:
    """0.25 -> "0.250"; None -> a dash."""
    return DASH if value is None else f"{value:.{digits}f}"


def interval(bounds: Sequence[float] | None) -> str:
    """[0.1, 0.2] -> "10.0 to 20.0"; None -> nothing."""
    return "" if bounds is None else f"{percent(bounds[0])} to {percent(bounds[1])}"


def headlines(figures: dict[str, Any]) -> Iterator[Card]:
    """The figures at the top of a report."""
    spread = figures["frame_map_50_interval"]
    yield Card(
        "frame-mAP@0.5",
        percent(figures["frame_map_50"]),
        f"95% interval {interval(spread)}" if spread else "",
    )
    yield Card("frame-mAP@0.5:0.95", percent(figures["frame_map_50_95"]), "mean over ten IoUs")
    at = f"at score {decimal(figures['threshold'])}"
    yield Card("precision", percent(figures["precision"]), f"{at}, all boxes")
    yield Card("recall", percent(figures["recall"]), f"{at}, all boxes")
    for overlap, value in (figures["video_map"] or {}).items():
        if overlap in ("0.5", "0.5:0.95"):
            yield Card(f"video-mAP@{overlap}", percent(value), "tubes")
    if events := figures["events"]:
        caught = events["at_temporal_iou"]["0.5"]
        remark = (
            f"at temporal IoU 0.5: precision {percent(caught['precision'])}, recall "
            f"{percent(caught['recall'])}"
        )
        yield Card("event F1", percent(caught["f1"]), remark)
    if figures["localization_recall"] is not None:
        yield Card(
            "localization recall",
            percent(figures["localization_recall"]),
            "objectness above 0.25",
        )
        yield Card(
            "classification accuracy",
            percent(figures["classification_accuracy"]),
            "of the boxes found",
        )


def facts(figures: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """(what, how) of everything a figure depends on."""
    data = figures["data"]
    yield "Protocol", figures["protocol_details"]["description"]
    yield (
        "Scored on",
        f"{data['videos']:,} videos, {data['frames']:,} frames, {data['ground_truths']:,} truth "
        f"labels, {data['boxes']:,} detected boxes",
    )
    yield "Threshold", f"{decimal(figures['threshold'])}, {figures['threshold_source']}"
    bootstrap = figures["bootstrap"]
    if bootstrap["replicates"]:
        yield (
            "Intervals",
            f"95%, bootstrap over {bootstrap['units']}, {bootstrap['replicates']:,} replicates",
        )
    else:
        yield "Intervals", f"none ({bootstrap['units']}: too few to draw from, or not asked for)"


def by_frequency(figures: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Classes with truth, the most frequent first."""
    met = [item for item in figures["per_class"].items() if item[1]["ground_truths"]]
    return sorted(met, key=lambda item: -item[1]["ground_truths"])


def without_truth(figures: dict[str, Any]) -> str:
    """A sentence on classes without truth; empty where every class has some."""
    others = [row for row in figures["per_class"].values() if not row["ground_truths"]]
    if not others:
        return ""
    false = sum(row["detections"] for row in others)
    return (
        f"{len(others)} more {'class has' if len(others) == 1 else 'classes have'} no truth here "
        f"and take no part in means; {false:,} false detections at the threshold are of them."
    )


def top_classes(figures: dict[str, Any]) -> Iterator[str]:
    """A sentence for each set of most frequent classes."""
    for k, top in figures["top_classes"].items():
        if not top["classes"]:
            yield f"Top {k}: no class has clips enough."
            continue
        fewer = (
            "" if len(top["classes"]) == int(k) else f" ({len(top['classes'])} have clips enough)"
        )
        yield (
            f"Top {k} by clips{fewer}: frame-mAP@0.5 {percent(top['frame_map_50'])}, mean "
            f"precision {percent(top['precision'])}, mean recall {percent(top['recall'])}."
        )


def balance(figures: dict[str, Any]) -> str:
    """A sentence on the imbalance of the classes; empty for a single class."""
    counts = [row["ground_truths"] for _, row in by_frequency(figures)]
    if len(counts) < 2:
        return ""
    return (
        f"The most frequent class has {counts[0] / counts[-1]:,.1f} times the truths of the rarest "
        f"({counts[0]:,} to {counts[-1]:,})."
    )


def direction_rows(direction: dict[str, Any]) -> list[list[str]]:
    """Rows (pair, where, accuracy, matched of truths) of the reversed pairs' direction accuracy."""
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
    return rows
