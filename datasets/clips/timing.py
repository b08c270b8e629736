"""Distance in time between the frames that a model was trained on, as its checkpoint says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from stadet.datasets.clips.resample import SAME_RATE, same_rate
from stadet.detect.clock import Clock
from stadet.engine.errors import UserError

NATIVE = "native"  # frames as they come, at whatever rate
Rate = float | Literal["native"] | None


@dataclass(frozen=True)
class Timing:
    """Distances in time between the frames of a model's clips and streams.

    fps: frames a second of the footage as the model was shown it; None where it was shown videos of
        several rates as they are.
    step: distance between two frames of a clip or a stream, in frames at `fps`.
    rates: seconds of training footage by its own rate, "29.97" or "29.97 (variable)".
    """

    fps: float | None
    step: int = 1
    rates: Mapping[str, float] = field(default_factory=dict)

    @property
    def seconds(self) -> float | None:
        """Between two frames of a clip or a stream; None where that is not known."""
        return None if self.fps is None else self.step / self.fps

    @property
    def stream_fps(self) -> float | None:
        """Frames a second of a stream; None where that is not known."""
        return None if self.fps is None else self.fps / self.step

    def to_dict(self) -> dict[str, Any]:
        """Plain data for a checkpoint."""
        return {
            "fps": self.fps,
            "step": self.step,
            "seconds": self.seconds,
            "rates": dict(self.rates),
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Timing:
        fps = content["fps"]
        return cls(
            None if fps is None else float(fps), int(content["step"]), dict(content["rates"])
        )


def training_timing(
    wanted: Rate, videos: Iterable[tuple[Clock, float]], step: int = 1, *, where: str = "data.fps"
) -> Timing:
    """The timing of a training on videos of these clocks and seconds of use.

    wanted: a rate to show all of them at; "native": each at its own; None: at their common rate,
    the one with the most footage. UserError for a rate that is not above 0.
    """
    videos = list(videos)
    rates: dict[str, float] = {}
    for clock, seconds in videos:
        rates[rate_text(clock)] = rates.get(rate_text(clock), 0.0) + seconds
    rounded = {name: round(seconds, 3) for name, seconds in rates.items()}
    return Timing(_shown_rate(wanted, videos, where), step, rounded)


def rate_text(clock: Clock) -> str:
    """ "29.97", or "29.97 (variable)"."""
    return f"{clock.fps:.4g}" if clock.constant else f"{clock.fps:.4g} (variable)"


def check_rate(wanted: Rate | str, where: str) -> Rate:
    """A rate as it was asked for. UserError for what is no rate above 0 and not "native"."""
    if wanted is None or wanted == NATIVE:
        return wanted  # type: ignore[return-value]
    try:
        fps = float(wanted)
    except ValueError:
        fps = 0.0
    if not 0 < fps < float("inf"):
        raise UserError(f"{where}: expected native or a number above 0, found {wanted}")
    return fps


def _shown_rate(wanted: Rate, videos: list[tuple[Clock, float]], where: str) -> float | None:
    wanted = check_rate(wanted, where)
    if isinstance(wanted, float):
        return wanted
    groups: list[list[tuple[Clock, float]]] = []  # videos of one rate
    for clock, seconds in videos:
        for group in groups:
            first = group[0][0]
            near = abs(clock.fps / first.fps - 1) <= SAME_RATE
            if clock.constant == first.constant and near:
                group.append((clock, seconds))
                break
        else:
            groups.append([(clock, seconds)])
    if not groups:
        return None
    # even frames tell a rate better than the mean of uneven ones
    best = max(groups, key=lambda g: (g[0][0].constant, sum(seconds for _, seconds in g)))
    fps = best[0][0].fps
    if wanted == NATIVE and not all(same_rate(clock, fps) for clock, _ in videos):
        return None
    return fps


def used_timing(trained: Timing | None, wanted: Rate) -> Timing:
    """The timing that a model is used with.

    wanted: "native": frames as they come; a rate to show footage at in place of that of the
    training; None: as in training, or as they come where that is not known.
    """
    if wanted == NATIVE:
        return Timing(None)
    if wanted is None:
        return trained or Timing(None)
    return replace(trained, fps=float(wanted)) if trained else Timing(float(wanted))


def read_timing(content: Mapping[str, Any], source: str) -> Timing | None:
    """The timing that a checkpoint tells; None where it has none. UserError for what is none."""
    found = content.get("timing")
    try:
        return None if found is None else Timing.from_dict(found)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{source}: its timing cannot be read ({error})") from error


def timing_sentence(timing: Timing, wanted: Rate, key: str = "data.fps") -> str:
    """Line that a training prints about the rate that it chose."""
    found = ", ".join(sorted(timing.rates))
    if timing.fps is None:
        return f"frames as they come, videos at {found} fps: the model will not know its rate"
    chosen = f"{timing.fps:.4g} fps"
    if wanted is None and len(timing.rates) > 1:
        chosen += f", the rate of most of the footage ({found}); {key} sets another"
    elif list(timing.rates) != [f"{timing.fps:.4g}"]:
        chosen += f" (the videos are at {found})"
    every = "" if timing.step == 1 else f", every {timing.step}th frame"
    return f"frames are shown at {chosen}{every}"
