"""Frames for the gallery: the worst, the best, and examples of each kind of error."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from stadet.detect.metrics.confusion import best_class_only
from stadet.detect.metrics.diagnosis import KINDS
from stadet.detect.metrics.evaluation import Evaluation

FrameKey = tuple[str, int]  # video, frame
EXAMPLES_SHOWN = 2  # frames of each kind of error


@dataclass(frozen=True)
class GalleryFrame:
    """A frame with the number of truths found, missed, and false detections at the threshold."""

    video: str
    frame: int
    found: int
    missed: int
    false: int

    @property
    def key(self) -> FrameKey:
        """(video, frame)."""
        return self.video, self.frame

    def caption(self) -> str:
        """One line under the picture."""
        return f"{self.found} found, {self.missed} missed, {self.false} false"


def example_frames(evaluation: Evaluation) -> dict[str, list[FrameKey]]:
    """The first frames that show each kind of error; kinds without errors are left out."""
    examples = evaluation.diagnosis.examples
    found = {
        kind: list(dict.fromkeys((x.video, x.frame) for x in examples[kind]))[:EXAMPLES_SHOWN]
        for kind in KINDS
    }
    return {kind: keys for kind, keys in found.items() if keys}


def gallery_frames(evaluation: Evaluation, keys: Iterable[FrameKey]) -> list[GalleryFrame]:
    """These frames with their counts, each once."""
    columns = evaluation.columns
    counts = np.stack(_counts(evaluation), axis=1)
    places = {
        (columns.video_names[video], int(frame)): image
        for image, (video, frame) in enumerate(
            zip(columns.image_video, columns.image_frame, strict=True)
        )
    }
    return [GalleryFrame(*key, *map(int, counts[places[key]])) for key in dict.fromkeys(keys)]


def choose_frames(
    evaluation: Evaluation, count: int = 6, gap: int = 30
) -> tuple[list[GalleryFrame], list[GalleryFrame]]:
    """The worst and the best frames, at most `count` of each.

    Worst: most missed truths and false detections. Best: most truths found, none missed, none
    false. Frames of one video lie more than `gap` frames apart, and no video gives more than a
    third of the frames while others have some.
    """
    columns = evaluation.columns
    found, missed, false = _counts(evaluation)
    errors = missed + false
    worst = np.lexsort((-false, -errors))
    best = np.lexsort((-found, errors))

    def spread(order: np.ndarray) -> list[GalleryFrame]:
        chosen: list[GalleryFrame] = []
        for most in (max(1, count // 3), count):
            for image in order:
                name = columns.video_names[columns.image_video[image]]
                frame = int(columns.image_frame[image])
                near = [f for f in chosen if f.video == name]
                if len(chosen) >= count:
                    break
                if len(near) < most and all(abs(f.frame - frame) > gap for f in near):
                    chosen.append(
                        GalleryFrame(
                            name, frame, int(found[image]), int(missed[image]), int(false[image])
                        )
                    )
        return chosen

    return spread(worst[errors[worst] > 0]), spread(best[(errors[best] == 0) & (found[best] > 0)])


def _counts(e: Evaluation) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(images,) truths found, truths missed and false detections at the threshold."""
    ranking, columns = e.ranking, e.columns
    kept = ranking.score >= e.thresholds.overall
    if (columns.truth_labels.sum(axis=1) <= 1).all():
        kept &= best_class_only(columns)[ranking.entry]
    found = np.bincount(ranking.image[kept & ranking.true_positive], minlength=columns.num_images)
    false = np.bincount(ranking.image[kept & ~ranking.true_positive], minlength=columns.num_images)
    truths = np.bincount(
        columns.truth_image, columns.truth_labels.sum(axis=1), minlength=columns.num_images
    ).astype(np.int64)
    return found, truths - found, false
