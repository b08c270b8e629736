"""Checklist of the steps of a routine: done or missing (from the hand-washing report)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from stadet.classify.answers import Answers
from stadet.classify.rejection import Rejection
from stadet.classify.timeline import Timeline, segments


@dataclass(frozen=True)
class Span:
    """Where a step was seen: a stretch of a long video in seconds, or with `None` a whole clip."""

    video: str
    start: float | None = None
    stop: float | None = None

    @property
    def seconds(self) -> float:
        """How long it lasts; 0 for a whole clip, whose length is not known here."""
        return 0.0 if self.start is None or self.stop is None else self.stop - self.start

    def __str__(self) -> str:
        return (
            self.video if self.stop is None else f"{self.video} {self.start:.1f}-{self.stop:.1f} s"
        )


@dataclass(frozen=True)
class Step:
    """One step of the routine and where it was seen. Not seen at all: missing."""

    name: str
    spans: tuple[Span, ...]

    @property
    def done(self) -> bool:
        return bool(self.spans)

    @property
    def seen(self) -> tuple[str, ...]:
        """The spans in words."""
        return tuple(map(str, self.spans))

    @property
    def seconds(self) -> float:
        """For how long it was seen in long videos."""
        return sum(span.seconds for span in self.spans)


def check_videos(answers: Answers, rejection: Rejection) -> list[Step]:
    """Each class is a step; a video that is not turned away is a step done."""
    none = rejection.rejects(answers)
    spans: dict[int, list[Span]] = {}
    for video, label, rejected in zip(answers.videos, answers.predicted, none, strict=True):
        if not rejected:
            spans.setdefault(int(label), []).append(Span(video))
    return _steps(answers.names, spans)


def check_timelines(timelines: Sequence[Timeline], min_seconds: float) -> list[Step]:
    """A step is done where one segment of it lasts `min_seconds` or longer."""
    spans: dict[int, list[Span]] = {}
    for line in timelines:
        for segment in segments(line):
            if segment.duration >= min_seconds:
                span = Span(line.video, segment.start, segment.stop)
                spans.setdefault(segment.label, []).append(span)
    return _steps(timelines[0].names if timelines else (), spans)


def describe(steps: Iterable[Step]) -> list[str]:
    """A line a step, then what is missing."""
    steps = list(steps)
    width = max((len(step.name) for step in steps), default=0)
    lines = []
    for step in steps:
        lasting = f" ({step.seconds:.1f} s)" if step.seconds else ""
        found = f"done{lasting}: {', '.join(step.seen)}" if step.done else "MISSING"
        lines.append(f"{step.name:<{width}}  {found}")
    missing = [step.name for step in steps if not step.done]
    done = len(steps) - len(missing)
    lines.append(
        f"{done} of {len(steps)} steps done"
        + (f"; missing: {', '.join(missing)}" if missing else ", none missing")
    )
    return lines


def _steps(names: Sequence[str], spans: dict[int, list[Span]]) -> list[Step]:
    return [Step(name, tuple(spans.get(label, ()))) for label, name in enumerate(names)]
