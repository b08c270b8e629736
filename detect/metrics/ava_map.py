"""AVA's mAP@0.5 on key frames (Gu et al. 2018, "AVA: A Video Dataset of Spatio-temporally Localized
Atomic Visual Actions"), as its public evaluation counts.

Every label of a box is a truth of its own; a detection takes its best-overlapping truth of the
class and is false if that is taken (VOC, all-point AP); the mean goes over the evaluated classes
with truth. In each frame only the `max_labels` (box, class) pairs of highest score count, classes
that are not evaluated left out first. Key frames are the looked-at frames of the annotation set:
excluded timestamps are not among them (`datasets.formats.ava`). Boxes may be normalised or in
pixels: IoU is the same.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stadet.detect.detections.detection_set import DetectionSet, VideoDetections
from stadet.detect.metrics.columns import EvaluationColumns
from stadet.detect.metrics.frame_map import FrameMAP, frame_map_of_columns, nan_mean
from stadet.detect.metrics.matching import rank_in_group, score_rank
from stadet.detect.metrics.protocols import PROTOCOLS
from stadet.detect.structures import AnnotationSet, VideoAnnotations

NUM_ACTIONS = 80
# Action ids (from 1) with too few validation examples, left out by the public label map of 60.
NOT_EVALUATED = (2, 16, 18, 19, 21, 23, 25, 31, 32, 33, 35, 39, 40, 42, 44, 50, 53, 55, 71, 75)
MAX_LABELS = 50


def ava_map(
    annotations: AnnotationSet,
    detections: DetectionSet,
    *,
    evaluated: Sequence[str] | None = None,
    max_labels: int = MAX_LABELS,
) -> dict:
    """AVA mAP of a whole set; see `AvaMAP`."""
    if annotations.names != detections.names:
        raise ValueError(
            f"expected detections of the classes {annotations.names}, found {detections.names}"
        )
    metric = AvaMAP(annotations.names, evaluated=evaluated, max_labels=max_labels)
    for truth in annotations:
        metric.update(truth, detections.videos.get(truth.name))
    return metric.compute()


class AvaMAP:
    """Fed video by video, merged across processes, then asked.

    names: all classes; evaluated: those that count, by default the 60 where `names` are AVA's 80 in
    the order of their ids, and all of them otherwise.
    """

    def __init__(
        self,
        names: Sequence[str],
        *,
        evaluated: Sequence[str] | None = None,
        max_labels: int = MAX_LABELS,
    ) -> None:
        self.names = tuple(names)
        self.max_labels = max_labels
        self._counts = _evaluated(self.names, evaluated)
        self._frames = FrameMAP(self.names, PROTOCOLS["voc"])

    def update(self, truth: VideoAnnotations, detections: VideoDetections | None) -> None:
        """A video's truth and detections (`None`: the model said nothing of it)."""
        self._frames.update_video(truth, detections)

    def merge(self, other: AvaMAP) -> None:
        """Take over what another object (of another process) was fed."""
        if self.max_labels != other.max_labels or (self._counts != other._counts).any():
            raise ValueError("expected a metric of the same evaluated classes and max_labels")
        self._frames.merge(other._frames)

    def compute(self) -> dict:
        """`{"map_50": .., "per_class": {name: AP}, "evaluated_classes": .., "key_frames": ..}`.

        per_class holds the evaluated classes; AP is NaN for a class without truth.
        """
        columns = self._frames.columns
        columns = best_of_each_frame(
            columns.select_entries(self._counts[columns.entry_class]), self.max_labels
        )
        ap = frame_map_of_columns(columns, PROTOCOLS["voc"], [0.5]).at(0.5)
        counted = np.flatnonzero(self._counts)
        return {
            "map_50": nan_mean(ap[counted]),
            "per_class": {self.names[label]: float(ap[label]) for label in counted},
            "evaluated_classes": len(counted),
            "key_frames": columns.num_images,
        }


def best_of_each_frame(columns: EvaluationColumns, count: int) -> EvaluationColumns:
    """The `count` (box, class) entries of highest score in each image, of equals the first."""
    place = rank_in_group(columns.entry_image, score_rank(columns.entry_score))
    return columns.select_entries(place < count)


def _evaluated(names: tuple[str, ...], evaluated: Sequence[str] | None) -> np.ndarray:
    counts = np.ones(len(names), dtype=bool)
    if evaluated is not None:
        unknown = sorted(set(evaluated) - set(names))
        if unknown:
            raise ValueError(f"expected evaluated classes among the names, found {unknown[0]!r}")
        counts = np.isin(names, list(evaluated))
    elif len(names) == NUM_ACTIONS:
        counts[np.array(NOT_EVALUATED) - 1] = False
    return counts
