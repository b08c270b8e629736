"""Settings of the training loop."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from stadet.engine.limits import INFINITE, expect_limits
from stadet.engine.optimise import OptimiserConfig, ScheduleConfig
from stadet.engine.precision import Precision
from stadet.engine.run_length import PlateauConfig


@dataclass
class LoopConfig:
    """The training loop.

    Attributes:
        epochs: passes through the sampler.
        max_steps: stop after so many steps.
        until: "steps" trains for the given epochs or steps, with a learning rate that falls to
            their end by `schedule`; "plateau" until the training loss has stopped falling, with
            these as limits. Such a run can be prolonged: stad train --resume RUN loop.max_steps=N.
        plateau: when that is, and how the learning rate falls then.
        accumulate: batches of one step.
        clip_norm: limit of the gradient's norm, 0 = none.
        precision: of forward and backward passes; "auto" is bf16 where the machine is fast at it,
            else fp32.
        compile: compile the model with torch.compile, which takes the first minute: for long runs,
            and not for detectors with memory.
        channels_last: memory layout of images (faster convolutions on most machines).
        batch_norm: train its statistics, synchronise them over processes, or freeze them.
        ema_decay: of a running average of the weights, 0 = none.
        validate_every: epochs between validations.
        metric: value of the validation that selects best.pt.
        patience: validations without a better `metric` before training stops.
        save_minutes: minutes between checkpoints within an epoch.
        log_every: steps between lines of the log.
        tensorboard: also write a TensorBoard log (extra `tensorboard`).
    """

    epochs: int = 10
    max_steps: int | None = None
    until: Literal["steps", "plateau"] = "steps"
    plateau: PlateauConfig = field(default_factory=PlateauConfig)
    accumulate: int = 1
    clip_norm: float = 5.0
    precision: Precision = "fp32"
    compile: bool = False
    channels_last: bool = False
    batch_norm: Literal["train", "sync", "frozen"] = "train"
    ema_decay: float = 0.0
    validate_every: int = 1
    metric: str = "frame_map_50"
    patience: int | None = None
    save_minutes: float = 5.0
    log_every: int = 20
    tensorboard: bool = False
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)

    def __post_init__(self) -> None:
        count = (1, INFINITE)
        expect_limits(
            self,
            "loop",
            epochs=count,
            max_steps=count,
            accumulate=count,
            validate_every=count,
            patience=count,
            log_every=count,
            clip_norm=(0, INFINITE),
            save_minutes=(0, INFINITE),
            ema_decay=(0, 1),
        )
