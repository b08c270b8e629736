"""An evaluation as plain numbers: `metrics.json`."""

from __future__ import annotations

import json
import math
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from stadet.detect.metrics.bootstrap import Interval
from stadet.detect.metrics.diagnosis import KINDS
from stadet.detect.metrics.direction import DirectionAccuracy
from stadet.detect.metrics.evaluation import Evaluation
from stadet.engine.errors import UserError
from stadet.engine.files import atomic_write
from stadet.engine.reading import read_json


def figures(evaluation: Evaluation) -> dict[str, Any]:
    """All figures, JSON-ready (NaN becomes None).

    precision, recall, f1: all boxes together at `threshold` (micro); of a class at the same
    threshold, and at the class's own under `at_own_threshold`. Fractions of 1 throughout.
    """
    e = evaluation
    overall, own = e.counts.overall(), e.own_counts
    result = {
        "frame_map_50": e.frame_map.mean_at(0.5),
        "frame_map_50_95": e.frame_map.mean,
        "frame_map_50_interval": _interval(e.intervals.mean),
        "frame_map": {f"{iou:g}": e.frame_map.mean_at(iou) for iou in e.frame_map.thresholds},
        "precision": overall.precision[0],
        "recall": overall.recall[0],
        "f1": overall.f1[0],
        "threshold": e.thresholds.overall,
        "threshold_source": e.thresholds.source,
        "per_class": {
            name: {
                "ap_50": e.frame_map.at(0.5)[c],
                "ap_50_interval": _interval(e.intervals.per_class[c]),
                "ap_50_95": e.frame_map.ap[:, c].mean(),
                "precision": e.counts.precision[c],
                "recall": e.counts.recall[c],
                "f1": e.counts.f1[c],
                "ground_truths": e.counts.truths[c],
                "share": e.counts.truths[c] / max(e.counts.truths.sum(), 1),
                "clips": e.clips[c],
                "detections": e.counts.kept[c],
                "threshold": e.thresholds.per_class[c],
                "at_own_threshold": {
                    "precision": own.precision[c],
                    "recall": own.recall[c],
                    "f1": own.f1[c],
                },
                "errors": {kind: e.diagnosis.counts[kind][c] for kind in KINDS},
            }
            for c, name in enumerate(e.names)
        },
        "top_classes": {str(k): asdict(top) for k, top in e.top.items()},
        "video_map": e.video_map,
        "events": None if e.happened is None else e.happened.as_dict(),
        "localization_recall": e.localization.recall,
        "classification_accuracy": e.localization.accuracy,
        "protocol": e.protocol.name,
        "protocol_details": e.protocol.as_dict(),
        "direction": _direction(e),
        "diagnosis": {
            "counts": {kind: e.diagnosis.counts[kind].sum() for kind in KINDS},
            "ap_gain_if_fixed": e.diagnosis.ap_gain,
            "examples": {
                kind: [asdict(example) for example in e.diagnosis.examples[kind]] for kind in KINDS
            },
        },
        "calibration": {
            "expected_error": e.calibration.error,
            "count": e.calibration.count,
            "mean_score": e.calibration.score,
            "precision": e.calibration.precision,
        },
        "ap_50_against": {
            name: [asdict(stratum) for stratum in strata] for name, strata in e.strata.items()
        },
        "confusion": {"classes": [*e.names, "background"], "truth_by_prediction": e.confusion},
        "coco": e.coco,
        "ava": e.ava,
        "bootstrap": {"units": e.intervals.units, "replicates": e.intervals.replicates},
        "data": {
            "videos": len(e.columns.video_names),
            "frames": e.columns.num_images,
            "ground_truths": e.counts.truths.sum(),
            "boxes": len(e.columns.detection_boxes),
            "unprocessed_frames": e.unprocessed.frames,
            "unprocessed_ranges": e.unprocessed.ranges,
        },
        "notes": list(e.notes),
    }
    return plain(result)


def plain(value: Any) -> Any:
    """numpy and dataclass leaves to what JSON knows; numbers that are not finite to None."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def write_figures(path: str | os.PathLike, figures: dict[str, Any]) -> None:
    """Write `metrics.json`, whole or not at all."""
    with atomic_write(path) as stream:
        json.dump(figures, stream, indent=1, ensure_ascii=False, allow_nan=False)
        stream.write("\n")


def read_figures(path: str | os.PathLike) -> dict[str, Any]:
    """Read a `metrics.json`; UserError where it is missing or something else."""
    path = Path(path)
    if not path.exists():
        raise UserError(
            f"{path}: expected the metrics.json of an evaluation, found none; run stad evaluate"
        )
    figures = read_json(path, "the metrics.json of an evaluation")
    if not isinstance(figures, dict) or "frame_map_50" not in figures:
        raise UserError(
            f"{path}: expected the metrics.json of an evaluation, found other JSON; "
            "name the file that stad evaluate wrote"
        )
    return figures


def _interval(interval: Interval) -> list[float] | None:
    low, high = interval.low, interval.high
    return None if math.isnan(low) else [max(low, 0.0), min(high, 1.0)]


def _direction(e: Evaluation) -> dict[str, Any] | None:
    if e.direction is None:
        return None

    def listed(pairs: dict[tuple[str, str], DirectionAccuracy]) -> list[dict[str, Any]]:
        return [{"pair": list(pair), **asdict(found)} for pair, found in pairs.items()]

    return {
        "everywhere": listed(e.direction.everywhere),
        "motionless": listed(e.direction.motionless),
        "by_frames_since_stop": {
            f"{first}-{last}": accuracy for (first, last), accuracy in e.direction.by_age.items()
        },
        "motionless_ap_50": e.direction.motionless_ap,
    }
