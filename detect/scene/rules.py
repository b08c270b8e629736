"""Rules over what is seen: frames in, hits out; the same engine offline and live."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from stadet.detect.scene.polygon import Point, contains, crossing
from stadet.detect.scene.scene import Camera, Condition, Rule, Scene

MAX_STEP = 5.0  # seconds between two frames over which nothing is taken to go on
_TICK = 1e-6  # seconds: a limit that is reached to this is reached


@dataclass(frozen=True)
class Seen:
    """A box on a frame.

    Attributes:
        label: class name.
        box: (x1, y1, x2, y2) in shares of the frame.
        score: in [0, 1].
        actor: id of whom or what it belongs to; None = not known.
    """

    label: str
    box: tuple[float, float, float, float]
    score: float = 1.0
    actor: int | None = None


@dataclass(frozen=True)
class Hit:
    """A rule that was met.

    Attributes:
        rule: its name.
        kind: its kind.
        camera: name of the camera.
        actor: id; None for rules that are not by actor.
        start: seconds at which what the rule asks for began.
        stop: seconds at which it was last seen (of an absence: the end of the wait).
        at: seconds of the frame on which the rule was met.
        score: mean over its frames of the best box's score; None where no box takes part.
        zone: of the rule, or the line that was crossed.
    """

    rule: str
    kind: str
    camera: str
    actor: int | None
    start: float
    stop: float
    at: float
    score: float | None
    zone: str | None


Told = tuple[Literal["began", "ended"], Hit]


class RuleEngine:
    """The rules of one camera over one stream of frames.

    Every hit is told twice: as it begins (the frame on which the rule is met) and when it has
    ended, with its final times. Crossings, sequences and absences begin and end at once.

    A time that is not after the one before, and a step of more than `max_step`, are counted in
    `jumps`: whatever is going on ends at the last frame before, and nothing is taken over.

    Args:
        scene: with the rules.
        camera: whose rules hold.
        max_step: seconds.
    """

    def __init__(self, scene: Scene, camera: Camera, *, max_step: float = MAX_STEP):
        self.jumps = 0
        self._camera, self._max_step = camera, max_step
        self._rules = [
            _KINDS[rule.kind](rule, camera) for rule in scene.rules if rule.holds_in(camera)
        ]
        self._last: float | None = None

    def update(self, seconds: float, seen: Sequence[Seen]) -> list[Told]:
        """Take the next frame; what began and ended with it, in the order of the rules."""
        told: list[Told] = []
        if self._last is not None and not 0 < seconds - self._last <= self._max_step:
            self.jumps += 1
            told += self.finish()
            if seconds <= self._last:
                for rule in self._rules:
                    rule.forget_cooldown()
        self._last = seconds
        for rule in self._rules:
            told += rule.update(seconds, seen)
        return told

    def finish(self) -> list[Told]:
        """End what is going on: the stream is over."""
        return [told for rule in self._rules for told in rule.finish()]


class _State(ABC):
    """What one rule remembers."""

    def __init__(self, rule: Rule, camera: Camera):
        self.rule, self.camera = rule, camera
        self._quiet: dict[int | None, float] = {}  # until when, by actor

    @abstractmethod
    def update(self, now: float, seen: Sequence[Seen]) -> list[Told]: ...

    @abstractmethod
    def finish(self) -> list[Told]:
        """End and forget everything but the cooldowns."""

    def forget_cooldown(self) -> None:
        """The clock began anew."""
        self._quiet.clear()

    def matching(self, condition: Condition, seen: Sequence[Seen]) -> list[Seen]:
        """The boxes that a condition looks for."""
        rule = self.rule
        found = [
            one
            for one in seen
            if one.score >= rule.min_score
            and (condition.classes is None or one.label in condition.classes)
        ]
        if condition.zone is None or not found:
            return found
        points = np.array([anchor_point(one.box, rule.anchor) for one in found])
        inside = contains(self.camera.zones[condition.zone], points)
        return [one for one, within in zip(found, inside, strict=True) if within]

    def is_quiet(self, actor: int | None, now: float) -> bool:
        """Is the cooldown of an earlier hit still running? Forgets those that are over."""
        for key in [key for key, until in self._quiet.items() if until <= now + _TICK]:
            del self._quiet[key]
        return actor in self._quiet

    def hit(
        self, actor: int | None, start: float, stop: float, at: float, scores: Sequence[float]
    ) -> Hit:
        """A hit; from `stop` on the rule cools down."""
        rule = self.rule
        self._quiet[actor] = stop + rule.cooldown
        return Hit(
            rule.name,
            rule.kind,
            self.camera.name,
            actor,
            start,
            stop,
            at,
            float(np.mean(scores)) if len(scores) else None,
            rule.line if rule.kind == "crossing" else rule.when.zone,
        )

    def at_once(
        self, actor: int | None, start: float, stop: float, at: float, scores: Sequence[float]
    ) -> list[Told]:
        """A hit that is over as it begins; nothing while the rule cools down."""
        if self.is_quiet(actor, at):
            return []
        hit = self.hit(actor, start, stop, at, scores)
        return [("began", hit), ("ended", hit)]


@dataclass
class _Run:
    """A condition that holds since `start`."""

    start: float
    last: float
    total: float = 0.0  # of scores
    scored: int = 0  # frames with a box
    held: bool = True  # on the frame before
    at: float | None = None  # when it was told

    @property
    def scores(self) -> list[float]:
        return [self.total / self.scored] if self.scored else []


class _Held(_State):
    """presence, dwell and count: a condition that holds for some seconds, but for short pauses."""

    def __init__(self, rule: Rule, camera: Camera):
        super().__init__(rule, camera)
        self._runs: dict[int | None, _Run] = {}

    def update(self, now: float, seen: Sequence[Seen]) -> list[Told]:
        holding = self._holding(self.matching(self.rule.when, seen))
        told: list[Told] = []
        for actor in [*self._runs, *(actor for actor in holding if actor not in self._runs)]:
            told += self._follow(actor, now, actor in holding, holding.get(actor))
        return told

    def _holding(self, found: Sequence[Seen]) -> dict[int | None, float | None]:
        """By actor, the best score of the condition where it holds on this frame."""
        rule = self.rule
        if rule.kind == "dwell":
            best: dict[int | None, float | None] = {}
            for one in found:
                if one.actor is not None:
                    best[one.actor] = max(best.get(one.actor) or 0.0, one.score)
            return best
        least, most = (1, None) if rule.kind == "presence" else (rule.at_least or 0, rule.at_most)
        if len(found) < least or (most is not None and len(found) > most):
            return {}
        return {None: max((one.score for one in found), default=None)}

    def _follow(
        self, actor: int | None, now: float, holds: bool, score: float | None
    ) -> list[Told]:
        told, run = [], self._runs.get(actor)
        goes_on = holds and run is not None and run.held
        if run is not None and not goes_on and now - run.last > self.rule.grace + _TICK:
            told += self._end(actor)
            run = None
        if run is not None:
            run.held = holds
        if not holds:
            return told
        if run is None:
            run = self._runs[actor] = _Run(now, now)
        run.last = now
        if score is not None:
            run.total, run.scored = run.total + score, run.scored + 1
        long_enough = now - run.start >= self.rule.seconds - _TICK
        if run.at is None and long_enough and not self.is_quiet(actor, now):
            run.at = now
            told.append(("began", self.hit(actor, run.start, now, now, run.scores)))
        return told

    def _end(self, actor: int | None) -> list[Told]:
        run = self._runs.pop(actor)
        if run.at is None:
            return []
        return [("ended", self.hit(actor, run.start, run.last, run.at, run.scores))]

    def finish(self) -> list[Told]:
        return [told for actor in list(self._runs) for told in self._end(actor)]


class _Crossing(_State):
    """An actor whose anchor moves over a line."""

    def __init__(self, rule: Rule, camera: Camera):
        super().__init__(rule, camera)
        self._places: dict[int, tuple[float, Point]] = {}
        self._before: float | None = None

    def update(self, now: float, seen: Sequence[Seen]) -> list[Told]:
        rule, told = self.rule, []
        assert rule.line is not None
        line = self.camera.lines[rule.line]
        for actor in [a for a, (last, _) in self._places.items() if not self._near(last, now)]:
            del self._places[actor]
        for actor, one in _best_of_actors(self.matching(rule.when, seen)).items():
            place = anchor_point(one.box, rule.anchor)
            last, before = self._places.get(actor, (now, place))
            way = crossing(line, before, place)
            wanted = {"any": way, "left_to_right": 1, "right_to_left": -1}[rule.direction]
            if way and way == wanted:
                told += self.at_once(actor, last, now, now, [one.score])
            self._places[actor] = now, place
        self._before = now
        return told

    def _near(self, last: float, now: float) -> bool:
        """Seen on the frame before, or not longer ago than the grace."""
        return last == self._before or now - last <= self.rule.grace + _TICK

    def finish(self) -> list[Told]:
        self._places.clear()
        return []


def _best_of_actors(found: Sequence[Seen]) -> dict[int, Seen]:
    """By actor, its best box: it may have several, of several classes."""
    best: dict[int, Seen] = {}
    for one in found:
        actor = one.actor
        if actor is not None and (actor not in best or one.score > best[actor].score):
            best[actor] = one
    return best


class _ByActor(_State):
    """Rules over several conditions, of one actor or of anybody."""

    def scores(self, condition: Condition, seen: Sequence[Seen]) -> dict[int | None, float]:
        """By actor (None without `same_actor`), the best score where a condition holds."""
        best: dict[int | None, float] = {}
        for one in self.matching(condition, seen):
            if self.rule.same_actor and one.actor is None:
                continue
            key = one.actor if self.rule.same_actor else None
            best[key] = max(best.get(key, 0.0), one.score)
        return best


class _Sequence(_ByActor):
    """Steps in order, each on a later frame than the one before, the last at most `within` after
    the first. Of several ways the one that begins latest counts, so that none is missed."""

    def __init__(self, rule: Rule, camera: Camera):
        super().__init__(rule, camera)
        # by actor: for each number of steps done, the latest first step and the scores
        self._done: dict[int | None, dict[int, tuple[float, list[float]]]] = {}

    def update(self, now: float, seen: Sequence[Seen]) -> list[Told]:
        rule, told = self.rule, []
        if rule.unless is not None:
            for actor in self.scores(rule.unless, seen):
                self._done.pop(actor, None)
        for actor in list(self._done):
            done = self._done[actor]
            for count in [c for c, (first, _) in done.items() if now - first > rule.within + _TICK]:
                del done[count]
            if not done:
                del self._done[actor]
        steps = [self.scores(step, seen) for step in rule.steps]
        for actor in {actor: None for step in steps for actor in step}:
            done = self._done.setdefault(actor, {})
            for count in range(len(steps), 0, -1):
                if actor not in steps[count - 1]:
                    continue
                if count == 1:
                    done[1] = now, [steps[0][actor]]
                elif count - 1 in done:
                    first, scores = done[count - 1]
                    if count not in done or first >= done[count][0]:
                        done[count] = first, [*scores, steps[count - 1][actor]]
            if len(steps) in done:
                first, scores = done[len(steps)]
                done.clear()
                told += self.at_once(actor, first, now, now, scores)
        return told

    def finish(self) -> list[Told]:
        self._done.clear()
        return []


@dataclass
class _Wait:
    """Of an absence: when the first condition was last seen, and since when one waits."""

    last: float
    since: float | None
    scores: list[float] = field(default_factory=list)
    held: bool = True  # the first condition, on the frame before


class _Absence(_ByActor):
    """A beginning of `after` that no `expect` follows within the time."""

    def __init__(self, rule: Rule, camera: Camera):
        super().__init__(rule, camera)
        self._waits: dict[int | None, _Wait] = {}

    def update(self, now: float, seen: Sequence[Seen]) -> list[Told]:
        rule, told = self.rule, []
        expected = self.scores(rule.expect, seen)
        for actor, wait in list(self._waits.items()):
            if wait.since is not None:
                over = now - wait.since > rule.within + _TICK
                if over:
                    stop = wait.since + rule.within
                    told += self.at_once(actor, wait.since, stop, now, wait.scores)
                if over or actor in expected:
                    wait.since = None
            long_ago = not wait.held and now - wait.last > rule.grace + _TICK
            if wait.since is None and long_ago:
                del self._waits[actor]
        after = self.scores(rule.after, seen)
        for actor, wait in self._waits.items():
            wait.held = actor in after
        for actor, score in after.items():
            if actor in self._waits:
                self._waits[actor].last = now
            else:
                self._waits[actor] = _Wait(now, now, [score])
        return told

    def finish(self) -> list[Told]:
        self._waits.clear()
        return []


_KINDS: dict[str, Callable[[Rule, Camera], _State]] = {
    "presence": _Held,
    "dwell": _Held,
    "count": _Held,
    "crossing": _Crossing,
    "sequence": _Sequence,
    "absence": _Absence,
}


def anchor_point(box: Sequence[float], anchor: str) -> Point:
    """The point of a box (x1, y1, x2, y2) that lies in a zone, drawn into the frame."""
    x1, y1, x2, y2 = box
    y = {"center": (y1 + y2) / 2, "top": y1, "bottom": y2}[anchor]
    inside = 1 - 1e-9  # the frame's right and lower edges belong to zones that reach them
    return min(max((x1 + x2) / 2, 0.0), inside), min(max(y, 0.0), inside)
