"""Faults in annotations, planted where they are known: on top of the generator's own.

The generator's imperfect annotation has wandering boxes, shifted onsets and wrong labels. To these
are added what annotators do besides: a track forgotten, drawn twice or drawn where nothing happens,
a keyframe slipped, an onset a second off, a box that does not fit.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass

import numpy as np

from stadet.detect.boxes import clip_boxes, rowwise_iou
from stadet.detect.structures import AnnotationSet, VideoAnnotations

SHARE = {"missing": 0.05, "onset": 0.08, "jump": 0.06, "box": 0.05, "duplicate": 0.05}
UNSUPPORTED = 0.05  # invented tracks as a share of the real ones
ONSET_SECONDS = (0.6, 1.2)  # a planted shift of an end
COUNTED_SHIFT = 0.4  # seconds from which any shift of an end counts as a fault


@dataclass(frozen=True)
class Fault:
    """What is wrong where: kind as in `stadet.datasets.suspects`; track: id in the faulty
    annotation (-1: none); first, last: frames; box: xyxy on the frame in their middle."""

    kind: str
    video: str
    track: int
    first: int
    last: int
    box: tuple[float, ...]
    label: str

    def as_dict(self) -> dict:
        return asdict(self)


def plant(
    clean: VideoAnnotations,
    imperfect: VideoAnnotations,
    names: tuple[str, ...],
    rng: np.random.Generator,
) -> tuple[VideoAnnotations, list[Fault]]:
    """The imperfect annotation with further faults, at most one a track, and the list of all.

    clean, imperfect: the same tracks under the same ids.
    """
    tracks: dict[int, tuple[np.ndarray, np.ndarray, int]] = {}
    faults: list[Fault] = []
    frames, boxes, labels, ids = [], [], [], []
    seen = np.flatnonzero(clean.looked_at)
    next_id = int(max(clean.track_ids.max(initial=0), imperfect.track_ids.max(initial=0))) + 1

    def fault(kind: str, track: int, at: np.ndarray, own: np.ndarray, label: int) -> None:
        middle = len(at) // 2
        box = tuple(np.round(own[middle], 2).tolist())
        faults.append(Fault(kind, clean.name, track, int(at[0]), int(at[-1]), box, names[label]))

    def add(track: int, at: np.ndarray, own: np.ndarray, label: int) -> None:
        own = clip_boxes(own, clean.size)
        keep = clean.looked_at[at] & ((own[:, 2:] - own[:, :2]) > 1).all(axis=1)
        frames.append(at[keep])
        boxes.append(own[keep])
        labels.append(np.full(keep.sum(), label))
        ids.append(np.full(keep.sum(), track))

    for track in np.unique(imperfect.track_ids).tolist():
        rows = imperfect.track_ids == track
        at, own = imperfect.frames[rows], imperfect.boxes[rows].copy()
        label = int(imperfect.labels[rows][0].argmax())
        rows = clean.track_ids == track
        true_at, true_boxes = clean.frames[rows], clean.boxes[rows]
        if len(true_at) < 6 or len(at) < 6:
            add(track, at, own, label)
            continue
        true_label = int(clean.labels[rows][0].argmax())
        tracks[track] = (at, own, label)
        kind = _draw(rng)
        if kind == "missing":
            fault(kind, -1, true_at, true_boxes, true_label)
            continue
        if kind == "onset":
            at, own = _shifted(at, own, clean, rng)
        elif kind == "jump":
            length = min(int(rng.integers(3, 9)), len(at) - 3)
            begin = int(rng.integers(1, len(at) - length))
            sides = (own[begin, 2:] - own[begin, :2]) * rng.choice([-1, 1], 2)
            own[begin : begin + length] += np.tile(sides * rng.uniform(0.5, 1.0, 2), 2)
            part = slice(begin, begin + length)
            fault(kind, track, at[part], own[part], label)
        elif kind == "box":
            sides = own[:, 2:] - own[:, :2]
            grow = sides * rng.uniform(0.25, 0.45) * rng.choice([-0.7, 1])
            own = own + np.concatenate([-grow, grow], axis=1)
            fault(kind, track, at, own, label)
        elif kind == "duplicate":
            wander = rng.normal(0, 0.04, 4) * np.tile((own[:, 2:] - own[:, :2]).mean(0), 2)
            fault(kind, next_id, at, own + wander, label)
            add(next_id, at, own + wander, label)
            next_id += 1
        if label != true_label:
            fault("label", track, at, own, label)
        for end in (0, -1):
            shift = (at[end] - true_at[end]) / clean.fps
            if abs(shift) >= COUNTED_SHIFT:
                span = np.sort([at[end], true_at[end]])
                place = own if abs(at[end] - span).min() == 0 else true_boxes
                fault("onset", track, span, place[[end, end]], label)
        add(track, at, own, label)
    for _ in range(rng.binomial(max(len(tracks), 1), UNSUPPORTED)):
        at, own, label = tracks[int(rng.choice(list(tracks)))]
        move = int(rng.integers(0, clean.num_frames - len(at)))
        there = np.arange(move, move + len(at))
        free = clean.looked_at[there].all() and not _meets(clean, there, own)
        if free:
            fault("unsupported", next_id, there, own, label)
            add(next_id, there, own, label)
            next_id += 1
    columns = [np.concatenate(part) for part in (frames, boxes, labels, ids)]
    hot = np.zeros((len(columns[0]), len(names)), bool)
    hot[np.arange(len(hot)), columns[2]] = True
    looked_at = np.isin(np.arange(clean.num_frames), seen)
    return (
        VideoAnnotations.build(
            clean.name, clean.size, clean.fps, looked_at, columns[0], columns[1], hot, columns[3]
        ),
        faults,
    )


def _draw(rng: np.random.Generator) -> str:
    at = rng.uniform()
    for kind, share in SHARE.items():
        at -= share
        if at < 0:
            return kind
    return ""


def _shifted(
    at: np.ndarray, own: np.ndarray, clean: VideoAnnotations, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """One end of a track moved in or out; outside, the box stays where it was."""
    shift = round(rng.uniform(*ONSET_SECONDS) * clean.fps)
    if rng.uniform() < 0.5 and len(at) > shift + 6:
        return (at[shift:], own[shift:]) if rng.uniform() < 0.5 else (at[:-shift], own[:-shift])
    if rng.uniform() < 0.5:
        more = np.arange(max(0, at[0] - shift), at[0])
        return np.r_[more, at], np.concatenate([np.repeat(own[:1], len(more), 0), own])
    more = np.arange(at[-1] + 1, min(clean.num_frames, at[-1] + 1 + shift))
    return np.r_[at, more], np.concatenate([own, np.repeat(own[-1:], len(more), 0)])


def _meets(video: VideoAnnotations, at: np.ndarray, own: np.ndarray) -> bool:
    place = {int(frame): k for k, frame in enumerate(at)}
    return any(
        rowwise_iou(own[place[int(frame)]], box) > 0.1
        for frame, box in zip(video.frames, video.boxes, strict=True)
        if int(frame) in place
    )


def plant_all(
    clean: Iterable[VideoAnnotations],
    imperfect: Iterable[VideoAnnotations],
    names: tuple[str, ...],
    seed: int,
) -> tuple[AnnotationSet, list[Fault]]:
    """`plant` over videos; the same seed gives the same faults."""
    videos, faults = {}, []
    for number, (one, other) in enumerate(zip(clean, imperfect, strict=True)):
        faulty, found = plant(one, other, names, np.random.default_rng([seed, number]))
        videos[one.name] = faulty
        faults += found
    return AnnotationSet(names, videos), faults
