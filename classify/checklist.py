"""Checklist of the steps of a routine: done or missing (from the hand-washing report)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from stadet.classify.answers import Answers
from stadet.classify.rejection import Rejection
from stadet.classify.timeline import Timeline, segments


@dataclass(frozen=True)
class Step:
    """One step of the routine: where it was seen (videos, or spans of a long video in words), and
    for how many seconds where that is known. Not seen at all: missing."""

    name: str
    seen: tuple[str, ...]
    seconds: float = 0.0

    @property
    def done(self) -> bool:
        return bool(self.seen)


def check_videos(answers: Answers, rejection: Rejection) -> list[Step]:
    """Each class is a step; a video that is not turned away is a step done."""
    none = rejection.rejects(answers)
    seen: dict[int, list[str]] = {}
    for video, label, rejected in zip(answers.videos, answers.predicted, none, strict=True):
        if not rejected:
            seen.setdefault(int(label), []).append(video)
    return _steps(answers.names, seen, {})


def check_timelines(timelines: Sequence[Timeline], min_seconds: float) -> list[Step]:
    """A step is done where one segment of it lasts `min_seconds` or longer."""
    seen: dict[int, list[str]] = {}
    seconds: dict[int, float] = {}
    for line in timelines:
        for segment in segments(line):
            if segment.duration >= min_seconds:
                words = f"{line.video} {segment.start:.1f}-{segment.stop:.1f} s"
                seen.setdefault(segment.label, []).append(words)
                seconds[segment.label] = seconds.get(segment.label, 0.0) + segment.duration
    return _steps(timelines[0].names if timelines else (), seen, seconds)


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


def _steps(
    names: Sequence[str], seen: dict[int, list[str]], seconds: dict[int, float]
) -> list[Step]:
    return [
        Step(name, tuple(seen.get(label, ())), seconds.get(label, 0.0))
        for label, name in enumerate(names)
    ]
