"""Draft annotations from detections: tracks that a person corrects, with doubts marked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy.signal import savgol_filter

from stadet.datasets.footage.info import VideoInfo
from stadet.datasets.formats.keyframes import interpolated, keyframes
from stadet.detect.actors.merging import leaders_of
from stadet.detect.actors.tubes import SAME_PLACE, tubes_with_actors
from stadet.detect.boxes import area, clip_boxes, rowwise_iou
from stadet.detect.detections.detection_set import VideoDetections
from stadet.detect.structures import Tube, VideoAnnotations
from stadet.detect.tubes.linking import LinkOptions, in_order, link_video
from stadet.detect.tubes.segments import cut_by_class
from stadet.engine.errors import UserError
from stadet.engine.limits import expect_within

DIGITS = 2  # of pixels, as CVAT exports
SHADOW, MOST = 0.3, 0.5  # IoU, and share of its frames, by which a better tube hides another
CLOSED = 0.3  # seconds of certainty between doubts that are doubtful, too
REASONS = ("no detection", "weak", "another class")


@dataclass(frozen=True)
class DraftOptions:
    """How detections become tracks.

    Attributes:
        threshold: a track reaches this score, and is continued by boxes of half of it.
        max_gap: seconds without a detection that a track bridges.
        min_length: seconds of the shortest track.
        switch: seconds for which another class, or none, has to hold to end a track.
        smooth: seconds over which a parabola is fitted to the boxes around each frame; less than
            five frames: no smoothing.
        tolerance: how far boxes may lie off after thinning, pixels a side.
        sure: share of its track's usual (median) score below which a box is uncertain.
        rival: share of the class' score from which another class makes a box uncertain.
        several_classes: an actor may have several classes at once, a track each.
    """

    threshold: float = 0.4
    max_gap: float = 0.4
    min_length: float = 0.3
    switch: float = 0.3
    smooth: float = 0.35
    tolerance: float = 2.0
    sure: float = 0.5
    rival: float = 0.6
    several_classes: bool = False

    def __post_init__(self) -> None:
        expect_within("--threshold", self.threshold, 0, 1)
        for name in ("max_gap", "min_length", "switch", "smooth", "tolerance"):
            expect_within(f"--{name.replace('_', '-')}", getattr(self, name), 0)
        for name in ("sure", "rival"):
            expect_within(f"--{name}", getattr(self, name), 0, 1)


@dataclass(frozen=True)
class Span:
    """Consecutive boxes of a track that are uncertain for the same reason, frames inclusive."""

    track: int
    label: int
    first: int
    last: int
    reason: str


@dataclass(frozen=True, eq=False)
class Draft:
    """Draft annotations of a video.

    Attributes:
        annotations: one track an actor and action, or one an actor where the detections say who it
            is, thinned: what CVAT interpolates between the keyframes; the processed frames are the
            looked-at ones.
        scores: (M,) of each box; 0 where it bridges a gap.
        uncertain: (M,) bool.
        spans: the uncertain boxes as stretches, by track.
        keyframes: how many boxes are keyframes.
        error: the largest difference that thinning made, pixels a side.
    """

    annotations: VideoAnnotations
    scores: np.ndarray
    uncertain: np.ndarray
    spans: list[Span]
    keyframes: int
    error: float


def draft_annotations(
    detections: VideoDetections, info: VideoInfo, options: DraftOptions | None = None
) -> Draft:
    """Link detections to tracks and thin them to keyframes.

    Actors are tubes (`stadet.detect.tubes.linking`) over the best class of each box, cut into
    actions (`stadet.detect.tubes.segments`); tracks are numbered by their first frame. What one
    actor of `stadet.detect.actors` does is one track, whatever its actions and the gaps between
    them. Boxes are smoothed over time, clipped to the frame and rounded as CVAT rounds.

    Raises:
        UserError: where detections are past the end of the video.
    """
    options = options or DraftOptions()
    if len(detections) and detections.frames[-1] >= info.num_frames:
        raise UserError(
            f"{info.name}: detections on frame {detections.frames[-1]}, the video has "
            f"{info.num_frames} (0..{info.num_frames - 1}); they belong to another cut of it"
        )
    looked_at = np.zeros(info.num_frames, dtype=bool)
    for first, last in detections.processed.tolist():
        looked_at[first : last + 1] = True
    looked_at[detections.frames] = True
    frames: list[np.ndarray] = []
    boxes: list[np.ndarray] = []
    labels: list[np.ndarray] = []
    tracks: list[np.ndarray] = []
    scores: list[np.ndarray] = []
    uncertain: list[np.ndarray] = []
    spans: list[Span] = []
    count, error = 0, 0.0
    numbers = _TrackNumbers()
    for tube in tubes_with_actors(_tubes(detections, info.fps, options), detections):
        of_classes = _class_scores(tube, detections)
        score = of_classes[:, tube.label]
        rival = np.delete(of_classes, tube.label, axis=1).max(axis=1, initial=0)
        reason = _closed(_reasons(score, rival, options), round(CLOSED * info.fps))
        own = _smooth(tube.boxes, options.smooth * info.fps)
        own = np.round(clip_boxes(own, info.size), DIGITS)
        at = np.arange(tube.start, tube.stop)
        keep = looked_at[at] & (area(own) > 0)
        places = np.flatnonzero(keep)
        if not len(places):
            continue
        number = numbers.of(tube)
        for run in np.split(places, np.flatnonzero(np.diff(places) > 1) + 1):
            doubt = reason[run] >= 0
            key = keyframes(own[run], options.tolerance, np.diff(doubt, prepend=doubt[:1]))
            thin = interpolated(own[run], key)
            error = max(error, float(np.abs(thin - own[run]).max()))
            count += int(key.sum())
            own[run] = thin
        spans += _spans(number, tube.label, at[places], reason[places])
        frames.append(at[places])
        boxes.append(own[places])
        labels.append(np.full(len(places), tube.label))
        tracks.append(np.full(len(places), number))
        scores.append(score[places])
        uncertain.append(reason[places] >= 0)
    empty = np.zeros(0, dtype=np.int64)
    joined = lambda parts: np.concatenate([empty, *parts])  # noqa: E731
    order = np.argsort(joined(frames), kind="stable")
    hot = np.zeros((len(order), detections.num_classes), dtype=bool)
    hot[np.arange(len(order)), joined(labels)[order].astype(np.int64)] = True
    annotations = VideoAnnotations.build(
        info.name,
        info.size,
        info.fps,
        looked_at,
        joined(frames)[order],
        np.concatenate([np.zeros((0, 4)), *boxes])[order],
        hot,
        joined(tracks)[order],
        times=info.times,
    )
    return Draft(
        annotations,
        joined(scores)[order].astype(np.float64),
        joined(uncertain)[order].astype(bool),
        spans,
        count,
        error,
    )


class _TrackNumbers:
    """Numbers of tracks from 0: one an actor, unless it would be at two places at once."""

    def __init__(self) -> None:
        self._next = 0
        self._actors: dict[int, tuple[int, int]] = {}  # number, and where its last tube stops

    def of(self, tube: Tube) -> int:
        """Number of a tube's track; tubes come by their start."""
        number, stop = self._actors.get(-1 if tube.actor is None else tube.actor, (self._next, 0))
        if tube.start < stop:
            number = self._next
        elif tube.actor is not None:
            self._actors[tube.actor] = number, tube.stop
        self._next = max(self._next, number + 1)
        return number


