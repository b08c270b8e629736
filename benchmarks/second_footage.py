"""Footage of another kind than `stad make-footage` draws, by other code: nothing is tuned on it.

Flat shapes on a textured table, at 20 frames a second. Two reversed pairs, which single frames
cannot tell apart: a hand slides along the line between a bowl and a rack (`fill` towards the bowl,
`empty` away from it; at any place of the line it looks the same), and turns around a jar (`close`
clockwise, `open` the other way). Two classes that one frame tells: `whisk` and `cut`. Hands stop on
their way; plates, and hands that do nothing, move as distractors. With --looked-at below 1 it is
annotated as people annotate: short runs of frames, nobody looked at the others.

    python benchmarks/second_footage.py --out data/second --videos 120 --seed 0 --looked-at 0.44

writes videos/, annotations/ (CVAT), dataset.yaml (whole videos on a side) and stops.json, the
stretches in which a hand of a reversed pair rests, for `stad evaluate --motionless`.
"""

from __future__ import annotations

import argparse
import json
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import repeat
from pathlib import Path

import cv2
import numpy as np

from stadet.datasets.footage.writer import VideoWriter
from stadet.datasets.formats.cvat import write_cvat
from stadet.detect.structures import VideoAnnotations

NAMES = ("fill", "empty", "close", "open", "whisk", "cut")
REVERSES = {"fill": "empty", "close": "open"}
PAIRED = 4  # the first four classes are told by time alone
FINE = 4  # drawn at this multiple of the size, then averaged
QUALITY = 18


@dataclass
class Actor:
    """One hand with its tool, from `first` on.

    label: its class, None for a hand that does nothing. progress: (n,) along its way, 0 to 1.
    stops: (first, last) frames of the video in which it rests. Places are in shares of the height.
    """

    label: int | None
    first: int
    progress: np.ndarray
    start: np.ndarray
    end: np.ndarray
    skin: tuple[int, int, int]
    tool: tuple[int, int, int]
    scale: float
    phase: float
    stops: list[tuple[int, int]] = field(default_factory=list)

    def pose(self, frame: int) -> tuple[np.ndarray, float]:
        """Place and angle of the hand."""
        s = self.progress[frame - self.first]
        if self.label in (2, 3):  # around the jar, always in the same place
            angle = self.phase + 2 * np.pi * s
            return self.start + 0.06 * np.array([np.cos(angle), np.sin(angle)]), angle
        along = self.end - self.start
        return self.start + s * along, float(np.arctan2(along[1], along[0]))


def progress_with_stops(
    rng: np.random.Generator, forwards: bool, still: float
) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """Positions 0 to 1 a frame, at a speed that varies, and the (first, last) frames of its stops.

    Backwards is the forward one read from its end, so that no single frame tells which it is.
    """
    moving = int(rng.integers(18, 44))
    steps = 0.4 + rng.random(moving)
    steps = np.convolve(steps, np.ones(5) / 5, mode="same")
    if rng.random() < still:
        at, length = int(rng.integers(4, moving - 4)), int(rng.integers(6, 24))
        steps = np.concatenate([steps[:at], np.zeros(length), steps[at:]])
    places = np.concatenate([[0.0], np.cumsum(steps)])
    places /= places[-1]
    if not forwards:
        places = places[::-1]
    rests = np.flatnonzero(np.abs(np.diff(places)) < 1e-9)
    if len(rests) == 0:
        return places, []
    return places, [(int(rests[0]) + 1, int(rests[-1]) + 1)]


def make_actors(
    rng: np.random.Generator, frames: int, width: float, still: float, idle: float
) -> list[Actor]:
    actors: list[Actor] = []
    for lane in range(2):  # two hands at once at most, in the upper and the lower half
        at = int(rng.integers(0, 20)) if lane == 0 else int(rng.integers(20, 120))
        while at < frames - 8:
            label = int(rng.integers(len(NAMES)))
            forwards = label not in (1, 3)
            progress, rests = progress_with_stops(rng, forwards, still)
            progress, low = progress[: frames - at], 0.28 + 0.44 * lane
            y = low + rng.uniform(-0.06, 0.06, 2)
            x = np.array([rng.uniform(0.16, 0.3), width - rng.uniform(0.16, 0.3)])
            if label in (2, 3, 4, 5):
                x[:] = rng.uniform(0.2, width - 0.2)
            if label >= PAIRED:  # to and fro
                progress = 0.5 + 0.5 * np.sin(np.arange(len(progress)) * rng.uniform(0.5, 1.0))
                x[1], rests = x[0] + 0.1, []
            actors.append(
                Actor(
                    None if rng.random() < 0.12 and label < 2 else label,
                    at,
                    progress,
                    np.array([x[0], y[0]]),
                    np.array([x[1], y[1]]),
                    tuple(int(v) for v in np.array([215, 165, 135]) + rng.integers(-35, 30, 3)),
                    tuple(int(v) for v in rng.integers(40, 220, 3)),
                    rng.uniform(1.1, 1.6),
                    rng.uniform(0, 2 * np.pi),
                    [(at + a, min(at + b, frames - 1)) for a, b in rests if at + a < frames],
                )
            )
            pause = int(rng.exponential(idle)) + 2
            at += len(progress) + pause * (1 + 2 * lane)
    return actors


