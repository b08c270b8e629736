"""Settings for a data set: what `stad train --auto` chooses from it, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from stadet.datasets.clips.timing import rate_text
from stadet.datasets.mirror import mirror_pairs
from stadet.detect.structures import NO_TRACK, AnnotationSet
from stadet.engine.errors import UserError

SMALL_BOX = 16  # network pixels that a small box should have: two cells of the finest usual grid
LONGEST = {"cpu": 448, "cuda": 736}  # of the network's sides, pixels
LEAST_SIDE = 64
TINY_BOX = 8  # network pixels below which a finer grid is added
LARGE_BOX = 100  # network pixels above which a coarser grid is added
FEW_PIXELS = 20_000  # of the network's input, up to which a CPU affords the wider network
TICK = 0.15  # share of its size by which a moving hand moves from one shown frame to the next
MOVES = 0.01  # the same, a frame, below which a hand rests
GAP = 4  # frames between two boxes of a track that still tell its speed
STEP = 64  # frames of a step of either recipe: a batch, and lanes x window
# over looked-at frames, beyond which they are known by heart
PASSES = {"frame": 100, "recurrent": 250}
# fewest and most that a training may take
STEPS = {"frame": (1000, 6000), "recurrent": (1950, 12000)}


@dataclass(frozen=True)
class Chosen:
    """A setting of both detectors ("") or of one ("frame", "recurrent"), and the reason."""

    key: str
    value: object
    why: str
    model: str = ""

    def override(self) -> str:
        """As the command line takes it."""
        value = list(self.value) if isinstance(self.value, tuple) else self.value
        return f"{self.key}={value}"


def choose_settings(
    train: AnnotationSet,
    *,
    reverses: Mapping[str, str],
    flip_labels: Mapping[str, str],
    device: str,
) -> list[Chosen]:
    """What suits this training side.

    reverses, flip_labels: the data set's, labels that are exchanged when time runs backwards and
    in a mirror, in both directions. device: "cpu" or "cuda". UserError for a side without boxes.
    """
    boxes = [np.sqrt((v.boxes[:, 2:] - v.boxes[:, :2]).prod(axis=1)) for v in train]
    if not sum(map(len, boxes)):
        raise UserError("--auto: expected boxes on the training side, found none")
    return [
        *_size(train, boxes, device),
        *_rate(train),
        *_length(train),
        *_flip(train, reverses, flip_labels),
        *_memory(bool(reverses)),
    ]


def _size(train: AnnotationSet, boxes: list[np.ndarray], device: str) -> list[Chosen]:
    sizes = Counter(video.size for video in train)
    height, width = sizes.most_common(1)[0][0]
    # of each video's boxes as a share of its longer side, so that footage may be of several sizes
    shares = np.concatenate([b / max(v.size) for v, b in zip(train, boxes, strict=True)])
    small, large = np.quantile(shares, [0.1, 0.9])
    longest = min(SMALL_BOX / small, max(height, width), LONGEST[device])
    scale = max(longest / max(height, width), LEAST_SIDE / min(height, width))
    side = [max(LEAST_SIDE, 16 * round(scale * s / 16)) for s in (height, width)]
    reached = small * max(side)
    strides = [8, 16]
    if reached < TINY_BOX:
        strides.insert(0, 4)
    if large * max(side) > LARGE_BOX:
        strides.append(32)
        side = [32 * round(s / 32) for s in side]
    one_shape = len({round(w / h, 2) for h, w in sizes}) == 1
    wide = device == "cuda" or side[0] * side[1] <= FEW_PIXELS
    tenth = f"a tenth of the boxes are smaller than {small * max(height, width):.0f} video pixels"
    return [
        Chosen("data.size", side, f"{tenth}: {reached:.0f} pixels of the network"),
        Chosen(
            "data.resize",
            "stretch" if one_shape else "letterbox",
            "the videos have one shape" if one_shape else "the videos have several shapes",
        ),
        Chosen(
            "yolo.strides", strides, f"boxes of {reached:.0f} to {large * max(side):.0f} pixels"
        ),
        Chosen("yolo.num_anchors", 3 * len(strides), "three a grid"),
        Chosen(
            "yolo.width", 0.25 if wide else 0.125, f"what a {device.upper()} affords at this size"
        ),
    ]


def _rate(train: AnnotationSet) -> list[Chosen]:
    speed, fps = box_speed(train), float(np.median([video.fps for video in train]))
    if speed is None:
        return []
    every = max(1, round(TICK * fps / speed))
    moved = f"a moving hand goes {speed:.1f} of its size a second"
    if every == 1:
        return [Chosen("data.fps", "null", f"{moved}, so every frame at {fps:.4g} a second tells")]
    return [
        Chosen(
            "data.fps",
            round(fps / every, 3),
            f"{moved}: one frame in {every} of {rate_text(next(iter(train)).clock)} a second",
        )
    ]


def _length(train: AnnotationSet) -> list[Chosen]:
    """Most steps: on few frames the loss falls for ever, and no plateau ends the training."""
    frames = sum(int(video.looked_at.sum()) for video in train)
    found = []
    for model, passes in PASSES.items():
        least, most = STEPS[model]
        steps = min(max(round(passes * frames / STEP), least), most)
        passed = f"{steps * STEP / frames:,.0f} passes over {frames:,} looked-at frames"
        why = f"{model} detector, at most: {passed}"
        found.append(Chosen("loop.max_steps", steps, why, model))
    return found


def box_speed(train: AnnotationSet) -> float | None:
    """Median speed of tracked boxes that move, in box sizes (root of the area) a second; None where
    no track has two boxes close in time."""
    found = []
    for video in train:
        for track in np.unique(video.track_ids[video.track_ids != NO_TRACK]):
            rows = np.flatnonzero(video.track_ids == track)
            frames, boxes = video.frames[rows], video.boxes[rows]
            centres = (boxes[:, :2] + boxes[:, 2:]) / 2
            size = np.sqrt((boxes[:, 2:] - boxes[:, :2]).prod(axis=1))
            near = np.diff(frames) <= GAP
            moved = np.hypot(*np.diff(centres, axis=0).T)[near] / size[:-1][near]
            seconds = np.diff(video.clock.seconds(frames))[near]
            moving = moved > MOVES * np.diff(frames)[near]
            found.append(moved[moving] / seconds[moving])
    speeds = np.concatenate(found) if found else np.empty(0)
    return float(np.median(speeds)) if len(speeds) else None


def _flip(
    train: AnnotationSet, reverses: Mapping[str, str], flip_labels: Mapping[str, str]
) -> list[Chosen]:
    pairs = mirror_pairs(train, reverses, flip_labels)
    return [Chosen("augment.flip", 0.0, "; ".join(map(str, pairs)))] if pairs else []


def _memory(reverses: bool) -> list[Chosen]:
    if not reverses:
        why = "the data set file names no reversals (reverses:)"
        return [Chosen("recurrent.sampler.reverse", 0.0, why, "recurrent")]
    return [
        Chosen("recurrent.sampler.reverse", 0.5, "the data set file names reversals", "recurrent")
    ]
