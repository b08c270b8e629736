"""Meals, stock and use of a stream as it goes on: boxes in, what `counting` makes of them out."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from stadet.detect.scene.counting import Deed, VideoCounts, counts_of_deeds, video_deeds
from stadet.detect.scene.rules import MAX_STEP
from stadet.detect.scene.scene import Camera, Scene
from stadet.detect.structures import Tube
from stadet.detect.tubes.linking import make_tube
from stadet.detect.tubes.tube_set import VideoTubes
from stadet.engine.errors import UserError

LONGEST = 300.0  # seconds without a quiet moment after which what goes on is counted as it is


class TubeBox(NamedTuple):
    """A tube's box (4,), xyxy pixels, on a frame: id, class index and score so far of the tube, and
    whose it is where that is known."""

    id: int
    label: int
    box: np.ndarray
    score: float
    actor: int | None = None


@dataclass
class _Part:
    """A tube as far as it was seen; `frames` index the stretch's times."""

    label: int
    frames: list[int] = field(default_factory=list)
    boxes: list[np.ndarray] = field(default_factory=list)
    score: float = 0.0
    actor: int | None = None

    def tube(self) -> Tube:
        frames, boxes = np.array(self.frames), np.stack(self.boxes)
        return replace(make_tube(frames, boxes, self.label, self.score), actor=self.actor)


class LiveCounter:
    """Counts one stream.

    Actions are counted in stretches, each up to a moment at which none has gone on for longer than
    `join_seconds` of the scene's counts: what comes later cannot belong to them. Of a stretch that
    has lasted five minutes, everything is counted as far as it was seen, and what goes on there is
    not counted again. So memory does not grow with frames, only with what was counted.

    All methods may be called from several threads.

    Args:
        scene: with counts.
        camera: of the stream.
        name: of the stream.
        names: of the boxes' classes.
        longest: seconds of a stretch, at most.

    Raises:
        UserError: for a scene without counts.
    """

    def __init__(
        self,
        scene: Scene,
        camera: Camera,
        name: str,
        names: Sequence[str],
        *,
        longest: float = LONGEST,
    ):
        if scene.counts is None:
            raise UserError(f"{scene.source}: expected a section counts, found none; add it")
        self.camera, self.name = camera, name
        self._scene, self._names, self._longest = scene, tuple(names), longest
        self._join = scene.counts.events.join_seconds + 1e-6
        self._lock = threading.Lock()
        self._size = (1, 1)
        self._begins: float | None = None  # time of day at the day's first frame
        self._first = self._now = 0.0  # seconds of the stream: of that frame, of the newest
        self._watched: list[list[float]] = []  # stretches of time: first frame, newest frame
        self._deeds: list[Deed] = []
        self._actors = 0
        self._times: list[float] = []  # of the stretch
        self._parts: dict[int, _Part] = {}
        self._counted: dict[int, float] = {}  # tubes counted while they go on: when last seen

    def update(
        self, seconds: float, boxes: Sequence[TubeBox], size: tuple[int, int], time_of_day: float
    ) -> None:
        """Take the next frame.

        Args:
            seconds: on the stream's clock, rising.
            boxes: of the tubes that are seen on it.
            size: (height, width) of the frame.
            time_of_day: seconds after midnight.
        """
        with self._lock:
            if self._begins is None:
                self._begins, self._first = time_of_day, seconds
            watched = self._watched
            if not watched or not 0 <= seconds - watched[-1][1] <= MAX_STEP or size != self._size:
                self._close()
                watched.append([seconds, seconds])
            self._now, watched[-1][1], self._size = seconds, seconds, size
            for box in boxes:
                if box.id in self._counted:
                    self._counted[box.id] = seconds
            fresh = [box for box in boxes if box.id not in self._counted]
            if not fresh and not self._parts:
                return
            if not self._times or seconds > self._times[-1]:
                self._times.append(seconds)
            frame = len(self._times) - 1
            for box in fresh:
                part = self._parts.setdefault(box.id, _Part(box.label))
                part.score = box.score
                part.actor = part.actor if box.actor is None else box.actor
                if not part.frames or part.frames[-1] < frame:
                    part.frames.append(frame)
                    part.boxes.append(np.asarray(box.box, dtype=np.float64))
            if not self._going_on():
                self._close()
            elif seconds - self._times[0] > self._longest:
                going = self._going_on()
                self._close()
                self._counted |= dict.fromkeys(going, seconds)

    def pause(self) -> None:
        """End what goes on: a new stream begins."""
        with self._lock:
            self._close()

    @property
    def quiet(self) -> bool:
        """Does nothing go on that is still to be counted?"""
        with self._lock:
            return not self._parts

    @property
    def begins(self) -> float | None:
        """Time of day at the first frame, seconds after midnight; None before it."""
        return self._begins

    def counts(self) -> VideoCounts | None:
        """What was counted so far, in seconds from the first frame; None before it. An action that
        goes on is not in it."""
        with self._lock:
            if self._begins is None:
                return None
            going = self._going_on()
            ended = [part for number, part in self._parts.items() if number not in going]
            times, size, deeds = list(self._times), self._size, list(self._deeds)
            tubes = [part.tube() for part in ended]
            watched = np.array(self._watched) - self._first
            begins, first, actors = self._begins, self._first, self._actors
        deeds += self._of_stretch(tubes, times, size, first, actors)[0]
        return counts_of_deeds(
            self._scene,
            self.camera,
            self.name,
            deeds,
            watched[:, 0],
            watched[:, 1] - watched[:, 0],
            begins,
        )

    def new_day(self) -> None:
        """Forget what was counted; the next frame is the first of a day."""
        with self._lock:
            self._close()
            self._begins, self._watched, self._deeds = None, [], []

    def _going_on(self) -> set[int]:
        """Tubes of the stretch that another one may still continue."""
        last = len(self._times) - 1
        return {
            number
            for number, part in self._parts.items()
            if self._now - self._times[min(part.frames[-1] + 1, last)] <= self._join
        }

    def _close(self) -> None:
        """Count the stretch."""
        if self._parts:
            tubes = [part.tube() for part in self._parts.values()]
            deeds, actors = self._of_stretch(
                tubes, self._times, self._size, self._first, self._actors
            )
            self._deeds += deeds
            self._actors += actors
        self._times, self._parts = [], {}
        old = self._now - self._longest
        self._counted = {n: last for n, last in self._counted.items() if last > old}

    def _of_stretch(
        self,
        tubes: Sequence[Tube],
        times: Sequence[float],
        size: tuple[int, int],
        first: float,
        actors: int,
    ) -> tuple[list[Deed], int]:
        """Deeds of a stretch, in seconds from `first` and with actors from `actors` on; and how
        many actors there may be."""
        if not tubes:
            return [], 0
        own = np.array(times) - times[0]
        typical = float(np.median(np.diff(own))) if len(own) > 1 else 0.0
        video = VideoTubes(self.name, tubes, 1 / typical if typical else 30.0, len(own), own)
        shift = times[0] - first
        deeds = [
            replace(
                deed,
                start=deed.start + shift,
                stop=deed.stop + shift,
                actor=deed.actor + actors,
            )
            for deed in video_deeds(self._scene, self.camera, video, self._names, size)
        ]
        return deeds, len(tubes)