class Painter:
    """Draws a video's frames; size (height, width) pixels."""

    def __init__(self, rng: np.random.Generator, size: tuple[int, int]) -> None:
        self.size, self.height = size, size[0] * FINE
        shape = (self.height, size[1] * FINE)
        base = rng.integers(70, 190, 3)
        coarse = rng.normal(0, 18, (12, 18, 3)).astype(np.float32)
        texture = cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_CUBIC)
        table = np.clip(base + texture, 0, 255).astype(np.uint8)
        for _ in range(int(rng.integers(3, 8))):
            corner = rng.uniform(0, 1, 2) * shape[::-1]
            side = rng.uniform(0.05, 0.25, 2) * self.height
            colour = tuple(int(v) for v in rng.integers(30, 230, 3))
            a, b = corner.astype(int).tolist(), (corner + side).astype(int).tolist()
            cv2.rectangle(table, a, b, colour, -1)
        self.table, self.shape = table, shape
        self.width = size[1] / size[0]
        self.plates = [
            (
                rng.uniform(0, 1, 2),
                rng.normal(0, 0.008, 2),
                rng.uniform(0.04, 0.1),
                rng.integers(40, 240, 3),
            )
            for _ in range(int(rng.integers(1, 4)))
        ]
        self.flicker = rng.uniform(0, 0.05)
        self.noise = rng.uniform(1, 5)

    def _point(self, place: np.ndarray) -> tuple[int, int]:
        return int(place[0] * self.height), int(place[1] * self.height)

    def frame(
        self, index: int, actors: list[Actor], rng: np.random.Generator
    ) -> tuple[np.ndarray, dict[int, tuple[float, float, float, float]]]:
        """Picture (H, W, 3) uint8 and the box xyxy pixels of each actor that shows."""
        canvas = self.table.copy()
        unit = self.height
        for place, speed, radius, colour in self.plates:
            at = (place + speed * index) % np.array([self.width, 1.0])
            cv2.circle(
                canvas, self._point(at), int(radius * unit), tuple(int(v) for v in colour), -1
            )
        shown = [
            (n, a) for n, a in enumerate(actors) if a.first <= index < a.first + len(a.progress)
        ]
        for _, actor in shown:
            if actor.label in (0, 1, None):  # both ends of the line, for both directions
                cv2.circle(canvas, self._point(actor.start), int(0.1 * unit), (235, 235, 225), -1)
                a = actor.end - 0.09
                b = actor.end + 0.09
                cv2.rectangle(canvas, self._point(a), self._point(b), (90, 60, 40), -1)
            elif actor.label in (2, 3):
                cv2.circle(canvas, self._point(actor.start), int(0.09 * unit), (70, 110, 160), -1)
        boxes = {}
        for number, actor in shown:
            mask = np.zeros(self.shape, np.uint8)
            place, angle = actor.pose(index)
            self._hand(canvas, mask, actor, place, angle, index)
            columns, rows = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
            if len(columns) >= 2 * FINE and len(rows) >= 2 * FINE:
                edges = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
                boxes[number] = tuple(float(e) / FINE for e in edges)
        small = cv2.resize(canvas, self.size[::-1], interpolation=cv2.INTER_AREA).astype(np.float32)
        small *= 1 + self.flicker * np.sin(index * 0.7)
        small += rng.normal(0, self.noise, small.shape)
        return np.clip(small, 0, 255).astype(np.uint8), boxes

    def _hand(
        self,
        canvas: np.ndarray,
        mask: np.ndarray,
        actor: Actor,
        place: np.ndarray,
        angle: float,
        index: int,
    ) -> None:
        unit, s = self.height, actor.scale
        tilt = angle if actor.label in (2, 3) else 0.4 * np.sin(actor.phase)
        axis = np.array([np.cos(tilt), np.sin(tilt)])
        across = np.array([-axis[1], axis[0]])
        shapes = []
        if actor.label in (0, 1):  # a scoop in front of the hand, symmetric in the direction
            shapes.append((actor.tool, place - 0.09 * s * across, place + 0.09 * s * across, 0.05))
        elif actor.label == 4:
            shapes.append(((60, 60, 70), place, place + 0.17 * s * across, 0.06))
        elif actor.label == 5:
            shapes.append(((225, 230, 235), place - 0.02 * axis, place + 0.2 * s * axis, 0.035))
        for finger in (-0.05, 0.0, 0.05):
            tip = place + s * (0.085 * axis + finger * across)
            shapes.append((actor.skin, place, tip, 0.028))
        for colour, a, b, thickness in shapes:
            for target, value in ((canvas, colour), (mask, 255)):
                cv2.line(
                    target, self._point(a), self._point(b), value, max(1, int(thickness * s * unit))
                )
        for target, value in ((canvas, actor.skin), (mask, 255)):
            cv2.circle(target, self._point(place), int(0.06 * s * unit), value, -1)


