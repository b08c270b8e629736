"""An id for every hand or person, frame by frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stadet.detect.actors.association import make_association
from stadet.detect.actors.merging import leaders_of
from stadet.detect.actors.methods import METHODS
from stadet.detect.structures import NO_TRACK, Detections
from stadet.engine.errors import UserError
from stadet.engine.limits import expect_within
from stadet.engine.signatures import checked


@dataclass(frozen=True)
class ActorOptions:
    """How actors get and keep their ids.

    Attributes:
        method: "cbiou", "bytetrack" or "tubes" (`stadet.detect.actors.association`).
        min_score: boxes whose best class is weaker take no part.
        new_score: score of the box with which an actor begins.
        high_score: boxes from it on are given to actors before weaker ones.
        max_gap: seconds unseen after which an actor's id is given up.
    """

    method: str = "cbiou"
    min_score: float = 0.1
    new_score: float = 0.3
    high_score: float = 0.3
    max_gap: float = 1.0

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise UserError(f"actors: expected one of {', '.join(METHODS)}, found {self.method!r}")
        for name in ("min_score", "new_score", "high_score"):
            expect_within(f"actors: {name}", getattr(self, name), 0, 1)
        expect_within("actors: max_gap", self.max_gap, 0, 3600)


class ActorTracker:
    """Fed one frame after another, it says whose each box is.

    Boxes that lie on each other are of one actor, whatever their classes
    (`stadet.detect.actors.merging`), so an actor keeps its id when its action changes. What a frame
    is answered depends on earlier frames only, and not on the order of its boxes. Ids count from 0
    and are never given twice. An actor begins with its second box, so that the first has no id yet.

    After more than `max_gap` seconds without a frame, and where the clock goes back, everything
    begins anew. Memory is bounded by the actors of the last `max_gap` seconds.

    Args:
        options: of the actors.
        fps: usual frames a second, by which motion is judged; frames may be left out.

    Raises:
        UserError: for another rate, and where the package of the method is missing.
    """

    @checked
    def __init__(self, options: ActorOptions | None = None, *, fps: float = 30.0) -> None:
        if not 0 < fps < np.inf:
            raise UserError(f"actors: expected frames a second above 0, found {fps}")
        self.options, self.fps = options or ActorOptions(), fps
        self._next = 0
        self.reset()

    def reset(self) -> None:
        """Forget who was there, as at a scene cut; ids go on counting."""
        options = self.options
        self._association = make_association(
            options.method,
            high_score=options.high_score,
            new_score=options.new_score,
            max_gap=options.max_gap,
            fps=self.fps,
        )
        self._last: float | None = None
        self._known: dict[int, tuple[int, float]] = {}  # the association's id: ours, last seen

    @checked
    def update(self, seconds: float, detections: Detections) -> np.ndarray:
        """Take the next frame; (N,) int64 actor of each of its boxes, `NO_TRACK` where not known.

        Args:
            seconds: of the frame.
            detections: of the frame.

        Raises:
            ValueError: for a time that is not finite.
        """
        if not np.isfinite(seconds):
            raise ValueError(f"expected the seconds of the frame, found {seconds}")
        if self._last is not None and not 0 < seconds - self._last <= self.options.max_gap:
            self.reset()
        self._last = seconds
        boxes, strength = detections.boxes, detections.top_score
        leaders = leaders_of(boxes, strength)
        rows = np.unique(leaders)
        solid = (boxes[rows, 2:] > boxes[rows, :2]).all(axis=1)
        rows = rows[(strength[rows] > 0) & (strength[rows] >= self.options.min_score) & solid]
        rows = rows[np.lexsort(boxes[rows].T[::-1])]  # whatever their order in the frame
        found = self._association.update(seconds, boxes[rows], strength[rows])
        ids = np.full(len(boxes), NO_TRACK)
        for row, number in zip(rows.tolist(), found.tolist(), strict=True):
            if number != NO_TRACK:
                ids[leaders == row] = self._own(number, seconds)
        self._forget(seconds)
        return ids

    def _own(self, number: int, seconds: float) -> int:
        if number in self._known:
            own = self._known[number][0]
        else:
            own = self._next
            self._next += 1
        self._known[number] = own, seconds
        return own

    def _forget(self, seconds: float) -> None:
        """What was not seen for so long does not come back."""
        long_ago = seconds - 2 * self.options.max_gap - 1
        for number in [n for n, (_, last) in self._known.items() if last < long_ago]:
            del self._known[number]
