"""Meals, stock and use of one video: what its tubes did, by the rules engine."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from stadet.detect.scene.counts import CountRules, Role
from stadet.detect.scene.hits import hits_in_tubes
from stadet.detect.scene.one_action import decided
from stadet.detect.scene.scene import Camera, Scene
from stadet.detect.structures import Tube
from stadet.detect.tubes.events import find_events
from stadet.detect.tubes.linking import make_tube
from stadet.detect.tubes.tube_set import TubeSet, VideoTubes
from stadet.engine.errors import UserError


@dataclass(frozen=True)
class Deed:
    """One action that counts.

    Attributes:
        role: what it counts as.
        start: seconds at which it was first seen at its place.
        stop: seconds at which it was last seen there, its last frame included.
        present: seconds that it was there.
        score: mean of its boxes' scores.
        actor: whose it is.
    """

    role: Role
    start: float
    stop: float
    present: float
    score: float
    actor: int


@dataclass(frozen=True)
class Move:
    """A piece out of a bin or into it; seconds: when it was done; change: -1 or 1."""

    bin: str
    seconds: float
    change: int
    score: float


@dataclass(frozen=True)
class Use:
    """One use of a tool or of hands, in seconds."""

    tool: str
    start: float
    stop: float
    score: float


@dataclass
class Meal:
    """Items that belong together.

    Attributes:
        start: seconds at which the first item came.
        stop: seconds of the checkout, or of the last item.
        closed_by: checkout, pause, or end of the video.
        served: names of the items in order, those taken back included.
        content: number of items left by name.
        taken_back: how many were.
    """

    start: float
    stop: float
    closed_by: str = ""
    served: list[str] = field(default_factory=list)
    content: Counter[str] = field(default_factory=Counter)
    taken_back: int = 0

    @property
    def items(self) -> int:
        """Items left in it."""
        return sum(self.content.values())

    @property
    def content_text(self) -> str:
        """`content` in words, by name."""
        return "; ".join(f"{name} x{count}" for name, count in sorted(self.content.items()))


@dataclass(frozen=True, eq=False)
class VideoCounts:
    """What one video counts.

    Attributes:
        name: of the video.
        camera: its camera's name.
        begins: seconds after midnight at which it begins; None = not known.
        frames: (F,) seconds of the frames that were watched; live: of the stretches.
        lasts: (F,) seconds that each of them is shown, or lasts.
        meals: in order.
        moves: in order.
        uses: in order.
        loose_backs: items taken back while there was no meal.
        empty_checkouts: checkouts without a meal.
    """

    name: str
    camera: str
    begins: float | None
    frames: np.ndarray
    lasts: np.ndarray
    meals: list[Meal]
    moves: list[Move]
    uses: list[Use]
    loose_backs: int
    empty_checkouts: int

    @property
    def watched(self) -> float:
        """Seconds that were watched."""
        return float(self.lasts.sum())

    def clock_time(self, seconds: float) -> float:
        """Seconds after midnight of a time of the video; from its beginning where that is not
        known."""
        return seconds + (self.begins or 0.0)


def count_video(
    scene: Scene,
    camera: Camera,
    video: VideoTubes,
    names: Sequence[str],
    size: tuple[int, int],
    *,
    watched: np.ndarray | None = None,
    begins: float | None = None,
) -> VideoCounts:
    """Count one video.

    Tubes are joined to actions as `find_events` does, and the engine of the rules tells when an
    action was at which place. What several bins saw counts for the one where it was longest.
    An item and a piece count when the action ends at its place, a checkout when it begins.

    Args:
        scene: with counts.
        camera: of the video.
        video: its tubes.
        names: of the tubes' classes.
        size: (height, width) of the video's frames.
        watched: (F,) bool, frames that take part; None = all.
        begins: seconds after midnight at which the video begins.

    Raises:
        UserError: for a scene without counts, and for a video whose frame rate is not known.
    """
    deeds = video_deeds(scene, camera, video, names, size, watched)
    clock = video.clock
    assert clock is not None  # or there were no deeds
    frames = np.arange(video.length) if watched is None else np.flatnonzero(watched)
    starts = clock.seconds(frames)
    lasts = clock.seconds(frames + 1) - starts
    return counts_of_deeds(scene, camera, video.name, deeds, starts, lasts, begins)


def video_deeds(
    scene: Scene,
    camera: Camera,
    video: VideoTubes,
    names: Sequence[str],
    size: tuple[int, int],
    watched: np.ndarray | None = None,
) -> list[Deed]:
    """What is done in a video, by start; arguments and errors are those of `count_video`."""
    counts = scene.counts
    if counts is None:
        raise UserError(f"{scene.source}: expected a section counts, found none; add it")
    joined = replace(video, tubes=joined_tubes(video, tuple(names), counts))
    ruled = replace(scene, rules=counts.rules)
    return _deeds(ruled, counts, camera, joined, names, size, watched)


def counts_of_deeds(
    scene: Scene,
    camera: Camera,
    name: str,
    deeds: Sequence[Deed],
    frames: np.ndarray,
    lasts: np.ndarray,
    begins: float | None = None,
) -> VideoCounts:
    """What the deeds of a video count.

    Args:
        scene: with counts.
        camera: of the video.
        name: of the video.
        deeds: as of `video_deeds`; an actor is one action.
        frames: (F,) seconds of frames, or of stretches, that were watched.
        lasts: (F,) seconds that each of them lasts.
        begins: seconds after midnight at which the video begins.
    """
    assert scene.counts is not None
    by_kind: dict[str, list[Deed]] = defaultdict(list)
    for deed in deeds:
        by_kind[deed.role.kind].append(deed)
    by_kind["take"], by_kind["put"] = (_of_one_bin(by_kind[kind]) for kind in ("take", "put"))
    moves = [
        Move(deed.role.name, deed.stop, change, deed.score)
        for kind, change in (("take", -1), ("put", 1))
        for deed in by_kind[kind]
    ]
    uses = [Use(deed.role.name, deed.start, deed.stop, deed.score) for deed in by_kind["use"]]
    meals, loose, empty = _meals(scene.counts, by_kind)
    return VideoCounts(
        name,
        camera.name,
        begins,
        frames,
        lasts,
        meals,
        sorted(moves, key=lambda move: (move.seconds, move.bin)),
        sorted(uses, key=lambda use: (use.start, use.tool)),
        loose,
        empty,
    )


def joined_tubes(video: VideoTubes, names: tuple[str, ...], counts: CountRules) -> list[Tube]:
    """One tube for each action (`find_events`); pauses are bridged by linear boxes."""
    events = find_events(TubeSet(names, {video.name: video}), counts.events)
    joined = []
    for event in events:
        parts = [video.tubes[number] for number in event.tubes]
        frames = np.concatenate([np.arange(part.start, part.stop) for part in parts])
        boxes = np.concatenate([part.boxes for part in parts])
        # without its actor: each action counts, whoever did it
        joined.append(make_tube(frames, boxes, event.label, event.score))
    if not counts.one_action:
        return joined
    assert video.clock is not None  # or there were no events
    opposite, alternative = (
        np.array([[(a, b) in pairs for b in names] for a in names])
        for pairs in (counts.opposites, counts.alternatives)
    )
    return decided(joined, opposite, alternative, video.clock, counts.events.join_seconds)


def _deeds(
    scene: Scene,
    counts: CountRules,
    camera: Camera,
    video: VideoTubes,
    names: Sequence[str],
    size: tuple[int, int],
    watched: np.ndarray | None,
) -> list[Deed]:
    """One for each actor and role, by start; what an actor did in several visits is one deed."""
    assert video.clock is not None
    found: dict[tuple[str, int], list[Deed]] = defaultdict(list)
    for hit in hits_in_tubes(scene, camera, video, names, size, watched):
        assert hit.actor is not None
        last = int(video.clock.nearest_frame(hit.stop))
        stop = float(video.clock.seconds(last + 1))
        role = counts.roles[hit.rule]
        visit = Deed(role, hit.start, stop, stop - hit.start, hit.score or 0.0, hit.actor)
        found[hit.rule, hit.actor].append(visit)
    deeds = [
        replace(
            visits[0],
            stop=visits[-1].stop,
            present=sum(visit.present for visit in visits),
            score=float(np.mean([visit.score for visit in visits])),
        )
        for visits in found.values()
    ]
    return sorted(deeds, key=lambda deed: (deed.start, deed.role, deed.actor))


def _of_one_bin(deeds: Sequence[Deed]) -> list[Deed]:
    """Of each actor, the deed at the bin where it was longest."""
    best: dict[int, Deed] = {}
    for deed in deeds:
        if deed.actor not in best or deed.present > best[deed.actor].present:
            best[deed.actor] = deed
    return list(best.values())


def _meals(counts: CountRules, deeds: dict[str, list[Deed]]) -> tuple[list[Meal], int, int]:
    """Meals; items taken back without a meal; checkouts without one."""
    rules = counts.meals
    if rules is None:
        return [], 0, 0
    # at one moment what was served is in the meal before it is paid
    steps = [(deed.stop, 0, deed) for deed in deeds["item"]]
    steps += [(deed.stop, 1, deed) for deed in deeds["back"]]
    steps += [(deed.start, 2, deed) for deed in deeds["checkout"]]
    named = _names_from_bins(deeds, rules.bin_seconds)
    meals: list[Meal] = []
    meal: Meal | None = None
    loose = empty = 0
    for seconds, _, deed in sorted(steps, key=lambda step: step[:2]):
        if meal is not None and deed.start - meal.stop > rules.pause:
            _close(meals, meal, "pause")
            meal = None
        if deed.role.kind == "item":
            meal = meal or Meal(deed.start, deed.stop)
            name = named.get(deed.actor, deed.role.name)
            meal.served.append(name)
            meal.content[name] += 1
            meal.stop = seconds
        elif meal is None:
            loose += deed.role.kind == "back"
            empty += deed.role.kind == "checkout"
        elif deed.role.kind == "back":
            meal.taken_back += 1
            left = [name for name in meal.served if meal.content[name]]
            if left:
                meal.content[left[-1]] -= 1
            else:
                loose += 1
            meal.stop = seconds
        else:
            meal.stop = seconds
            _close(meals, meal, "checkout")
            meal = None
    if meal is not None:
        _close(meals, meal, "end")
    return meals, loose, empty


def _close(meals: list[Meal], meal: Meal, by: str) -> None:
    meal.closed_by = by
    meal.content = +meal.content  # without names of which nothing is left
    meals.append(meal)


def _names_from_bins(deeds: dict[str, list[Deed]], within: float) -> dict[int, str]:
    """By actor who serves an item, the bin last taken from and not yet served from."""
    if within <= 0:
        return {}
    steps = [(deed.stop, kind, deed) for kind in ("take", "put", "item") for deed in deeds[kind]]
    taken: list[tuple[float, str]] = []
    names: dict[int, str] = {}
    for seconds, kind, deed in sorted(steps, key=lambda step: step[0]):
        if kind == "take":
            taken.append((seconds, deed.role.name))
            continue
        fits = [
            place
            for place, (_, name) in enumerate(taken)
            if kind == "item" or name == deed.role.name
        ]
        if not fits:
            continue
        when, name = taken.pop(fits[-1])
        if kind == "item":
            if seconds - when <= within:
                names[deed.actor] = name
            else:
                taken.clear()  # all older ones are too old as well
    return names
