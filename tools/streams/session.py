"""A model at work on one live stream: frames in, pictures with answers and events out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from stadet.classify.answers import Answers
from stadet.datasets.clips.resample import TickCounter
from stadet.datasets.labelled.clip_sampling import evaluation_clips
from stadet.datasets.live.reader import LiveFrame
from stadet.detect.actors.tracker import ActorTracker
from stadet.detect.drawing.render import Canvas, text_height
from stadet.detect.scene.hits import hit_values
from stadet.detect.scene.live_counts import LiveCounter, TubeBox
from stadet.detect.scene.rules import RuleEngine, Seen, Told
from stadet.detect.structures import NO_TRACK, Detections
from stadet.detect.tubes.linking import LinkOptions
from stadet.detect.tubes.online import LiveTube, OnlineLinker
from stadet.detect.view import View, pair
from stadet.engine.errors import UserError
from stadet.tools.classification.video_answers import VideoClassifier
from stadet.tools.inference.video_detector import VideoDetector
from stadet.tools.streams.events import ClassRuns
from stadet.tools.streams.overlay import (
    draw_frame,
    pixel_area,
    probability_panel,
)

LEAST_WIDTH = 320  # of a classifier's picture
Event = tuple[str, float, dict[str, Any]]  # what, seconds, values


@dataclass(frozen=True)
class LiveAnswer:
    """Answer of a session to one frame.

    Attributes:
        image: (h, w, 3) uint8 RGB to show: the frame with what is drawn into it.
        events: (what, seconds on the stream's clock, values) of what began and ended.
        detections: of a detector, in the frame's pixels; None of a classifier.
        happening: whether an action is going on.
    """

    image: np.ndarray = field(repr=False)
    events: tuple[Event, ...] = ()
    detections: Detections | None = None
    happening: bool = False


class LiveSession(ABC):
    """A model that follows one stream, at the rate of its training where that is known."""

    def __init__(self, fps: float | None):
        self.fps = fps
        self._count: TickCounter | None = None
        self._tick = -1

    def __call__(self, frame: LiveFrame) -> LiveAnswer | None:
        """Take the next frame; None for one between the ticks of the model's rate."""
        events: list[Event] = []
        if frame.starts_stream:
            events += self.finish(frame.seconds)
            self._count = TickCounter(self.fps) if self.fps else None
            self._tick = -1
            self._restart()
        if self._count is not None:
            tick = self._count(frame.seconds)
            if tick == self._tick:
                return None
        else:
            tick = self._tick + 1
        self._tick = tick
        answer = self._answer(frame, tick)
        if not events:
            return answer
        return LiveAnswer(
            answer.image, (*events, *answer.events), answer.detections, answer.happening
        )

    @abstractmethod
    def finish(self, seconds: float) -> list[Event]:
        """End what is going on; the events of that."""

    @abstractmethod
    def _restart(self) -> None:
        """Forget earlier frames."""

    @abstractmethod
    def _answer(self, frame: LiveFrame, tick: int) -> LiveAnswer: ...


@dataclass
class _LiveTube:
    """A tube as its events tell it."""

    label: int
    began: float
    box: np.ndarray
    score: float
    last: float
    told: bool = False
    actor: int | None = None


class DetectorSession(LiveSession):
    """A detector on a stream: boxes, tubes that have an id, and their beginnings and ends.

    Args:
        detector: an opened detector.
        threshold: scores that are drawn and become events.
        fps: frames a second that the detector wants; None: every frame.
        min_seconds: a tube must last so long to be told.
        name: of the stream.
        rules: of the stream's camera; their hits are events too.
        actors: whose the boxes are, who is then drawn and told, and whom the rules go by; None: an
            actor of the rules is a tube.
        counter: is told the tubes, for the counts of the stream's camera.
        time_of_day: for the counter, seconds after midnight.
    """

    def __init__(
        self,
        detector: VideoDetector,
        *,
        threshold: float,
        fps: float | None,
        min_seconds: float = 0.2,
        name: str = "stream",
        rules: RuleEngine | None = None,
        actors: ActorTracker | None = None,
        counter: LiveCounter | None = None,
        time_of_day: Callable[[], float] = lambda: 0.0,
    ):
        super().__init__(fps)
        self._counter, self._time_of_day = counter, time_of_day
        self._names, self._threshold = detector.names, threshold
        self._min_seconds, self._rules, self._actors = min_seconds, rules, actors
        self._stream = detector.stream(name=name)
        self._linker = OnlineLinker(LinkOptions(min_score=threshold, min_length=1))
        self._tubes: dict[int, _LiveTube] = {}
        self._id_offset = self._next_id = 0  # the linker counts from 0 after each restart

    def finish(self, seconds: float) -> list[Event]:
        events = self._end(set(), seconds)
        if self._counter is not None:
            self._counter.pause()
        return events + (_rule_events(self._rules.finish(), seconds) if self._rules else [])

    def _restart(self) -> None:
        self._stream.reset()
        self._linker = OnlineLinker(self._linker.options)
        self._id_offset = self._next_id
        if self._actors is not None:
            self._actors.reset()

    def _answer(self, frame: LiveFrame, tick: int) -> LiveAnswer:
        detections = self._stream(frame.image, seconds=frame.seconds)
        if self._actors is not None:
            ids = self._actors.update(frame.seconds, detections)
            detections = replace(detections, actor_ids=ids)
        self._linker.update(tick, detections)
        present = {self._id_offset + tube.id: tube for tube in self._linker.live}
        events = self._end(set(present), frame.seconds)
        image = frame.image.copy()
        with Canvas(image, self._names) as canvas:
            for number, tube in present.items():
                known = self._tubes.get(number)
                if known is None:
                    known = _LiveTube(tube.label, frame.seconds, tube.box, tube.score, 0.0)
                    self._tubes[number] = known
                    self._next_id = max(self._next_id, number + 1)
                if tube.last_frame != tick:
                    continue  # not seen on this frame
                known.box, known.score, known.last = tube.box, tube.score, frame.seconds
                known.actor = _actor_at(tube.box, detections, known.actor)
                if not known.told and known.last - known.began >= self._min_seconds:
                    known.told = True
                    events.append(("began", frame.seconds, self._values(number)))
                who = f"#{number}" if self._actors is None else ""
                if known.actor is not None:
                    who = f"@{known.actor}"
                words = (self._names[tube.label], who, f"{tube.score:.2f}")
                canvas.labelled_box(tube.box, " ".join(filter(None, words)), tube.label)
        if self._rules is not None:
            told = self._rules.update(frame.seconds, self._seen(present, tick, image.shape))
            events += _rule_events(told, frame.seconds)
        if self._counter is not None:
            boxes = [
                TubeBox(number, tube.label, tube.box, tube.score, self._tubes[number].actor)
                for number, tube in present.items()
                if tube.last_frame == tick
            ]
            self._counter.update(frame.seconds, boxes, image.shape[:2], self._time_of_day())
        happening = any(tube.told for tube in self._tubes.values())
        return LiveAnswer(image, tuple(events), detections, happening)

    def _seen(self, present: dict[int, LiveTube], tick: int, shape: tuple[int, ...]) -> list[Seen]:
        scale = np.array([shape[1], shape[0], shape[1], shape[0]], dtype=np.float64)
        return [
            Seen(
                self._names[tube.label],
                tuple((tube.box / scale).tolist()),
                tube.score,
                number if self._actors is None else self._tubes[number].actor,
            )
            for number, tube in present.items()
            if tube.last_frame == tick
        ]

    def _end(self, present: set[int], seconds: float) -> list[Event]:
        events: list[Event] = []
        for number in [n for n in self._tubes if n not in present]:
            if self._tubes[number].told:
                end = round(self._tubes[number].last, 3)
                events.append(("ended", seconds, {**self._values(number), "end": end}))
            del self._tubes[number]
        return events

    def _values(self, number: int) -> dict[str, Any]:
        tube = self._tubes[number]
        return {
            "class": self._names[tube.label],
            "tube": number,
            **({} if tube.actor is None else {"actor": tube.actor}),
            "start": round(tube.began, 3),
            "score": round(tube.score, 4),
            "box": [round(float(side), 1) for side in tube.box],
        }


def _actor_at(box: np.ndarray, detections: Detections, before: int | None) -> int | None:
    """Actor of the detection that a tube's box is; who it was before where that is not known."""
    if detections.actor_ids is None:
        return before
    own = detections.actor_ids[(detections.boxes == box).all(axis=1)]
    own = own[own != NO_TRACK]
    return int(own[0]) if len(own) else before


def _rule_events(told: Sequence[Told], seconds: float) -> list[Event]:
    events: list[Event] = []
    for what, hit in told:
        values = hit_values(hit)
        values["met"] = values.pop("at")  # an event's `at` is the time of day
        events.append((what, seconds, values))
    return events


class ClassifierSession(LiveSession):
    """A clip classifier on a stream: the last seconds as a clip, answered every stride.

    The picture shows the area that is classified, the class in green when the answer is sure (above
    the rejection thresholds of the checkpoint), and all probabilities below.

    Args:
        classifier: an opened classifier at work.
        fps: frames a second of its training; None: every frame.
        window_seconds: length of a clip.
        stride_seconds: time between two answers.
        area: part of the frame to classify, (x1, y1, x2, y2) in shares of its sides.
        patience: answers in a row that a change of class takes.
    """

    def __init__(
        self,
        classifier: VideoClassifier,
        *,
        fps: float | None,
        window_seconds: float = 2.0,
        stride_seconds: float = 0.5,
        area: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0),
        patience: int = 2,
    ):
        super().__init__(fps)
        if not (window_seconds > 0 and stride_seconds > 0):
            raise UserError(
                "expected a window and a stride above 0 s, "
                f"found {window_seconds} and {stride_seconds}"
            )
        self._classifier, self._area = classifier, area
        self._window, self._stride = window_seconds, stride_seconds
        self._patience = patience
        self._restart()

    def finish(self, seconds: float) -> list[Event]:
        return [(what, seconds, values) for what, values in self._runs.finish(seconds)]

    def _restart(self) -> None:
        self._frames: deque[tuple[float, np.ndarray]] = deque()
        self._due = float("-inf")
        self._first: float | None = None
        self._answers: Answers | None = None
        self._label: int | None = None
        self._runs = ClassRuns(self._classifier.file.names, self._patience)

    def _answer(self, frame: LiveFrame, tick: int) -> LiveAnswer:
        box = pixel_area(frame.image.shape[:2], self._area)
        seen = frame.image[box[1] : box[3], box[0] : box[2]]
        config = self._classifier.file.config
        view = View.fit(seen.shape[:2], pair(config.input.size), config.input.resize)
        self._frames.append((frame.seconds, view.apply(np.ascontiguousarray(seen))))
        while self._frames[0][0] <= frame.seconds - self._window - 1e-6:
            self._frames.popleft()
        self._first = frame.seconds if self._first is None else self._first
        events: list[Event] = []
        full = frame.seconds - self._first >= self._window * 0.9
        enough = len(self._frames) >= config.sampling.least_frames
        if full and enough and frame.seconds >= self._due:
            self._due = frame.seconds + self._stride
            events = self._classify(frame.seconds)
        happening = self._label is not None  # 0 is a class too
        return LiveAnswer(self._picture(frame.image, box), tuple(events), None, happening)

    def _classify(self, seconds: float) -> list[Event]:
        images = [image for _, image in self._frames]
        clips = evaluation_clips(len(images), self._classifier.file.config.sampling)
        self._answers = self._classifier.answer_clips(
            [np.stack([images[int(i)] for i in clip]) for clip in clips]
        )
        none = bool(self._classifier.rejection.rejects(self._answers)[0])
        self._label = None if none else int(self._answers.probabilities[0].argmax())
        return [(what, seconds, values) for what, values in self._runs.update(seconds, self._label)]

    def _picture(self, image: np.ndarray, box: tuple[int, int, int, int]) -> np.ndarray:
        names = self._classifier.file.names
        scale = max(1, -(-LEAST_WIDTH // image.shape[1]))  # names fit below a small picture too
        shown = image.repeat(scale, axis=0).repeat(scale, axis=1)
        x1, y1, x2, y2 = (scale * side for side in box)
        draw_frame(
            shown, (x1, y1, x2, y2), None if self._answers is None else self._label is not None
        )
        panel = probability_panel(
            shown.shape[1],
            text_height(shown.shape[:2]),
            names,
            None if self._answers is None else self._answers.probabilities[0],
            None if self._label is None else names[self._label],
        )
        return np.concatenate([shown, panel])
