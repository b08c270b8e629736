"""Choice of the looked-at frames of an epoch: negatives sampled down, rare classes repeated."""

from __future__ import annotations

import numpy as np

from stadet.detect.structures import AnnotationSet
from stadet.engine.errors import UserError


class FrameChoice:
    """Draws the frames of an epoch, always the same number.

    Every looked-at frame with a box takes part at least once.
    negatives: frames without a box drawn for each frame with one (fewer where there are fewer),
    others in every epoch; None = all of them.
    balance: a frame is repeated (frames of the commonest class / frames of its rarest class) **
    balance times, at most `max_repeats`: 0 = once, 1 = as if all classes were equally common,
    0.5 = the repeat factors of LVIS (Gupta et al., CVPR 2019). Fractions are drawn at random.
    UserError where no looked-at frame has a box.
    """

    def __init__(
        self,
        annotations: AnnotationSet,
        *,
        negatives: float | None = 1.0,
        balance: float = 0.0,
        max_repeats: float = 20.0,
    ) -> None:
        self._videos = [video.name for video in annotations]
        positive, negative, labels = [], [], []
        for number, video in enumerate(annotations):
            video = video.objects()
            frames, first = np.unique(video.frames, return_index=True)
            if len(frames):
                labels.append(np.logical_or.reduceat(video.labels, first, axis=0))
            positive.append(_pairs(number, frames))
            negative.append(_pairs(number, np.setdiff1d(np.flatnonzero(video.looked_at), frames)))
        self.positive = _joined(positive)  # (P, 2) number of the video, frame
        self.negative = _joined(negative)
        if not len(self.positive):
            looked_at = len(self.negative)
            raise UserError(
                f"expected frames with boxes to train on, found none among {looked_at} looked-at "
                f"frames of {len(self._videos)} videos; check the split and the annotations"
            )
        self.repeats = repeat_factors(np.concatenate(labels), balance, max_repeats)
        self._num_positive = int(np.floor(self.repeats).sum()) + self._num_extra
        wanted = np.inf if negatives is None else round(negatives * self._num_positive)
        self._num_negative = int(min(wanted, len(self.negative)))

    @property
    def _num_extra(self) -> int:
        return int((self.repeats % 1).sum())

    def __len__(self) -> int:
        """Frames an epoch."""
        return self._num_positive + self._num_negative

    def draw(self, rng: np.random.Generator) -> list[tuple[str, int]]:
        """(video, frame) of one epoch in random order."""
        counts = np.floor(self.repeats).astype(np.int64)
        counts += systematic_draw(self.repeats % 1, self._num_extra, rng)
        chosen = rng.choice(len(self.negative), size=self._num_negative, replace=False)
        frames = np.concatenate([np.repeat(self.positive, counts, axis=0), self.negative[chosen]])
        return [(self._videos[number], frame) for number, frame in rng.permutation(frames).tolist()]


def repeat_factors(labels: np.ndarray, balance: float, most: float) -> np.ndarray:
    """Repetitions of each frame, (P,) in 1..most, from (P, C) bool classes on it."""
    frames = labels.sum(axis=0)
    of_class = (frames.max() / np.maximum(frames, 1)) ** balance
    return np.clip(np.where(labels, of_class, 1.0).max(axis=1), 1.0, most)


def systematic_draw(chances: np.ndarray, total: int, rng: np.random.Generator) -> np.ndarray:
    """(P,) 0 or 1, `total` ones in all, row i with a chance of about `chances[i]` in [0, 1).

    `total` is at most the sum of the chances, which leaves no row to be drawn twice.
    """
    drawn = np.zeros(len(chances), dtype=np.int64)
    if total:
        order = rng.permutation(len(chances))
        reached = np.cumsum(chances[order])
        marks = (np.arange(total) + rng.random()) * reached[-1] / total
        rows = np.minimum(np.searchsorted(reached, marks, side="right"), len(chances) - 1)
        np.add.at(drawn, order[rows], 1)
    return drawn


def _pairs(number: int, frames: np.ndarray) -> np.ndarray:
    return np.stack([np.full(len(frames), number, dtype=np.int64), frames], axis=1)


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.zeros((0, 2), dtype=np.int64), *parts])
