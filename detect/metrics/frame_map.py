"""frame-mAP: average precision of boxes frame by frame, averaged over classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stadet.detect.detections.detection_set import DetectionSet, VideoDetections
from stadet.detect.metrics.columns import (
    EvaluationColumns,
    columns_of_frame,
    columns_of_video,
    gather,
    join,
)
from stadet.detect.metrics.protocols import IOU_THRESHOLDS, Protocol, get_protocol
from stadet.detect.metrics.ranking import Matcher
from stadet.detect.structures import AnnotationSet, Detections, FrameAnnotations, VideoAnnotations
from stadet.engine.signatures import checked


@dataclass(frozen=True, eq=False)
class FrameMAPResult:
    """Average precision of each class at each IoU.

    Attributes:
        names: the C classes.
        protocol: the rules of matching.
        thresholds: (K,) IoUs.
        ap: (K, C) in [0, 1], NaN for a class without truth.
        truths: (C,) numbers of truth boxes.
    """

    names: tuple[str, ...]
    protocol: Protocol
    thresholds: tuple[float, ...]
    ap: np.ndarray
    truths: np.ndarray

    def at(self, iou: float) -> np.ndarray:
        """(C,) AP of each class at one of the thresholds."""
        return self.ap[self.thresholds.index(iou)]

    def mean_at(self, iou: float) -> float:
        """Mean over classes with truth; NaN where no class has truth."""
        return nan_mean(self.at(iou))

    @property
    def mean(self) -> float:
        """Mean over classes with truth and over all thresholds."""
        return nan_mean(self.ap)


class FrameMAP:
    """Fed frame by frame or video by video, merged across processes, then asked.

    names: class names; protocol: see `detect.metrics.protocols`; video_order: the order in which
    videos rank where scores are equal (by name where it is not given).

    The order of feeding and the number of processes change nothing: `compute` sorts what it was
    fed. The object is plain numpy and can be sent between processes as it is.

    >>> metric = FrameMAP(("wave",))
    >>> metric.update("a", 0, truth, detections)        # doctest: +SKIP
    >>> metric.merge(metric_of_another_process)         # doctest: +SKIP
    >>> metric.compute([0.5]).mean_at(0.5)              # doctest: +SKIP
    """

    @checked
    def __init__(
        self,
        names: Sequence[str],
        protocol: str | Protocol = "voc",
        video_order: Sequence[str] = (),
    ) -> None:
        self.names = tuple(names)
        self.protocol = get_protocol(protocol)
        self.video_order = tuple(video_order)
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self._pieces: list[EvaluationColumns] = []

    @checked
    def update(
        self, video: str, frame: int, truth: FrameAnnotations | None, detections: Detections
    ) -> None:
        """One frame of a video; `truth` None = nobody looked, the frame takes no part."""
        if truth is not None:
            self._pieces.append(columns_of_frame(self.names, video, frame, truth, detections))

    @checked
    def update_video(self, truth: VideoAnnotations, detections: VideoDetections | None) -> None:
        """A whole video; `detections` None = the model said nothing of it."""
        self._pieces.append(columns_of_video(self.names, truth, detections))

    @checked
    def merge(self, other: FrameMAP) -> None:
        """Take over what another object (of another process) was fed."""
        if (other.names, other.protocol) != (self.names, self.protocol):
            raise ValueError(
                f"expected a metric of {self.names} under {self.protocol.name}, "
                f"found {other.names} under {other.protocol.name}"
            )
        self._pieces.extend(other._pieces)

    @property
    def columns(self) -> EvaluationColumns:
        """Everything fed so far. ValueError where a frame was fed twice."""
        return join(self.names, self._pieces, self.video_order)

    def compute(self, thresholds: Sequence[float] = IOU_THRESHOLDS) -> FrameMAPResult:
        """AP of each class at each IoU threshold."""
        return frame_map_of_columns(self.columns, self.protocol, thresholds)


@checked
def frame_map(
    annotations: AnnotationSet,
    detections: DetectionSet,
    protocol: str | Protocol = "voc",
    thresholds: Sequence[float] = IOU_THRESHOLDS,
) -> FrameMAPResult:
    """Frame-mAP of a whole set.

    Args:
        annotations: the truth.
        detections: of the same videos.
        protocol: rules of matching, by name or as a `Protocol`.
        thresholds: IoUs.
    """
    return frame_map_of_columns(gather(annotations, detections), get_protocol(protocol), thresholds)


def frame_map_of_columns(
    columns: EvaluationColumns | Matcher, protocol: Protocol, thresholds: Sequence[float]
) -> FrameMAPResult:
    """The same from columns, or from a matcher that holds their IoU already."""
    matcher = columns if isinstance(columns, Matcher) else Matcher(columns, protocol)
    ap = [matcher.ranking(iou).average_precisions(protocol.interpolation) for iou in thresholds]
    return FrameMAPResult(
        matcher.columns.names,
        protocol,
        tuple(thresholds),
        np.array(ap).reshape(len(thresholds), len(matcher.columns.names)),
        matcher.columns.truths_per_class,
    )


def nan_mean(values: np.ndarray) -> float:
    """Mean of what is not NaN; NaN for nothing, without numpy's warning."""
    known = np.asarray(values)[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")