def _tubes(detections: VideoDetections, fps: float, options: DraftOptions) -> list[Tube]:
    """One tube an actor and action, by start: actors are linked whatever the class of their boxes,
    and cut where another class (or none) holds for longer."""
    least = max(1, round(options.min_length * fps))
    link = LinkOptions(
        min_score=options.threshold / 2,
        max_gap=round(options.max_gap * fps),
        switch_cost=None,
        min_length=least,
    )
    if options.several_classes:
        actors = link_video(detections, link)
    else:
        one = _one_box_a_place(detections)
        strength = one.scores.max(axis=1, initial=0, keepdims=True)
        actors = _without_shadows(link_video(replace(one, scores=strength), link))
    tubes = []
    for actor in actors:
        scores = _class_scores(actor, detections)
        if options.several_classes:
            scores[:, np.arange(detections.num_classes) != actor.label] = 0
        cost = options.switch * fps * options.threshold
        for first, stop, label in cut_by_class(scores, options.threshold / 2, cost):
            score = scores[first:stop, label]
            seen = np.flatnonzero(score > 0)
            if len(seen) and score.max() >= options.threshold:
                first, stop = first + int(seen[0]), first + int(seen[-1]) + 1
                if stop - first >= least:
                    tubes.append(Tube(actor.start + first, actor.boxes[first:stop], label))
    return in_order(tubes)


