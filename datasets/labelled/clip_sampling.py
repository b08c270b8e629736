"""Sampling of the frames that a classifier sees, as pure functions of (number of frames, T, rng).

The strategies of the classification reports, each with a draw for training (an rng) and a fixed
answer for evaluation (none). Clips are rows of frame indices: (T,) or (K, T) int64.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from stadet.engine.errors import UserError

Rng = np.random.Generator
Policy = Literal[
    "uniform-frames", "dense", "one-clip", "uniform-clips", "strided", "random-frames", "slowed"
]


def uniform_frames(num_frames: int, length: int, rng: Rng | None = None) -> np.ndarray:
    """One frame of each of T equal segments: its middle, or drawn from it (temporal jitter).

    A video of fewer than T frames repeats some. (T,)
    """
    edges = np.arange(length + 1) * num_frames / length
    share = 0.5 if rng is None else rng.random(length)
    frames = edges[:-1] + share * np.diff(edges)
    return np.minimum(frames.astype(np.int64), num_frames - 1)


def dense(num_frames: int, length: int, rng: Rng | None = None) -> np.ndarray:
    """T frames evenly spaced over the whole video, its first and its last among them. (T,)

    With an rng the ends move inwards by up to a step each.
    """
    first, last = 0.0, num_frames - 1.0
    if rng is not None and length > 1:
        step = last / (length - 1)
        first, last = first + step * rng.random(), last - step * rng.random()
    return np.rint(np.linspace(first, max(first, last), length)).astype(np.int64)


def one_clip(num_frames: int, length: int, rng: Rng | None = None) -> np.ndarray:
    """T consecutive frames: in the middle of the video, or anywhere. (T,)"""
    return strided(num_frames, length, 1, rng)


def strided(num_frames: int, length: int, step: int, rng: Rng | None = None) -> np.ndarray:
    """Every `step`-th frame until there are T: from the middle part, or from anywhere. (T,)

    Where the video ends before T frames are found, its last sampled frame is repeated.
    """
    room = max(0, num_frames - ((length - 1) * step + 1))
    start = room // 2 if rng is None else int(rng.integers(room + 1))
    last = start + (num_frames - 1 - start) // step * step
    return np.minimum(start + step * np.arange(length), last)


def uniform_clips(num_frames: int, length: int, clips: int, rng: Rng | None = None) -> np.ndarray:
    """K clips of T consecutive frames, their starts evenly spaced from the video's first frame to
    its last possible start; they overlap in a video shorter than K * T. (K, T)

    With an rng each start moves by up to half the distance between starts.
    """
    room = max(0, num_frames - length)
    starts = np.linspace(0, room, clips) if clips > 1 else np.array([room / 2])
    if rng is not None:
        starts = starts + (rng.random(clips) - 0.5) * room / max(clips - 1, 1)
    starts = np.clip(np.rint(starts), 0, room).astype(np.int64)
    return np.minimum(starts[:, None] + np.arange(length), num_frames - 1)


def random_frames(num_frames: int, length: int, rng: Rng | None = None) -> np.ndarray:
    """T different frames in their order, anywhere in the video; evenly spaced without an rng. (T,)

    A video of fewer than T frames shows each once and some again.
    """
    if rng is None:
        return uniform_frames(num_frames, length)
    whole, rest = divmod(length, num_frames)
    again = rng.choice(num_frames, size=rest, replace=False)
    return np.sort(np.concatenate([np.tile(np.arange(num_frames), whole), again])).astype(np.int64)


def slowed(num_frames: int, length: int, rng: Rng | None = None) -> np.ndarray:
    """T consecutive frames; in a shorter video the first ones are doubled until there are T, which
    looks like the start slowed down (the hand-gesture thesis, 40 frames). (T,)"""
    if num_frames >= length:
        return one_clip(num_frames, length, rng)
    whole, rest = divmod(length, num_frames)
    return np.repeat(np.arange(num_frames), whole + (np.arange(num_frames) < rest))


@dataclass
class SamplingConfig:
    """Frames of a clip.

    Attributes:
        policy: a function of this module, by its name with hyphens.
        frames: of a clip, T.
        step: of `strided`, frames between two frames of a clip.
        clips: of `uniform-clips`, training clips of a video.
        train_clips: of the other policies, clips drawn from a video in an epoch.
        test_clips: clips of a video whose probabilities are averaged in evaluation.
        jitter: draw the frames in training; False takes those of evaluation.
        pad_short: repeat frames of a video shorter than a clip, instead of refusing it
            (`uniform-frames`, `dense`, `random-frames` and `slowed` always do).
        speed: of `strided`, up to which factor `step` is smaller or larger in training, so that
            what others do faster or more slowly is known, too; 1 = always `step`.
    """

    policy: Policy = "uniform-frames"
    frames: int = 16
    step: int = 4
    clips: int = 5
    train_clips: int = 1
    test_clips: int = 1
    jitter: bool = True
    pad_short: bool = False
    speed: float = 1.0

    def __post_init__(self) -> None:
        for name in ("frames", "step", "clips", "train_clips", "test_clips"):
            if getattr(self, name) < 1:
                raise UserError(f"sampling.{name}: expected 1 or more, found {getattr(self, name)}")
        if not 1 <= self.speed <= 10:
            raise UserError(f"sampling.speed: expected a factor from 1 to 10, found {self.speed}")

    @property
    def least_frames(self) -> int:
        """Frames that a video must have."""
        if self.pad_short or self.policy not in ("one-clip", "uniform-clips", "strided"):
            return 1
        return (self.frames - 1) * (self.step if self.policy == "strided" else 1) + 1

    @property
    def clips_a_video(self) -> int:
        """Training clips of one video in an epoch."""
        return self.clips if self.policy == "uniform-clips" else self.train_clips


def training_clip(num_frames: int, config: SamplingConfig, number: int, rng: Rng) -> np.ndarray:
    """(T,) frames of training clip `number` (0 .. clips_a_video - 1) of a video."""
    draw = rng if config.jitter else None
    if config.policy == "uniform-clips":
        return uniform_clips(num_frames, config.frames, config.clips, draw)[number]
    if config.policy == "strided" and config.speed > 1 and draw is not None:
        step = _drawn_step(num_frames, config, draw)
        return strided(num_frames, config.frames, step, draw)
    return _one(num_frames, config, draw)


def evaluation_clips(num_frames: int, config: SamplingConfig) -> np.ndarray:
    """(K, T) frames of the clips whose answers are averaged; always the same for a video.

    One clip is the policy's fixed one. Several of consecutive or strided frames start evenly spaced
    over the video; several of spread frames are draws from a fixed seed.
    """
    count = config.clips if config.policy == "uniform-clips" else config.test_clips
    if config.policy == "uniform-clips" or (config.policy in ("one-clip", "slowed") and count > 1):
        if num_frames >= config.frames:
            return uniform_clips(num_frames, config.frames, count)
        return np.tile(slowed(num_frames, config.frames), (count, 1))
    if count == 1:
        return _one(num_frames, config, None)[None]
    if config.policy == "strided":
        span = (config.frames - 1) * config.step + 1
        starts = uniform_clips(num_frames, span, count)[:, :1]
        return np.minimum(starts + config.step * np.arange(config.frames), num_frames - 1)
    rng = np.random.default_rng(0)
    return np.stack([_one(num_frames, config, rng) for _ in range(count)])


def _drawn_step(num_frames: int, config: SamplingConfig, rng: Rng) -> int:
    """A step whose logarithm is uniform; one above `config.step` has room in the video."""
    step = max(1, round(config.step * config.speed ** rng.uniform(-1, 1)))
    longest = (num_frames - 1) // max(config.frames - 1, 1)
    return min(step, max(longest, config.step))


def _one(num_frames: int, config: SamplingConfig, rng: Rng | None) -> np.ndarray:
    if config.policy == "strided":
        return strided(num_frames, config.frames, config.step, rng)
    draw = {
        "uniform-frames": uniform_frames,
        "dense": dense,
        "one-clip": one_clip,
        "random-frames": random_frames,
        "slowed": slowed,
    }[config.policy]
    return draw(num_frames, config.frames, rng)
