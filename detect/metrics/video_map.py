"""video-mAP: average precision of tubes.

A detected tube is right if its overlap with a truth tube of its class reaches the threshold, where
overlap = temporal IoU x mean spatial IoU over the shared frames. Truth tubes stand in
`tubes.truth`, detected ones in `tubes.linking`. Detections choose by falling score among the
truths of their video that are still free (as the public evaluations of ACT, Singh et al. 2017 and
YOWO do); AP is the all-point area, its mean goes over the classes with truth.

Frames that nobody looked at count on neither side: not in the overlap, and a stretch of more than
`max_gap` of them ends every tube. A tube wholly on such frames is neither right nor wrong.
Where all frames are looked at, this is the definition of the literature.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from stadet.detect.detections.detection_set import DetectionSet, VideoDetections
from stadet.detect.metrics.average_precision import average_precision, precision_recall
from stadet.detect.metrics.frame_map import nan_mean
from stadet.detect.metrics.matching import Pairs, match_best_free, score_rank
from stadet.detect.metrics.protocols import IOU_THRESHOLDS
from stadet.detect.structures import AnnotationSet, Tube, VideoAnnotations
from stadet.detect.tubes.linking import LinkOptions, link_video
from stadet.detect.tubes.overlap import TubeColumns, pair_overlaps
from stadet.detect.tubes.truth import truth_tubes

THRESHOLDS = (0.1, 0.2, 0.5, 0.75)


def video_map(
    annotations: AnnotationSet,
    detections: DetectionSet,
    thresholds: Sequence[float] = THRESHOLDS,
    options: LinkOptions | None = None,
) -> dict[str, float]:
    """video-mAP of a whole set: `{"0.1": .., "0.2": .., "0.5": .., "0.75": .., "0.5:0.95": ..}`.

    Videos without detections count as missed. Detections of videos that `annotations` does not hold
    take no part (`read_detections` tells of them). NaN where no class has truth.
    """
    if annotations.names != detections.names:
        raise ValueError(
            f"expected detections of the classes {annotations.names}, found {detections.names}"
        )
    metric = VideoMAP(annotations.names, options)
    for truth in annotations:
        metric.update(truth, detections.videos.get(truth.name))
    return metric.compute(thresholds).as_dict()


@dataclass(frozen=True, eq=False)
class VideoMAPResult:
    """ap (K, C) of each class at thresholds (K,), NaN for a class without truth; truths (C,) and
    detected (C,): numbers of tubes; named: the thresholds asked for beside 0.5:0.95."""

    names: tuple[str, ...]
    named: tuple[float, ...]
    thresholds: tuple[float, ...]
    ap: np.ndarray
    truths: np.ndarray
    detected: np.ndarray

    def at(self, overlap: float) -> np.ndarray:
        """(C,) AP of each class at one of the thresholds."""
        return self.ap[self.thresholds.index(overlap)]

    @property
    def averaged(self) -> np.ndarray:
        """(C,) mean AP over 0.5, 0.55, .., 0.95."""
        return np.mean([self.at(overlap) for overlap in IOU_THRESHOLDS], axis=0)

    def as_dict(self) -> dict[str, float]:
        """Means over the classes with truth, by threshold, and "0.5:0.95"."""
        means = {f"{overlap:g}": nan_mean(self.at(overlap)) for overlap in self.named}
        return means | {"0.5:0.95": nan_mean(self.averaged)}


@dataclass(frozen=True, eq=False)
class _VideoTubes:
    """One video: truth labels (G,); labels, scores (D,) of the detected tubes that count; the pairs
    of one class with their overlap."""

    truth_labels: np.ndarray
    labels: np.ndarray
    scores: np.ndarray
    pairs: Pairs


class VideoMAP:
    """Fed video by video, merged across processes, then asked.

    The order of feeding and the number of processes change nothing: tubes of equal score rank by
    the name of their video, then by their order in it.
    """

    def __init__(self, names: Sequence[str], options: LinkOptions | None = None) -> None:
        self.names = tuple(names)
        self.options = options or LinkOptions()
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self._videos: dict[str, _VideoTubes] = {}

    def update(self, truth: VideoAnnotations, detections: VideoDetections | None) -> None:
        """A video's truth and detections (`None`: the model said nothing of it).

        ValueError for a video fed twice and for detections past its end.
        """
        tubes = []
        if detections is not None:
            if len(detections):
                _check_end(truth, int(detections.frames[-1]))
            near = near_looked_at(truth.looked_at, self.options.max_gap)
            tubes = link_video(_on_frames(detections, near), self.options)
        self.update_tubes(truth, tubes)

    def update_tubes(self, truth: VideoAnnotations, tubes: Sequence[Tube]) -> None:
        """A video's truth and tubes from anywhere (a tube file, online linking)."""
        if truth.name in self._videos:
            raise ValueError(f"{truth.name} was fed twice; every video counts once")
        for tube in tubes:
            _check_end(truth, tube.stop - 1)
        seen = np.concatenate([[0], np.cumsum(truth.looked_at)])
        counts = [tube for tube in tubes if seen[tube.stop] > seen[tube.start]]
        wanted, found = TubeColumns(truth_tubes(truth, self.options.max_gap)), TubeColumns(counts)
        detection, target = np.nonzero(found.labels[:, None] == wanted.labels)
        overlaps = pair_overlaps(found, wanted, detection, target, truth.looked_at)
        pairs = Pairs(detection, target, overlaps, len(found), len(wanted))
        self._videos[truth.name] = _VideoTubes(
            wanted.labels, found.labels, found.scores, pairs.select(overlaps > 0)
        )

    def merge(self, other: VideoMAP) -> None:
        """Take over what another object (of another process) was fed."""
        if (other.names, other.options) != (self.names, self.options):
            raise ValueError("expected a metric of the same classes and link options")
        twice = sorted(self._videos.keys() & other._videos.keys())
        if twice:
            raise ValueError(f"{twice[0]} was fed to both; every video counts once")
        self._videos.update(other._videos)

    def compute(self, thresholds: Sequence[float] = THRESHOLDS) -> VideoMAPResult:
        """AP of each class at `thresholds` and at 0.5, 0.55, .., 0.95."""
        every = tuple(sorted({*thresholds, *IOU_THRESHOLDS}))
        truths, labels, scores, pairs = self._joined()
        rank = score_rank(scores)
        classes = range(len(self.names))
        rows = [np.flatnonzero(labels == label) for label in classes]
        rows = [row[np.argsort(rank[row])] for row in rows]
        wanted = np.bincount(truths, minlength=len(self.names))
        ap = np.full((len(every), len(self.names)), np.nan)
        for k, threshold in enumerate(every):
            right = match_best_free(pairs, rank, threshold).true_positive
            for label in np.flatnonzero(wanted):
                curve = precision_recall(right[rows[label]], wanted[label])
                ap[k, label] = average_precision(*curve)
        detected = np.array([len(row) for row in rows])
        return VideoMAPResult(self.names, tuple(thresholds), every, ap, wanted, detected)

    def _joined(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, Pairs]:
        """Truth labels, labels, scores and pairs of all videos, by name."""
        videos = [self._videos[name] for name in sorted(self._videos)]
        detections = np.cumsum([0, *(len(video.labels) for video in videos)])
        truths = np.cumsum([0, *(len(video.truth_labels) for video in videos)])
        none = np.zeros(0, dtype=np.int64)
        pairs = Pairs(
            np.concatenate(
                [
                    none,
                    *(v.pairs.detection + d for v, d in zip(videos, detections[:-1], strict=True)),
                ]
            ),
            np.concatenate(
                [none, *(v.pairs.truth + t for v, t in zip(videos, truths[:-1], strict=True))]
            ),
            np.concatenate([np.zeros(0), *(video.pairs.iou for video in videos)]),
            int(detections[-1]),
            int(truths[-1]),
        )
        return (
            np.concatenate([none, *(video.truth_labels for video in videos)]),
            np.concatenate([none, *(video.labels for video in videos)]),
            np.concatenate([np.zeros(0), *(video.scores for video in videos)]),
            pairs,
        )


def _check_end(truth: VideoAnnotations, frame: int) -> None:
    if frame >= truth.num_frames:
        raise ValueError(f"{truth.name}: detections on frame {frame} of {truth.num_frames}")


def near_looked_at(looked_at: np.ndarray, max_gap: int) -> np.ndarray:
    """(F,) bool: frames looked at, and stretches of at most `max_gap` others between them."""
    looked = np.flatnonzero(looked_at)
    near = looked_at.copy()
    for place in np.flatnonzero(np.diff(looked) <= max_gap + 1):
        near[looked[place] : looked[place + 1]] = True
    return near


def _on_frames(video: VideoDetections, frames: np.ndarray) -> VideoDetections:
    """The detections on the frames where `frames` (F,) is True."""
    keep = frames[video.frames]
    if keep.all():
        return video
    return replace(
        video,
        frames=video.frames[keep],
        boxes=video.boxes[keep],
        objectness=video.objectness[keep],
        scores=video.scores[keep],
    )
