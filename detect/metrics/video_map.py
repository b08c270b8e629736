"""video-mAP: average precision of tubes.

A detected tube is right if its overlap with a truth tube of its class reaches the threshold, where
overlap = temporal IoU x mean spatial IoU over the shared frames. Truth tubes are in
`tubes.truth`, detected ones in `tubes.linking`. Detections choose by falling score among the
truths of their video that are still free (as the public evaluations of ACT, Singh et al. 2017 and
YOWO do); AP is the all-point area, its mean goes over the classes with truth.

Frames that nobody looked at count on neither side: not in the overlap, and a stretch of more than
`max_gap` of them ends every tube. A tube wholly on such frames is neither right nor wrong.
Where all frames are looked at, this is the definition of the literature.

Under the protocol `multisports` (evaluate_multisports.py of that data set): a detection takes its
best-overlapping truth and is false if that is taken, the temporal IoU is of spans (`pair_overlaps`)
and equal scores rank as numpy's default sort leaves them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from stadet.detect.detections.detection_set import DetectionSet, VideoDetections
from stadet.detect.metrics.average_precision import average_precision, precision_recall
from stadet.detect.metrics.frame_map import nan_mean
from stadet.detect.metrics.matching import (
    Pairs,
    match_best_free,
    match_best_overlap,
    score_rank,
)
from stadet.detect.metrics.protocols import IOU_THRESHOLDS, Protocol, get_protocol
from stadet.detect.structures import AnnotationSet, Tube, VideoAnnotations
from stadet.detect.tubes.linking import LinkOptions, link_video
from stadet.detect.tubes.overlap import TubeColumns, pair_overlaps
from stadet.detect.tubes.truth import truth_tubes
from stadet.detect.tubes.tube_set import TubeSet, VideoTubes
from stadet.engine.signatures import checked

THRESHOLDS = (0.1, 0.2, 0.5, 0.75)
MULTISPORTS_THRESHOLDS = (0.2, 0.5)
MULTISPORTS_RANGES = {  # as that script adds them up, to the last bit
    "0.05:0.45": tuple(0.05 + 0.05 * step for step in range(9)),
    "0.10:0.90": tuple(0.1 + 0.1 * step for step in range(9)),
    "0.50:0.95": tuple(0.5 + 0.05 * step for step in range(10)),
}


@checked
def video_map(
    annotations: AnnotationSet,
    detections: DetectionSet,
    thresholds: Sequence[float] = THRESHOLDS,
    options: LinkOptions | None = None,
    protocol: str | Protocol = "voc",
) -> dict[str, float]:
    """Video-mAP of a whole set.

    Videos without detections count as missed; detections of videos without annotations are ignored.

    Args:
        annotations: the truth.
        detections: of the same videos.
        thresholds: spatiotemporal overlaps.
        options: linking of detections into tubes.
        protocol: rules of matching.

    Returns:
        `{"0.1": .., "0.2": .., "0.5": .., "0.75": .., "0.5:0.95": ..}`, under `multisports` its
            script's `{"0.2": .., "0.5": .., "0.05:0.45": .., "0.10:0.90": .., "0.50:0.95": ..}`;
            NaN where no class has truth.
    """
    if annotations.names != detections.names:
        raise ValueError(
            f"expected detections of the classes {annotations.names}, found {detections.names}"
        )
    metric = VideoMAP(annotations.names, options, protocol)
    for truth in annotations:
        metric.update(truth, detections.videos.get(truth.name))
    return metric.figures(thresholds)


def video_map_of_tubes(
    annotations: AnnotationSet,
    tubes: TubeSet,
    thresholds: Sequence[float] = THRESHOLDS,
    protocol: str | Protocol = "voc",
    max_gap: int = LinkOptions().max_gap,
) -> VideoMAP:
    """The same of tubes made elsewhere, ready to be asked.

    max_gap: frames that nobody looked at and that a truth tube bridges. Tubes of videos that
    `annotations` does not hold take no part. ValueError for other classes.
    """
    if annotations.names != tubes.names:
        raise ValueError(f"expected tubes of the classes {annotations.names}, found {tubes.names}")
    metric = VideoMAP(annotations.names, LinkOptions(max_gap=max_gap), protocol)
    for truth in annotations:
        found = tubes.videos.get(truth.name)
        metric.update_tubes(truth, () if found is None else found.tubes)
    return metric


@dataclass(frozen=True, eq=False)
class VideoMAPResult:
    """Average precision of each class over tubes.

    Attributes:
        names: the C classes.
        named: the thresholds asked for, besides 0.5:0.95.
        thresholds: (K,) spatiotemporal overlaps.
        ap: (K, C) in [0, 1], NaN for a class without truth.
        truths: (C,) numbers of truth tubes.
        detected: (C,) numbers of detected tubes.
    """

    names: tuple[str, ...]
    named: tuple[float, ...]
    thresholds: tuple[float, ...]
    ap: np.ndarray
    truths: np.ndarray
    detected: np.ndarray

    def at(self, overlap: float) -> np.ndarray:
        """(C,) AP of each class at one of the thresholds."""
        return self.ap[self.thresholds.index(overlap)]

    def mean_at(self, overlap: float) -> float:
        """Mean over classes with truth; NaN where no class has truth."""
        return nan_mean(self.at(overlap))

    @property
    def averaged(self) -> np.ndarray:
        """(C,) mean AP over 0.5, 0.55, .., 0.95."""
        return np.mean([self.at(overlap) for overlap in IOU_THRESHOLDS], axis=0)

    def as_dict(self) -> dict[str, float]:
        """Means over the classes with truth, by threshold, and "0.5:0.95"."""
        means = {f"{overlap:g}": self.mean_at(overlap) for overlap in self.named}
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

    names: class names; options: how detections are linked, and the `max_gap` of truth tubes;
    protocol: of `voc`, `yowo`, `coco` and `ava` all count alike, `multisports` as its script does.

    The order of feeding and the number of processes change nothing: tubes of equal score rank by
    the name of their video, then by their order in it.
    """

    @checked
    def __init__(
        self,
        names: Sequence[str],
        options: LinkOptions | None = None,
        protocol: str | Protocol = "voc",
    ) -> None:
        self.names = tuple(names)
        self.options = options or LinkOptions()
        self.protocol = get_protocol(protocol)
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self._videos: dict[str, _VideoTubes] = {}

    @checked
    def update(self, truth: VideoAnnotations, detections: VideoDetections | None) -> None:
        """A video's truth and detections (`None`: the model said nothing of it).

        ValueError for a video fed twice and for detections past its end.
        """
        self.update_tubes(truth, _linked(truth, detections, self.options))

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
        overlaps = pair_overlaps(
            found, wanted, detection, target, truth.looked_at, spans=self._as_multisports
        )
        pairs = Pairs(detection, target, overlaps, len(found), len(wanted))
        self._videos[truth.name] = _VideoTubes(
            wanted.labels, found.labels, found.scores, pairs.select(overlaps > 0)
        )

    @checked
    def merge(self, other: VideoMAP) -> None:
        """Take over what another object (of another process) was fed."""
        mine = (self.names, self.options, self.protocol)
        if (other.names, other.options, other.protocol) != mine:
            raise ValueError("expected a metric of the same classes, link options and protocol")
        twice = sorted(self._videos.keys() & other._videos.keys())
        if twice:
            raise ValueError(f"{twice[0]} was fed to both; every video counts once")
        self._videos.update(other._videos)

    def compute(self, thresholds: Sequence[float] = THRESHOLDS) -> VideoMAPResult:
        """AP of each class at `thresholds` and at 0.5, 0.55, .., 0.95."""
        every = tuple(sorted({*thresholds, *IOU_THRESHOLDS}))
        truths, labels, scores, pairs = self._joined()
        rank, rows = self._order(labels, scores)
        rule = match_best_overlap if self._as_multisports else match_best_free
        wanted = np.bincount(truths, minlength=len(self.names))
        wanted[~self.protocol.evaluated(self.names)] = 0
        ap = np.full((len(every), len(self.names)), np.nan)
        for k, threshold in enumerate(every):
            right = rule(pairs, rank, threshold).true_positive
            for label in np.flatnonzero(wanted):
                curve = precision_recall(right[rows[label]], wanted[label])
                ap[k, label] = average_precision(*curve)
        detected = np.array([len(row) for row in rows])
        return VideoMAPResult(self.names, tuple(thresholds), every, ap, wanted, detected)

    def figures(self, thresholds: Sequence[float] = THRESHOLDS) -> dict[str, float]:
        """Means over classes by threshold; under `multisports` what its script prints (as shares of
        1), with `thresholds` beyond the script's own added."""
        if not self._as_multisports:
            return self.compute(thresholds).as_dict()
        extra = () if tuple(thresholds) == THRESHOLDS else tuple(thresholds)
        named = sorted({*MULTISPORTS_THRESHOLDS, *extra})
        result = self.compute({t for part in (named, *MULTISPORTS_RANGES.values()) for t in part})
        means = {f"{overlap:g}": result.mean_at(overlap) for overlap in named}
        return means | {
            name: float(np.mean([result.mean_at(overlap) for overlap in part]))
            for name, part in MULTISPORTS_RANGES.items()
        }

    @property
    def _as_multisports(self) -> bool:
        return self.protocol.ties == "multisports"

    def _order(self, labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
        """Rank in which detections choose (D,), and the detections of each class by rank."""
        rows = [np.flatnonzero(labels == label) for label in range(len(self.names))]
        if not self._as_multisports:
            rank = score_rank(scores)
            return rank, [row[np.argsort(rank[row])] for row in rows]
        rows = [row[np.argsort(-scores[row])] for row in rows]
        rank = np.empty(len(labels), dtype=np.int64)
        for row in rows:  # classes never meet: each may rank by itself
            rank[row] = np.arange(len(row))
        return rank, rows

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


def link_for_scoring(
    annotations: AnnotationSet, detections: DetectionSet, options: LinkOptions | None = None
) -> TubeSet:
    """The tubes that `video_map` scores: of the annotated videos, from detections on frames that
    were looked at or lie in a gap of at most `max_gap` between two such frames."""
    options = options or LinkOptions()
    videos = {
        truth.name: VideoTubes(
            truth.name,
            _linked(truth, detections.videos.get(truth.name), options),
            truth.fps,
            truth.num_frames,
            truth.times,
        )
        for truth in annotations
    }
    return TubeSet(annotations.names, videos, asdict(options))


def _linked(
    truth: VideoAnnotations, detections: VideoDetections | None, options: LinkOptions
) -> list[Tube]:
    if detections is None:
        return []
    if len(detections):
        _check_end(truth, int(detections.frames[-1]))
    near = near_looked_at(truth.looked_at, options.max_gap)
    return link_video(_on_frames(detections, near), options)


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
