"""Configuration of generated footage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from stadet.engine.errors import UserError, neighbours

if TYPE_CHECKING:
    from stadet.datasets.restaurant.classes import ClassSet

VIEWS = ("front", "side")
SPANS = ("carry", "whole")
BASE_HAND = 0.12  # wrist to fingertip in picture heights, at hand_scale 1


@dataclass(frozen=True)
class FootageConfig:
    """Generated restaurant footage. Durations are seconds, lengths are heights of the picture.

    Attributes:
        minutes: time that is filmed, over all scenes; every view shows all of it.
        scenes: how many recordings it is cut into; each has its own counter, light and workers.
        size: (height, width) of the videos in pixels, both even.
        classes: the N most frequent of `classes.CATALOGUE`; 8 is the demo's set.
        names: these classes of it instead, in their order, equally frequent.
        views: 1 (front) or 2 (front and side, the same moments).
        hand_scale: size of hands, tools and items; 1 = a hand of 0.12 picture heights (small, as in
            ceiling cameras), 1.6 to 2.2 = large enough for networks of 64 to 128 pixels.
        pace: speed of a carrying hand in picture heights a second.
        span: which frames of a reversible action are annotated. `carry`: while the item is in the
            hand, so that the direction of motion decides between the two actions of a pair.
            `whole`: also while the hand comes or goes empty, so that direction and load decide
            together (much harder to learn).
        still_share: share of reversible actions in which the hand rests while it carries.
        still_frames: (least, most) frames for which it rests.
        action_share: share of frames with at least one annotated action.
        together: chance that a second worker acts during an action.
        distraction: chance that an idle hand is visible during an action.
        unseen_share: share of time that nobody annotated.
        tail: Zipf exponent of the class frequencies over pairs and single classes; None: 0 up to 8
            classes, 1 above.
        variety: 0 = every scene has the same counter, 1 = bins, stations and cameras move freely.
        drift: amplitude of the slow changes of light.
        noise: standard deviation of sensor noise (0 to 255 scale).
        imperfect: write annotations with faults, besides clean ones.
        box_jitter: of imperfect annotations: standard deviation as a share of the box's size.
        onset_shift: of imperfect annotations: standard deviation in seconds of either end.
        wrong_labels: of imperfect annotations: share of actions.

    Raises:
        UserError: a value out of range.
    """

    minutes: float = 4.0
    scenes: int = 4
    size: tuple[int, int] = (288, 512)
    fps: float = 15.0
    classes: int = 8
    names: tuple[str, ...] = ()
    views: int = 2
    seed: int = 0
    hand_scale: float = 1.6
    pace: float = 0.65
    span: str = "carry"
    still_share: float = 0.5
    still_frames: tuple[int, int] = (8, 16)
    action_share: float = 0.5
    together: float = 0.2
    distraction: float = 0.3
    unseen_share: float = 0.05
    tail: float | None = None
    variety: float = 0.5
    drift: float = 0.06
    noise: float = 3.0
    imperfect: bool = False
    box_jitter: float = 0.05
    onset_shift: float = 0.15
    wrong_labels: float = 0.04

    def __post_init__(self) -> None:
        from stadet.datasets.restaurant.classes import CATALOGUE

        height, width = self.size
        self._expect(
            height >= 32 and height % 2 == 0 and width % 2 == 0,
            "size",
            "even sides of at least 32 pixels (H.264 stores colour at half size)",
        )
        self._expect(1.0 <= width / height <= 2.5, "size", "a width of 1 to 2.5 heights")
        self._expect(self.scenes >= 1, "scenes", "1 or more")
        self._expect(self.fps > 0, "fps", "a positive number")
        self._expect(self.frames_per_scene >= self.fps, "minutes", "at least one second a scene")
        self._expect(1 <= self.classes <= len(CATALOGUE), "classes", f"1 to {len(CATALOGUE)}")
        known = {action.name for action in CATALOGUE}
        for name in self.names:
            if name not in known:
                raise UserError(
                    f"footage: names: expected classes of the catalogue, found {name!r}"
                    f"{neighbours(name, known)}"
                )
        self._expect(len(set(self.names)) == len(self.names), "names", "each class once")
        self._expect(self.views in (1, 2), "views", "1 or 2")
        self._expect(0.5 <= self.hand_scale <= 2.6, "hand_scale", "0.5 to 2.6")
        self._expect(0.1 <= self.pace <= 3, "pace", "0.1 to 3 picture heights a second")
        self._expect(self.span in SPANS, "span", " or ".join(SPANS))
        low, high = self.still_frames
        self._expect(1 <= low <= high, "still_frames", "two counts, the smaller first")
        self._expect(0.05 <= self.action_share <= 0.9, "action_share", "0.05 to 0.9")
        for name in ("still_share", "together", "distraction", "variety", "wrong_labels"):
            self._expect(0 <= getattr(self, name) <= 1, name, "a share between 0 and 1")
        self._expect(0 <= self.unseen_share <= 0.5, "unseen_share", "0 to 0.5")
        for name in ("noise", "drift", "box_jitter", "onset_shift"):
            self._expect(getattr(self, name) >= 0, name, "0 or more")

    def _expect(self, holds: bool, name: str, wanted: str) -> None:
        if not holds:
            raise UserError(f"footage: {name}: expected {wanted}, found {getattr(self, name)!r}")

    @property
    def frames_per_scene(self) -> int:
        return round(self.minutes * 60 * self.fps / self.scenes)

    @property
    def hand(self) -> float:
        """Length of a hand in picture heights."""
        return BASE_HAND * self.hand_scale

    @property
    def class_set(self) -> ClassSet:
        """The classes that are filmed."""
        from stadet.datasets.restaurant.classes import ClassSet

        if self.names:
            return ClassSet.named(self.names)
        return ClassSet.most_frequent(self.classes, self.tail)

    @property
    def view_names(self) -> tuple[str, ...]:
        return VIEWS[: self.views]
