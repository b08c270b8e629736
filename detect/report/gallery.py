"""Frames worth looking at: where the detector errs most, and where all is right."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stadet.detect.metrics.confusion import best_class_only
from stadet.detect.metrics.evaluation import Evaluation


@dataclass(frozen=True)
class GalleryFrame:
    """A frame with the number of truths found, missed, and false detections at the threshold."""

    video: str
    frame: int
    found: int
    missed: int
    false: int

    def caption(self) -> str:
        """One line under the picture."""
        return f"{self.found} found, {self.missed} missed, {self.false} false"


def choose_frames(
    evaluation: Evaluation, count: int = 6, gap: int = 30
) -> tuple[list[GalleryFrame], list[GalleryFrame]]:
    """The worst and the best frames, at most `count` of each.

    Worst: most missed truths and false detections. Best: most truths found, none missed, none
    false. Frames of one video lie more than `gap` frames apart, and no video gives more than a
    third of the frames while others have some.
    """
    e = evaluation
    ranking, columns = e.ranking, e.columns
    kept = ranking.score >= e.thresholds.overall
    if (columns.truth_labels.sum(axis=1) <= 1).all():
        kept &= best_class_only(columns)[ranking.entry]
    found = np.bincount(ranking.image[kept & ranking.true_positive], minlength=columns.num_images)
    false = np.bincount(ranking.image[kept & ~ranking.true_positive], minlength=columns.num_images)
    truths = np.bincount(
        columns.truth_image, columns.truth_labels.sum(axis=1), minlength=columns.num_images
    ).astype(np.int64)
    missed = truths - found
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
