"""Script of a scene: blocks of one or two hands, actions and idleness, drawn at random.

Every block begins and ends with all its hands out of the picture, and classes are drawn
independently, so what came before an action says nothing of which direction it has.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stadet.datasets.restaurant.classes import ActionClass, ClassSet
from stadet.datasets.restaurant.config import FootageConfig
from stadet.datasets.restaurant.layout import Layout
from stadet.datasets.restaurant.motion import Performance, idle, perform


@dataclass(frozen=True, eq=False)
class Appearance:
    """A performance that starts at frame `start`, by worker 0 or 1."""

    start: int
    worker: int
    performance: Performance

    @property
    def stop(self) -> int:
        return self.start + len(self.performance)


@dataclass(frozen=True, eq=False)
class Script:
    """A scene's actions in order of their start; looked_at (F,) bool, False where nobody
    annotates."""

    appearances: tuple[Appearance, ...]
    looked_at: np.ndarray

    @property
    def num_frames(self) -> int:
        return len(self.looked_at)

    @classmethod
    def draw(
        cls,
        rng: np.random.Generator,
        layout: Layout,
        classes: ClassSet,
        config: FootageConfig,
    ) -> Script:
        """Fill a scene's frames with blocks, keeping the share of frames with an action close to
        `config.action_share`."""
        frames = config.frames_per_scene
        appearances: list[Appearance] = []
        at = round(rng.uniform(0.1, 0.6) * config.fps)
        busy = 0  # frames with an annotated action so far
        while at < frames:
            block = _action_block(rng, layout, classes, config)
            length = _length(block)
            if at + length > frames:  # never cut an action: its two directions would differ
                break
            appearances += [Appearance(at + offset, worker, p) for offset, worker, p in block]
            busy += _busy_frames(block)
            at += length + round(rng.uniform(0.0, 0.4) * config.fps)
            owed = busy / config.action_share - at
            if owed > 1.5 * config.fps:
                pause = round(owed * rng.uniform(0.6, 1.2))
                block = _idle_block(rng, layout, config, pause)
                pause = max(pause, _length(block))
                if at + pause <= frames:
                    appearances += [Appearance(at + o, worker, p) for o, worker, p in block]
                at += pause
        return cls(tuple(appearances), _looked_at(rng, config))


_Block = list[tuple[int, int, Performance]]  # (first frame in the block, worker, performance)


def _length(block: _Block) -> int:
    return max((offset + len(performance) for offset, _, performance in block), default=0)


def _choose(rng: np.random.Generator, classes: ClassSet) -> ActionClass:
    return classes.actions[rng.choice(len(classes.actions), p=classes.weights)]


def _action_block(
    rng: np.random.Generator, layout: Layout, classes: ClassSet, config: FootageConfig
) -> _Block:
    first = perform(rng, _choose(rng, classes), layout, config)
    block: _Block = [(0, 0, first)]
    chance = rng.uniform()
    for _ in range(6):  # look for company that keeps clear of the first hand
        if chance < config.together:
            second = perform(rng, _choose(rng, classes), layout, config)
        elif chance < config.together + config.distraction:
            second = idle(rng, layout, config, len(first) - round(config.fps))
        else:
            break
        if _apart(first, second, layout.hand):
            slack = abs(len(first) - len(second)) // 2
            late = int(rng.integers(0, slack + 1))
            if len(second) > len(first):
                return [(late, 0, first), (0, 1, second)]
            return [*block, (late, 1, second)]
    return block


def _idle_block(
    rng: np.random.Generator, layout: Layout, config: FootageConfig, frames: int
) -> _Block:
    """None, one or two idle hands for about `frames` frames."""
    block: _Block = []
    if rng.uniform() < 0.75:
        block.append((0, int(rng.integers(2)), idle(rng, layout, config, frames // 2)))
        if rng.uniform() < 0.3:
            other = idle(rng, layout, config, frames // 2)
            if _apart(block[0][2], other, layout.hand):
                block.append((0, 1 - block[0][1], other))
    return block


def _apart(a: Performance, b: Performance, hand: float) -> bool:
    """True if two hands keep to different lanes, so that arms do not cross."""
    gap = max(a.tip[:, 0].min() - b.tip[:, 0].max(), b.tip[:, 0].min() - a.tip[:, 0].max())
    same_order = (a.tip[0, 0] < b.tip[0, 0]) == (a.shoulder[0, 0] < b.shoulder[0, 0])
    return gap > 1.1 * hand and same_order


def _busy_frames(block: _Block) -> int:
    """Frames of the block with at least one annotated action in the picture."""
    busy: set[int] = set()
    for offset, _, performance in block:
        if performance.annotated is not None:
            frames = np.arange(*performance.annotated)
            inside = performance.tip[frames, 1] < 0.95
            busy.update((offset + frames[inside]).tolist())
    return len(busy)


def _looked_at(rng: np.random.Generator, config: FootageConfig) -> np.ndarray:
    """(F,) bool with stretches of about two seconds that nobody annotates."""
    frames = config.frames_per_scene
    looked_at = np.ones(frames, dtype=bool)
    length = min(max(1, round(2 * config.fps)), frames // 4)
    for _ in range(round(config.unseen_share * frames / max(1, length))):
        start = int(rng.integers(0, frames - length + 1))
        looked_at[start : start + length] = False
    return looked_at