def _one_box_a_place(detections: VideoDetections) -> VideoDetections:
    """Of boxes that lie on each other in a frame the strongest, whatever their classes."""
    strength = detections.scores.max(axis=1, initial=0)
    edges = np.flatnonzero(np.diff(detections.frames)) + 1
    keep = np.zeros(len(detections), dtype=bool)
    for rows in np.split(np.arange(len(detections)), edges):
        keep[rows[np.unique(leaders_of(detections.boxes[rows], strength[rows]))]] = True
    return _kept(detections, keep)


def _kept(detections: VideoDetections, keep: np.ndarray) -> VideoDetections:
    ids = detections.actor_ids
    return replace(
        detections,
        frames=detections.frames[keep],
        boxes=detections.boxes[keep],
        objectness=detections.objectness[keep],
        scores=detections.scores[keep],
        actor_ids=None if ids is None else ids[keep],
    )


def _without_shadows(tubes: list[Tube]) -> list[Tube]:
    """Without tubes that a better one accompanies for most of their frames."""
    kept: list[Tube] = []
    for tube in sorted(tubes, key=lambda tube: -tube.score * len(tube)):
        covered = np.zeros(len(tube), dtype=bool)
        for other in kept:
            first, stop = max(tube.start, other.start), min(tube.stop, other.stop)
            if first < stop:
                here = slice(first - tube.start, stop - tube.start)
                there = slice(first - other.start, stop - other.start)
                covered[here] |= rowwise_iou(tube.boxes[here], other.boxes[there]) >= SHADOW
        if covered.mean() < MOST:
            kept.append(tube)
    return kept


def _class_scores(tube: Tube, detections: VideoDetections) -> np.ndarray:
    """(L, C) highest score of each class among detections that lie on a tube's boxes."""
    rows = np.arange(*np.searchsorted(detections.frames, [tube.start, tube.stop]))
    at = detections.frames[rows] - tube.start
    close = rowwise_iou(detections.boxes[rows], tube.boxes[at]) >= SAME_PLACE
    result = np.zeros((len(tube), detections.num_classes))
    np.maximum.at(result, at[close], detections.scores[rows[close]])
    return result


def _reasons(score: np.ndarray, rival: np.ndarray, options: DraftOptions) -> np.ndarray:
    """(L,) index into `REASONS`, -1 where a box is certain."""
    usual = np.median(score[score > 0]) if (score > 0).any() else 0.0
    reason = np.full(len(score), -1)
    reason[rival >= options.rival * np.maximum(score, 1e-9)] = REASONS.index("another class")
    reason[score < options.sure * usual] = REASONS.index("weak")
    reason[score <= 0] = REASONS.index("no detection")
    return reason


def _closed(reason: np.ndarray, frames: int) -> np.ndarray:
    """Certain stretches of at most so many frames between uncertain ones are uncertain, too:
    every change is a keyframe more, and a person looks at the whole."""
    reason = reason.copy()
    doubts = np.flatnonzero(reason >= 0)
    for before, after in zip(doubts[:-1].tolist(), doubts[1:].tolist(), strict=True):
        if 1 < after - before <= frames + 1:
            reason[before + 1 : after] = reason[before]
    return reason


def _smooth(boxes: np.ndarray, frames: float) -> np.ndarray:
    """Parabolas fitted to so many frames around each (Savitzky and Golay 1964): a mean over time
    would cut the corners where a hand turns round."""
    window = min(int(frames) // 2 * 2 + 1, (len(boxes) - 1) // 2 * 2 + 1)
    return savgol_filter(boxes, window, 2, axis=0) if window >= 5 else boxes.copy()


def _spans(track: int, label: int, frames: np.ndarray, reason: np.ndarray) -> Iterator[Span]:
    breaks = np.flatnonzero((np.diff(frames) > 1) | (np.diff(reason) != 0)) + 1
    for run in np.split(np.arange(len(frames)), breaks):
        why = int(reason[run[0]])
        if why >= 0:
            yield Span(track, label, int(frames[run[0]]), int(frames[run[-1]]), REASONS[why])
