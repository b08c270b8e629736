"""What held-out detections say of every track, frame by frame."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from stadet.detect.boxes import rowwise_iou
from stadet.detect.detections.detection_set import DetectionSet, VideoDetections
from stadet.detect.structures import AnnotationSet, VideoAnnotations
from stadet.detect.suspects.tracks import Run, runs_of

NEAR = 0.1  # IoU from which a detection may mean a truth box
SAME = 0.5  # IoU from which it says the same
USUAL_LEAST = 0.05  # a class whose detections are weaker than this is taken to be this strong


@dataclass(frozen=True, eq=False)
class VideoEvidence:
    """One video: truth, its runs, and detections where there are some.

    Attributes:
        truth: its annotations, without ignored regions.
        runs: of the truth.
        detections: None where the detections do not have the video.
    """

    truth: VideoAnnotations
    runs: list[Run]
    detections: VideoDetections | None

    def near(self, run: Run) -> tuple[np.ndarray, np.ndarray]:
        """(rows (K,) of detections on the run's frames, their IoU (K,) with its box there)."""
        found = self.detections
        assert found is not None
        rows = np.arange(*np.searchsorted(found.frames, [run.start, run.stop]))
        return rows, rowwise_iou(found.boxes[rows], run.boxes[found.frames[rows] - run.start])

    def judged(self, run: Run) -> np.ndarray:
        """(L,) bool: frames of a run that were looked at and processed."""
        if self.detections is None:
            return np.zeros(len(run), dtype=bool)
        return run.seen & self.detections.is_processed(np.arange(run.start, run.stop))

    def support(self, run: Run, overlap: float) -> np.ndarray:
        """(L, C) highest score of each class among detections of at least that IoU."""
        found = self.detections
        assert found is not None
        rows, iou = self.near(run)
        rows = rows[iou >= overlap]
        result = np.zeros((len(run), found.num_classes))
        np.maximum.at(result, found.frames[rows] - run.start, found.scores[rows])
        return result


@dataclass(frozen=True, eq=False)
class Evidence:
    """All videos, and the class names' number.

    Attributes:
        videos: of each annotated video.
        num_classes: C.
    """

    videos: list[VideoEvidence]
    num_classes: int

    @cached_property
    def usual(self) -> np.ndarray:
        """(C,) median over a class' runs of the mean score that detections give it: what a
        well-annotated track of the class can expect. At least `USUAL_LEAST`."""
        means: list[list[float]] = [[] for _ in range(self.num_classes)]
        for video in self.videos:
            for run in video.runs if video.detections is not None else []:
                judged = video.judged(run)
                if judged.any():
                    support = video.support(run, SAME)[judged, run.label]
                    means[run.label].append(float(support.mean()))
        every = [mean for own in means for mean in own]
        default = float(np.median(every)) if every else USUAL_LEAST
        usual = np.array([np.median(own) if len(own) else default for own in means])
        return np.maximum(usual, USUAL_LEAST)

    def relative(self, scores: np.ndarray) -> np.ndarray:
        """Scores (..., C) as a share of what is usual for the class, at most 1."""
        return np.minimum(scores / self.usual, 1.0)


def gather(annotations: AnnotationSet, detections: DetectionSet | None) -> Evidence:
    """Evidence of every annotated video."""
    found = detections.videos if detections is not None else {}
    videos = []
    for video in annotations.objects():
        videos.append(VideoEvidence(video, runs_of(video), found.get(video.name)))
    return Evidence(videos, len(annotations.names))
