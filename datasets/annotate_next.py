"""Which stretches of footage to annotate next: where models disagree or doubt, and rare classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from stadet.detect.boxes import pairwise_iou
from stadet.detect.detections.detection_set import DetectionSet, VideoDetections
from stadet.detect.structures import AnnotationSet
from stadet.engine.errors import UserError
from stadet.engine.limits import POSITIVE, expect_within

SAME_BOX = 0.5  # IoU from which two detectors speak of one box


@dataclass(frozen=True)
class ChoiceOptions:
    """What is chosen.

    Attributes:
        seconds: length of a stretch.
        count: how many stretches.
        apart: seconds that lie at least between two stretches of a video.
        rarity: weight of rare classes against doubt, from 0 to 1.
        least: scores below it count as 0.
    """

    seconds: float = 4.0
    count: int = 20
    apart: float = 4.0
    rarity: float = 0.3
    least: float = 0.1

    def __post_init__(self) -> None:
        expect_within("--seconds", self.seconds, POSITIVE)
        expect_within("--count", self.count, 1)
        expect_within("--apart", self.apart, 0)
        expect_within("--rarity", self.rarity, 0, 1)
        expect_within("--least", self.least, 0, 1)


@dataclass(frozen=True)
class Stretch:
    """A stretch to annotate.

    Attributes:
        rank: 1 for the first to annotate.
        video: its name.
        first: first frame.
        last: last frame, inclusive.
        worth: mean over its frames of (1 - rarity) x doubt + rarity x rareness.
        gain: what it adds to those before it, by which it was chosen.
        doubt: mean of the frames' doubt, 0 to 1.
        rareness: mean of the frames' rareness, 0 to 1.
        label: class that is detected most, "" for none.
    """

    rank: int
    video: str
    first: int
    last: int
    worth: float
    gain: float
    doubt: float
    rareness: float
    label: str


def choose_stretches(
    detections: DetectionSet,
    others: DetectionSet | None,
    fps: Mapping[str, float],
    annotated: AnnotationSet | None = None,
    options: ChoiceOptions | None = None,
) -> list[Stretch]:
    """Stretches of footage that are worth most together.

    A frame's doubt is, with `others`, the largest difference between the two detectors' scores of a
    box and class (a box that only one finds differs by its whole score); without, the largest
    entropy of a score, in bits. Its rareness is the largest score times 1 / sqrt(1 + tracks of the
    class that are annotated), relative to the rarest class.

    Stretches are chosen one after another, each time the one of largest gain in
    sum over classes and videos of sqrt(worth chosen there): what adds a class or a video that has
    little so far counts more, and the choice is within 1 - 1/e of the best one (concave over
    modular functions: Lin and Bilmes 2011; greedy: Nemhauser et al. 1978), apart from the distance
    that is kept in time.

    Args:
        detections: of a detector over footage; only processed frames are chosen from.
        others: of another detector over the same footage (a frame detector against a recurrent
            one), the same classes in the same order.
        fps: frames per second of each video to choose from.
        annotated: frames that were looked at already are not chosen, and classes are counted.
        options: how many and how long.

    Raises:
        UserError: where no video of `fps` has detections, and for detectors of other classes.
    """
    options = options or ChoiceOptions()
    if others is not None and others.names != detections.names:
        raise UserError(
            f"expected two detectors of the same classes, found {', '.join(detections.names[:4])} "
            f"and {', '.join(others.names[:4])}"
        )
    rare = _rareness(detections.names, annotated)
    candidates: list[_Candidate] = []
    for name, rate in fps.items():
        video = detections.videos.get(name)
        if video is None or not len(video.processed):
            continue
        other = None
        if others is not None:
            other = others.videos.get(name)
            if other is None:
                raise UserError(f"{name}: expected detections of both detectors, found one")
        candidates += _candidates(video, other, rate, rare, annotated, options)
    if not candidates:
        raise UserError(
            "expected frames that a detector has processed and nobody has annotated, found none"
        )
    return _greedy(candidates, detections.names, fps, options)


@dataclass(frozen=True, eq=False)
class _Candidate:
    """A stretch that may be chosen; shares (C,): of its worth that each class has."""

    video: str
    first: int
    last: int
    doubt: float
    rareness: float
    worth: float
    shares: np.ndarray


def _rareness(names: Sequence[str], annotated: AnnotationSet | None) -> np.ndarray:
    """(C,) of each class, the rarest 1; all 1 without annotations."""
    counts = np.zeros(len(names))
    for video in annotated or ():
        for column, label in enumerate(annotated.names if annotated is not None else ()):
            if label in names:
                tracks = np.unique(video.track_ids[video.labels[:, column]])
                counts[names.index(label)] += len(tracks)
    weight = 1 / np.sqrt(1 + counts)
    return weight / weight.max(initial=1e-9)


def frame_doubt(
    video: VideoDetections, other: VideoDetections | None, frames: np.ndarray, least: float
) -> np.ndarray:
    """(F,) doubt of each of `frames`, as in `choose_stretches`."""
    doubt = np.zeros(len(frames))
    for place, frame in enumerate(frames.tolist()):
        rows = slice(*np.searchsorted(video.frames, [frame, frame + 1]))
        scores = _above(video.scores[rows], least)
        if other is None:
            p = np.clip(scores.max(axis=1, initial=0), 1e-12, 1 - 1e-12)
            entropy = -(p * np.log2(p) + (1 - p) * np.log2(1 - p))
            doubt[place] = entropy.max(initial=0)
            continue
        their = slice(*np.searchsorted(other.frames, [frame, frame + 1]))
        theirs = _above(other.scores[their], least)
        same = pairwise_iou(video.boxes[rows], other.boxes[their]) >= SAME_BOX
        doubt[place] = max(_differences(scores, theirs, same), _differences(theirs, scores, same.T))
    return doubt


def _above(scores: np.ndarray, least: float) -> np.ndarray:
    return np.where(scores >= least, scores, 0.0)


def _differences(scores: np.ndarray, others: np.ndarray, same: np.ndarray) -> float:
    """The most by which a score exceeds the best of the other detector for the same box."""
    if not scores.size:
        return 0.0
    matched = np.where(same[:, :, None], others[None], 0.0).max(axis=1, initial=0.0)
    return float((scores - matched).max(initial=0.0))


def _candidates(
    video: VideoDetections,
    other: VideoDetections | None,
    fps: float,
    rare: np.ndarray,
    annotated: AnnotationSet | None,
    options: ChoiceOptions,
) -> list[_Candidate]:
    """Stretches of a video at every half length; none holds an annotated frame."""
    stop = int(video.processed[-1, 1]) + 1
    every = np.arange(stop)
    free = video.is_processed(every)
    if other is not None:
        free &= other.is_processed(every)
    if annotated is not None and video.name in annotated.videos:
        looked_at = annotated.videos[video.name].looked_at[:stop]
        free[: len(looked_at)] &= ~looked_at
    frames = np.flatnonzero(free)
    doubt, rareness = np.zeros(stop), np.zeros(stop)
    doubt[frames] = frame_doubt(video, other, frames, options.least)
    scores = _above(video.scores, options.least)
    known = video.frames < stop
    by_class = np.zeros((stop, len(rare)))
    np.maximum.at(by_class, video.frames[known], scores[known])
    rareness = (by_class * rare).max(axis=1, initial=0.0)
    worth = (1 - options.rarity) * doubt + options.rarity * rareness
    length = max(1, round(options.seconds * fps))
    found = []
    for first in range(0, max(stop - length, 0) + 1, max(1, length // 2)):
        part = slice(first, min(first + length, stop))
        if not free[part].all():
            continue
        total = by_class[part].sum(axis=0)
        shares = total / total.sum() if total.sum() > 0 else np.zeros(len(rare))
        found.append(
            _Candidate(
                video.name,
                first,
                part.stop - 1,
                float(doubt[part].mean()),
                float(rareness[part].mean()),
                float(worth[part].mean()),
                shares,
            )
        )
    return found


def _greedy(
    candidates: list[_Candidate],
    names: Sequence[str],
    fps: Mapping[str, float],
    options: ChoiceOptions,
) -> list[Stretch]:
    videos = list(dict.fromkeys(c.video for c in candidates))
    worth = np.array([c.worth for c in candidates])
    owner = np.array([videos.index(c.video) for c in candidates])
    first = np.array([c.first for c in candidates])
    last = np.array([c.last for c in candidates])
    features = np.concatenate(
        [np.stack([c.shares for c in candidates]), np.eye(len(videos))[owner]], axis=1
    )
    features = features * worth[:, None]
    held = np.zeros(features.shape[1])
    open_ones = np.ones(len(candidates), dtype=bool)
    chosen: list[Stretch] = []
    while len(chosen) < options.count and open_ones.any():
        gains = (np.sqrt(held + features) - np.sqrt(held)).sum(axis=1)
        gains[~open_ones] = -1.0
        best = int(gains.argmax())
        if gains[best] <= 0:
            break  # nothing is detected or in doubt any more
        c = candidates[best]
        held += features[best]
        apart = round(options.apart * fps[c.video])
        near = (owner == owner[best]) & (first <= c.last + apart) & (last >= c.first - apart)
        open_ones &= ~near
        label = names[int(c.shares.argmax())] if c.shares.any() else ""
        chosen.append(
            Stretch(
                len(chosen) + 1,
                c.video,
                c.first,
                c.last,
                round(c.worth, 4),
                round(float(gains[best]), 4),
                round(c.doubt, 4),
                round(c.rareness, 4),
                label,
            )
        )
    return chosen
