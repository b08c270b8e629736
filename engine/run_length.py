"""How many steps a run takes, and its learning rate: given beforehand, or found on the way.

A run of given length follows a schedule that ends with it. One that trains `until: plateau` keeps
its learning rate until the training loss has stopped falling and only then lets it fall, as in Hu
et al., "MiniCPM" (arXiv 2404.06395, section 4) and Hägele et al. (arXiv 2405.18392): its steps
before the fall are those of any longer run, so that it can be prolonged.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from stadet.engine.limits import INFINITE, expect_limits
from stadet.engine.optimise import ScheduleConfig, lr_factor

BLOCK = 50  # steps whose mean loss is one value; single steps say little
BEGUN = 0.9  # a loss above this share of its beginning has not begun to fall
WAIT = 3  # how many times `least` a run waits for a loss that has not begun to fall


@dataclass
class PlateauConfig:
    """How a run ends that trains `until: plateau`.

    Attributes:
        least: steps before it may end; the class loss of a detector with memory falls late.
        fall: a loss whose mean over the last third of the steps is less than this share below that
            over the third before has stopped falling; each term of the loss must have.
        cooldown: steps in which the learning rate falls at the end, as a share of those before.
    """

    least: int = 1500
    fall: float = 0.1
    cooldown: float = 0.3

    def __post_init__(self) -> None:
        expect_limits(
            self, "loop.plateau", least=(1, INFINITE), fall=(0, 1), cooldown=(0, INFINITE)
        )


class RunLength:
    """The steps of a run of given length.

    limit: most steps that the run may take.
    """

    def __init__(self, schedule: ScheduleConfig, limit: int) -> None:
        self.schedule, self.limit = schedule, limit

    @property
    def total(self) -> int:
        """Steps that the run takes, as far as is known."""
        return self.limit

    def lr_factor(self, step: int) -> float:
        """Learning rate over its peak at `step` (0-based)."""
        return lr_factor(self.schedule, step, self.limit)

    def observe(
        self, step: int, losses: Mapping[str, Tensor], mean: Callable[[float], float]
    ) -> bool:
        """Take the terms of the loss of step number `step` (from 1); whether the learning rate
        begins to fall after it.

        mean: of a number over the processes that train together.
        """
        return False

    def ending(self) -> str | None:
        """A sentence on why a run that is done has ended here; None where its length was given."""
        return None

    def state(self) -> dict[str, Any]:
        """What a resumed run needs, as checkpoints hold it."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""


class PlateauLength(RunLength):
    """The steps of a run that ends when its training loss has stopped falling, or at `limit`."""

    def __init__(self, schedule: ScheduleConfig, limit: int, config: PlateauConfig) -> None:
        super().__init__(schedule, limit)
        self.config = config
        self.falls_from: int | None = None  # the step after which the learning rate falls
        self.by_limit = False  # it fell because of the limit, not of a plateau
        self._blocks: dict[str, list[float]] = {}  # of each term, means over BLOCK steps
        self._sums: dict[str, Tensor] = {}

    @property
    def latest(self) -> int:
        """The step after which the rate must fall to end within the limit."""
        return max(1, math.floor(self.limit / (1 + self.config.cooldown)))

    @property
    def total(self) -> int:
        if self.falls_from is None:
            return self.limit
        return min(self.limit, self.falls_from + self._cooldown)

    @property
    def _cooldown(self) -> int:
        begins = self.falls_from or 0
        if self.by_limit:
            return max(1, self.limit - begins)
        return max(1, round(self.config.cooldown * begins))

    def lr_factor(self, step: int) -> float:
        """Up in `schedule.warmup` of the least steps, constant, and at the end down to
        `schedule.final` by 1 - sqrt, the best of the shapes that Hägele et al. compare."""
        warmup = self.schedule.warmup * self.config.least
        if step < warmup:
            return max(step / warmup, 1 / (warmup + 1))
        if self.falls_from is None or step < self.falls_from:
            return 1.0
        done = min(1.0, (step - self.falls_from) / self._cooldown)
        return self.schedule.final + (1 - self.schedule.final) * (1 - math.sqrt(done))

    def observe(
        self, step: int, losses: Mapping[str, Tensor], mean: Callable[[float], float]
    ) -> bool:
        if self.falls_from is not None:
            return False
        for name, value in losses.items():
            self._sums[name] = self._sums.get(name, 0) + value.detach()
        if step % BLOCK == 0:
            for name in sorted(self._sums):
                self._blocks.setdefault(name, []).append(mean(float(self._sums[name]) / BLOCK))
            self._sums = {}
        if step % BLOCK == 0 and self._on_plateau(step):
            self.falls_from = step
        elif step >= self.latest:
            self.falls_from, self.by_limit = step, True
        return self.falls_from is not None

    @property
    def has_begun(self) -> bool:
        """Is some term well below its beginning?

        Not their sum: a rising learning rate unsettles the boxes of a detector that is trained
        already while its class loss falls.
        """
        return any(
            sum(blocks[-max(1, len(blocks) // 3) :]) / max(1, len(blocks) // 3) < BEGUN * blocks[0]
            for blocks in self._blocks.values()
        )

    @property
    def falling(self) -> tuple[str, float]:
        """The term that falls most, and the share by which its mean over the last third of the
        steps lies below that over the third before."""
        falls = {}
        for name, blocks in self._blocks.items():
            third = len(blocks) // 3
            last, before = blocks[len(blocks) - third :], blocks[-2 * third : len(blocks) - third]
            falls[name] = 1 - sum(last) / max(sum(before), 1e-12) if third else 1.0
        return max(falls.items(), key=lambda pair: pair[1], default=("", 1.0))

    def _on_plateau(self, step: int) -> bool:
        least = self.config.least * (1 if self.has_begun else WAIT)
        return step >= least and self.falling[1] < self.config.fall

    def ending(self) -> str | None:
        if self.falls_from is None:
            return None
        if not self.has_begun:
            return (
                f"in {self.falls_from:,} steps no term of the loss fell below {BEGUN:.0%} of its "
                "beginning: nothing was learnt that its start did not know"
            )
        name, fall = self.falling
        thirds = f"({fall:.0%} from one third of the steps to the next)"
        if self.by_limit and fall >= self.config.fall:
            return (
                f"not finished: at the limit of {self.limit:,} steps the {name} loss was still "
                f"falling {thirds}; prolong it with: stad train --resume RUN "
                f"loop.max_steps={2 * self.limit}"
            )
        return (
            f"finished: after {self.falls_from:,} steps no term of the loss was falling any more "
            f"{thirds}; the learning rate then fell until step {self.total:,}"
        )

    def state(self) -> dict[str, Any]:
        return {
            "limit": self.limit,
            "falls_from": self.falls_from,
            "by_limit": self.by_limit,
            "blocks": {name: list(blocks) for name, blocks in self._blocks.items()},
            "sums": dict(self._sums),
        }

    def restore(self, state: dict[str, Any]) -> None:
        if not self.prolongs(state):
            self.limit = max(self.limit, state["limit"])  # of a run that was prolonged before
            self.falls_from, self.by_limit = state["falls_from"], state["by_limit"]
        self._blocks = {name: list(blocks) for name, blocks in state["blocks"].items()}
        self._sums = dict(state["sums"])

    def prolongs(self, state: dict[str, Any]) -> bool:
        """Was the run of `state` cut by a limit that is higher now?"""
        return bool(state["by_limit"]) and self.limit > state["limit"]