def looked_at_runs(rng: np.random.Generator, frames: int, share: float) -> np.ndarray:
    """(frames,) bool: runs of a few frames with pauses between, `share` of all frames."""
    if share >= 1:
        return np.ones(frames, bool)
    runs = 1 + rng.geometric(0.4, frames)
    pauses = rng.geometric(min(1.0, share / ((1 - share) * runs.mean())), frames)
    flags = np.concatenate(
        [np.r_[np.ones(a, bool), np.zeros(b, bool)] for a, b in zip(runs, pauses, strict=True)]
    )
    start = int(rng.integers(0, len(flags) - frames + 1))
    return flags[start : start + frames]


def write_video(out: Path, number: int, args: argparse.Namespace) -> tuple[str, list, list]:
    """Film one video; its name, looked-at ranges and stops."""
    cv2.setNumThreads(1)
    rng = np.random.default_rng([args.seed, number])
    name, size = f"table{number:03d}", tuple(args.size)
    painter = Painter(rng, size)
    actors = make_actors(rng, args.frames, painter.width, args.still, args.idle)
    rows: list[tuple[int, int, tuple[float, float, float, float]]] = []
    with VideoWriter(out / "videos" / f"{name}.mp4", size, args.fps, crf=QUALITY) as writer:
        for index in range(args.frames):
            picture, boxes = painter.frame(index, actors, rng)
            writer.write(picture)
            rows += [(index, n, box) for n, box in boxes.items() if actors[n].label is not None]
    seen = looked_at_runs(
        np.random.default_rng([args.seed, number, 1]), args.frames, args.looked_at
    )
    kept = [row for row in rows if seen[row[0]]]
    labels = np.zeros((len(kept), len(NAMES)), bool)
    labels[np.arange(len(kept)), [actors[n].label for _, n, _ in kept]] = True
    video = VideoAnnotations(
        name,
        size,
        args.fps,
        frames=np.array([f for f, _, _ in kept], np.int64),
        boxes=np.array([box for *_, box in kept], float).reshape(-1, 4),
        labels=labels,
        track_ids=np.array([n for _, n, _ in kept], np.int64),
        looked_at=seen,
    )
    write_cvat(out / "annotations" / f"{name}.xml", video, NAMES)
    edges = np.flatnonzero(np.diff(np.r_[False, seen, False].astype(int))).reshape(-1, 2)
    stops = [s for a in actors if a.label is not None and a.label < PAIRED for s in a.stops]
    return name, [[int(a), int(b) - 1] for a, b in edges], sorted(stops)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--out", type=Path, required=True)
    add("--videos", type=int, default=120)
    add("--frames", type=int, default=480, help="of each video")
    add("--fps", type=float, default=20.0)
    add("--size", type=int, nargs=2, default=[64, 96], metavar=("H", "W"))
    add("--seed", type=int, default=0)
    add("--looked-at", type=float, default=1.0, help="share of the frames")
    add("--still", type=float, default=0.5, help="share of the reversed actions that stop")
    add("--idle", type=float, default=12.0, help="mean pause of a hand, frames")
    add("--val", type=float, default=0.1, help="share of the videos for validation")
    add("--workers", type=int, default=2)
    args = parser.parse_args()
    with ProcessPoolExecutor(args.workers) as pool:
        jobs = pool.map(write_video, repeat(args.out), range(args.videos), repeat(args))
        written = list(jobs)
    looked_at = {name: ranges for name, ranges, _ in written}
    content = {
        "format": "cvat",
        "names": list(NAMES),
        "looked_at": looked_at,
        "reverses": REVERSES,
        "split": {"method": "videos", "val": args.val},
    }
    (args.out / "dataset.yaml").write_text(json.dumps(content))  # JSON is YAML
    (args.out / "stops.json").write_text(json.dumps({name: stops for name, _, stops in written}))


if __name__ == "__main__":
    main()
