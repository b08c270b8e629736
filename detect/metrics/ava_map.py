"""AVA's mAP@0.5 on key frames (Gu et al. 2018, "AVA: A Video Dataset of Spatio-temporally Localized
Atomic Visual Actions"), as ActivityNet's get_ava_performance.py counts.

Every label of a box is a truth of its own; a detection takes its best-overlapping truth of the
class and is false if that is taken (VOC, all-point AP); the mean goes over the evaluated classes
with truth. In each frame only the `max_labels` (box, class) pairs of highest score count, classes
that are not evaluated left out first; boxes without area are no detections. Equal scores rank as
that script ranks them (`tie_order`). Key frames are the looked-at frames of the annotation set:
excluded timestamps are not among them (`datasets.formats.ava`). Boxes may be normalised or in
pixels: IoU is the same.

Detections on key frames without truth of an evaluated class are left out: the figures published
for mmaction2's and YOWO's models are of the annotated key frames alone. The script itself counts
such detections as false where its input file has them; `map_50_all_key_frames` is that figure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from stadet.detect.detections.detection_set import DetectionSet, VideoDetections
from stadet.detect.metrics.columns import EvaluationColumns
from stadet.detect.metrics.frame_map import FrameMAP, nan_mean
from stadet.detect.metrics.protocols import PROTOCOLS, Protocol
from stadet.detect.metrics.ranking import Matcher
from stadet.detect.structures import AnnotationSet, VideoAnnotations

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
    metric = AvaMAP(
        annotations.names,
        evaluated=evaluated,
        max_labels=max_labels,
        video_order=tuple(annotations.videos),
    )
    for truth in annotations:
        metric.update(truth, detections.videos.get(truth.name))
    return metric.compute()


class AvaMAP:
    """Fed video by video, merged across processes, then asked.

    names: all classes; evaluated: those that count, by default the 60 where `names` are AVA's 80 in
    the order of their ids, and all of them otherwise; video_order: the order in which videos rank
    where scores are equal (by name where it is not given).
    """

    def __init__(
        self,
        names: Sequence[str],
        *,
        evaluated: Sequence[str] | None = None,
        max_labels: int = MAX_LABELS,
        video_order: Sequence[str] = (),
    ) -> None:
        self.names = tuple(names)
        self.protocol = _protocol(self.names, evaluated, max_labels)
        self._frames = FrameMAP(self.names, self.protocol, video_order)

    def update(self, truth: VideoAnnotations, detections: VideoDetections | None) -> None:
        """A video's truth and detections (`None`: the model said nothing of it)."""
        self._frames.update_video(truth, detections)

    def merge(self, other: AvaMAP) -> None:
        """Take over what another object (of another process) was fed."""
        if self.protocol != other.protocol:
            raise ValueError("expected a metric of the same evaluated classes and max_labels")
        self._frames.merge(other._frames)

    def compute(self) -> dict:
        """`ava_figures` of everything fed."""
        return ava_figures(self._frames.columns, self.protocol)


def ava_figures(columns: EvaluationColumns, protocol: Protocol | None = None) -> dict:
    """AVA's evaluation of `columns`, as a dictionary.

    map_50: mean AP over the evaluated classes with truth, over the key frames with truth.
    map_50_all_key_frames: the same with detections on the other key frames counted as false.
    per_class: AP of each evaluated class behind `map_50`, NaN without truth.
    evaluated_classes, key_frames, empty_key_frames, detections_on_empty_key_frames: numbers.
    """
    protocol = protocol or PROTOCOLS["ava"]
    counted = np.flatnonzero(protocol.evaluated(columns.names))
    annotated = Matcher(columns, protocol)
    everywhere = Matcher(columns, replace(protocol, frames="looked_at"))
    ap = _average_precisions(annotated)
    return {
        "map_50": nan_mean(ap[counted]),
        "map_50_all_key_frames": nan_mean(_average_precisions(everywhere)[counted]),
        "per_class": {columns.names[label]: float(ap[label]) for label in counted},
        "evaluated_classes": len(counted),
        "key_frames": annotated.columns.num_images,
        "empty_key_frames": everywhere.columns.num_images - annotated.columns.num_images,
        "detections_on_empty_key_frames": len(everywhere.by_score) - len(annotated.by_score),
    }


def _average_precisions(matcher: Matcher) -> np.ndarray:
    return matcher.ranking(0.5).average_precisions(matcher.protocol.interpolation)


def _protocol(names: tuple[str, ...], evaluated: Sequence[str] | None, max_labels: int) -> Protocol:
    protocol = replace(PROTOCOLS["ava"], max_per_frame=max_labels)
    if evaluated is None:
        return protocol
    unknown = sorted(set(evaluated) - set(names))
    if unknown:
        raise ValueError(f"expected evaluated classes among the names, found {unknown[0]!r}")
    others = tuple(name for name in names if name not in set(evaluated))
    return replace(protocol, not_evaluated=others, not_evaluated_ids=())
