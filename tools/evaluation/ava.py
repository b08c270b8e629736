"""AVA's csv files as what an evaluation reads."""

from __future__ import annotations

from pathlib import Path

from stadet.datasets.dataset import Dataset
from stadet.datasets.formats.ava import read_ava_detections
from stadet.datasets.formats.ava_evaluation import read_ava_columns, read_ava_seconds
from stadet.datasets.formats.ava_labels import read_label_map
from stadet.detect.detections.detection_set import DetectionSet
from stadet.detect.metrics.columns import EvaluationColumns
from stadet.detect.structures import AnnotationSet
from stadet.engine.errors import UserError


def is_csv(path: str | Path | None) -> bool:
    """Does the name say that it is one of AVA's csv files?"""
    return path is not None and Path(path).suffix.lower() == ".csv"


def ava_columns(
    truth: str | Path,
    detections: str | Path,
    label_map: str | Path | None,
    excluded: str | Path | None,
) -> EvaluationColumns:
    """Both csv files row by row; UserError for detections that are no csv."""
    if not is_csv(detections):
        raise UserError(
            f"{detections}: expected AVA's csv of detections with {truth}; other detections are "
            "scored against AVA's truth with --data"
        )
    return read_ava_columns(
        truth,
        detections,
        None if label_map is None else read_label_map(label_map),
        () if excluded is None else read_ava_seconds(excluded),
    )


def ava_detections(
    detections: str | Path, truth: AnnotationSet, dataset: Dataset | None
) -> DetectionSet:
    """AVA's csv of detections against a data set of AVA's format; UserError for another one."""
    config = None if dataset is None else dataset.config
    if config is None or config.format != "ava" or config.label_map is None:
        raise UserError(
            f"{detections}: expected --data of format ava, or AVA's csv as --ground-truth, with "
            "AVA's csv of detections"
        )
    return read_ava_detections(
        detections,
        truth,
        (dataset.path.parent / config.path / config.annotations).resolve().parent
        / config.label_map,
        first_second=config.first_second or 0.0,
    )
