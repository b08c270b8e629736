"""The one training loop of the toolkit. It knows neither the model nor the batch.

A model meets it through a `TrainingStep`.
"""

from __future__ import annotations

import math
import signal
import time
import traceback
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, Protocol, cast

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.optim.swa_utils import AveragedModel

from stadet.engine import distributed
from stadet.engine.checkpoint import (
    load_checkpoint,
    load_state,
    random_state,
    restore_random_state,
    save_checkpoint,
)
from stadet.engine.errors import UserError
from stadet.engine.exact_convolutions import training_autocast
from stadet.engine.limits import INFINITE, expect_limits
from stadet.engine.optimise import (
    OptimiserConfig,
    ScheduleConfig,
    build_optimiser,
    channels_last,
    running_average,
    set_batch_norm,
)
from stadet.engine.precision import HALF, Precision, choose_precision
from stadet.engine.progress import progress_bar
from stadet.engine.run_length import PlateauConfig, PlateauLength, RunLength
from stadet.engine.runlog import RunLog
from stadet.engine.stop import Stopped, StopRequest, stop_requests
from stadet.engine.torch_file import first_line, is_finite, tensors_in

STABLE = "stable.pt"  # of a run until a plateau: before its learning rate falls

Validate = Callable[[nn.Module], dict[str, float]]


class TrainingStep:
    """Base class of what a model does with a batch."""

    def __call__(self, model: nn.Module, batch: Any, carry: Any) -> tuple[dict[str, Tensor], Any]:
        """Named scalar losses, whose sum is the total, and the carry for the next batch.

        carry: what the call on the batch before returned; None at the beginning of an epoch. An
        empty dict of losses means that this batch only extends a graph still being built.
        """
        raise NotImplementedError(f"{type(self).__name__}.__call__")

    def set_progress(self, done: float) -> None:
        """Take the share of the run's steps that is done, from 0 to 1, before each batch: for a
        loss that changes on the way. By default nothing changes."""

    def pack(self, carry: Any) -> Any:
        """The carry as checkpoints hold it: containers of tensors, numbers and strings."""
        return carry

    def unpack(self, packed: Any) -> Any:
        """The carry that `pack` was given."""
        return packed


class EpochSampler(Protocol):
    """Interface of a batch sampler: a plan that is a pure function of the epoch."""

    def __len__(self) -> int: ...

    def set_epoch(self, epoch: int, start: int = 0) -> None:
        """Plan `epoch`; the next iteration begins at its batch number `start`."""


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
        compile: compile the model with torch.compile.
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


@dataclass
class FitResult:
    """Result of a run.

    Attributes:
        steps: optimiser steps taken in all.
        best: the metrics of the best validation (empty without validation).
        stopped_by: the number of the signal that stopped it; None for a run that is done.
        ending: a sentence on why it ended where it did; None where its length was given.
    """

    steps: int
    best: dict[str, float]
    stopped_by: int | None = None
    ending: str | None = None

    @property
    def interrupted(self) -> bool:
        return self.stopped_by is not None


def fit(
    model: nn.Module,
    step: TrainingStep,
    loader: Iterable[Any],
    sampler: EpochSampler,
    validate: Validate | None,
    config: LoopConfig,
    log: RunLog,
    device: torch.device,
    *,
    describe: dict[str, Any],
    resume: bool = False,
) -> FitResult:
    """Train `model` and leave `last.pt` and `best.pt` in the log's folder.

    loader: yields this process's batches (with `.to(device)`) in the sampler's order.
    describe: plain data that goes into every checkpoint (configuration, classes, split digest).
    resume: continue from `last.pt`, at the very batch it was written after.
    """
    config = replace(config, precision=choose_precision(config.precision, device)[0])
    model = set_batch_norm(model.to(device), config.batch_norm)
    if config.channels_last:
        model = channels_last(model)
    average = running_average(model, config.ema_decay) if config.ema_decay else None
    optimiser = build_optimiser(model, config.optimiser)
    steps_an_epoch = math.ceil(len(sampler) / config.accumulate)
    total_steps = min(config.epochs * steps_an_epoch, config.max_steps or math.inf)
    length = run_length(config, int(total_steps))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, length.lr_factor)
    scaler = torch.amp.GradScaler(enabled=config.precision == "fp16" and device.type == "cuda")
    run = _Run(config, log, describe, step, model, average, optimiser, schedule, scaler, length)
    if resume:
        run.restore(log.folder / "last.pt", device)
        if run.wants_prolonging:
            best = run.best
            run.restore(log.folder / STABLE, device)
            run.best = best
    run.since = (run.steps, time.monotonic())
    wrapped = distributed.wrap(model, device)
    if config.compile:
        wrapped = cast(nn.Module, torch.compile(wrapped))

    if run.batches:  # of a checkpoint that was written after the epoch's last batch
        run.trained |= run.batches >= len(sampler) or run.steps >= length.total
    with stop_requests(_tell_stop) as stop:
        try:
            while run.goes_on():
                if not run.trained:
                    sampler.set_epoch(run.epoch, run.batches)
                    _train_epoch(run, wrapped, step, loader, len(sampler), device, stop)
                with stop.raising(run.alone):
                    metrics = run.validate(validate, last=run.steps >= length.total)
                run.finish_epoch(metrics)
                if number := _asked_to_stop(stop):
                    return FitResult(run.steps, run.best, number)
        except Stopped as stopped:
            traceback.clear_frames(stopped.__traceback__)  # lets go of the loading processes
            run.return_to_mark()
            run.save("last.pt")
            return FitResult(run.steps, run.best, stopped.number)
    return FitResult(run.steps, run.best, ending=length.ending())


def run_length(config: LoopConfig, limit: int) -> RunLength:
    """The length of a run of at most `limit` steps."""
    if config.until == "plateau":
        return PlateauLength(config.schedule, limit, config.plateau)
    return RunLength(config.schedule, limit)


def _tell_stop(number: int) -> None:
    if distributed.is_main():
        print("asked to stop: saving last.pt first (Ctrl-C again ends at once)", flush=True)


def _asked_to_stop(stop: StopRequest) -> int | None:
    """The signal by which this process, or else another one, was asked to stop."""
    if not distributed.any_process(stop.is_set()):
        return None
    return stop.number or signal.SIGTERM


def _train_epoch(
    run: _Run,
    model: nn.Module,
    step: TrainingStep,
    loader: Iterable[Any],
    batches: int,
    device: torch.device,
    stop: StopRequest,
) -> None:
    """One epoch, or what is left of it; `Stopped`, with the run at its mark, if asked to stop."""
    config, optimiser, scaler = run.config, run.optimiser, run.scaler
    half = HALF.get(config.precision)
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    model.train()
    started, saved, frames = time.monotonic(), time.monotonic(), 0
    run.mark()
    bar = progress_bar(
        description=f"epoch {run.epoch}", total=batches, unit="batch", hidden=not run.log.enabled
    )
    bar.update(run.batches)
    with bar:
        waiting = None
        while not run.trained:
            with stop.raising(run.alone):  # nothing that is saved changes before the mark is moved
                waiting = iter(loader) if waiting is None else waiting
                batch = next(waiting, None)
                if batch is None:
                    break
                batch = batch.to(device)
                done = run.batches + 1
                last_of_step = done % config.accumulate == 0 or done == batches
                quiet: AbstractContextManager[None] = nullcontext()
                if not last_of_step and isinstance(model, nn.parallel.DistributedDataParallel):
                    quiet = model.no_sync()
                rate_falls = False
                with quiet:
                    step.set_progress(run.steps / max(run.length.total, 1))
                    with training_autocast(device, half):
                        losses, run.carry = step(model, batch, run.carry)
                    if losses:
                        total = torch.stack([value.float() for value in losses.values()]).sum()
                        scaler.scale(total / config.accumulate).backward()
                        run.observe(losses)
            run.batches += 1
            frames += run.count_frames(batch)
            if last_of_step:
                if config.clip_norm:
                    scaler.unscale_(optimiser)
                    nn.utils.clip_grad_norm_(parameters, config.clip_norm)
                scaler.step(optimiser)
                scaler.update()
                optimiser.zero_grad(set_to_none=True)
                run.schedule.step()
                run.steps += 1
                if run.average is not None:
                    run.average.update_parameters(distributed.unwrap(model))
                if run.steps % config.log_every == 0 or device.type == "cpu":
                    run.check_finite(batch)
                if losses:
                    rate_falls = run.length.observe(run.steps, losses, _mean)
                if run.steps % config.log_every == 0:
                    rate = frames / (time.monotonic() - started)
                    logged = run.log_training(rate)
                    left = run.time_left()
                    steps = f"{run.steps:,}/{run.length.total:,}"
                    bar.set_postfix({"step": steps, **logged, "left": left}, refresh=False)
                run.trained = run.batches >= batches or run.steps >= run.length.total
                run.mark()
                if rate_falls:
                    run.save(STABLE)
            bar.update()
            if last_of_step:
                if number := _asked_to_stop(stop):
                    run.check_finite(batch)
                    raise Stopped(number)
                if not run.trained and _due(saved, config.save_minutes):
                    run.check_finite(batch)
                    run.save("last.pt")
                    saved = time.monotonic()
    run.trained = True
    run.mark()


def _mean(value: float) -> float:
    """Of a number over the processes that train together."""
    values = distributed.gather_objects(value)
    return sum(values) / len(values)


def _due(since: float, minutes: float) -> bool:
    return distributed.any_process(time.monotonic() - since > 60 * minutes)


class _Run:
    """Everything that a checkpoint must hold for a run to continue exactly."""

    def __init__(
        self,
        config: LoopConfig,
        log: RunLog,
        describe: dict[str, Any],
        step: TrainingStep,
        model: nn.Module,
        average: AveragedModel | None,
        optimiser: Optimizer,
        schedule: LRScheduler,
        scaler: torch.amp.GradScaler,
        length: RunLength,
    ) -> None:
        self.config, self.log, self.describe, self.step = config, log, describe, step
        self.model, self.average = model, average
        self.optimiser, self.schedule, self.scaler = optimiser, schedule, scaler
        self.length = length
        self.wants_prolonging = False  # it ended at a limit that is higher now
        self.epoch = 0
        self.batches = 0  # of this epoch, consumed
        self.steps = 0
        self.trained = False  # this epoch; its validation may still be due
        self.carry: Any = None
        self.best: dict[str, float] = {}
        self.stale = 0  # validations since the best
        self.since = (0, time.monotonic())  # steps and time when this process began
        self._losses: dict[str, Tensor] = {}
        self._observed = 0
        # several processes save together, so none may break off a step alone
        self.alone = not distributed.is_distributed()
        self._buffers = [b for b in model.buffers() if b is not None]
        self._kept: list[Tensor] = []
        self._marked: dict[str, Any] = {}
        self._random: dict[str, Any] = {}

    def observe(self, losses: dict[str, Tensor]) -> None:
        for name, value in losses.items():
            self._losses[name] = self._losses.get(name, 0) + value.detach()
        self._observed += 1

    @staticmethod
    def count_frames(batch: Any) -> int:
        frames = getattr(batch, "frames", None)
        return frames.shape[0] * frames.shape[1] if frames is not None else 0

    def check_finite(self, batch: Any) -> None:
        bad = [n for n, v in self._losses.items() if not torch.isfinite(torch.as_tensor(v)).all()]
        if distributed.any_process(bool(bad)):
            videos = ", ".join(sorted(set(getattr(batch, "videos", [])))[:3]) or "this batch"
            last = self.log.folder / "last.pt"
            kept = f"{last} holds the last good state" if last.exists() else "nothing was saved yet"
            raise UserError(
                f"training stopped at step {self.steps}: the loss {bad or 'of another process'} "
                f"is not finite (last batch from {videos}); {kept}: lower loop.optimiser.lr or set "
                "loop.precision to fp32"
            )

    def log_training(self, rate: float) -> dict[str, str]:
        means = {n: float(v) / max(self._observed, 1) for n, v in self._losses.items()}
        self._losses, self._observed = {}, 0
        lr = max(group["lr"] for group in self.optimiser.param_groups)
        self.log.event(
            "train", self.steps, epoch=self.epoch, lr=lr, frames_per_second=round(rate, 1), **means
        )
        loss = sum(means.values())
        return {"loss": f"{loss:.3f}", "lr": f"{lr:.2e}", "frames/s": f"{rate:.0f}"}

    def time_left(self) -> str:
        """h:mm:ss at the speed of this process so far, validations included."""
        first, begun = self.since
        seconds = (time.monotonic() - begun) / max(self.steps - first, 1)
        return str(timedelta(seconds=round(seconds * (self.length.total - self.steps))))

    def mark(self) -> None:
        """Remember the present, which lies between two steps, to return to it from within a step.

        Weights and the optimiser need no copy: a step changes them only at its end, where nothing
        interrupts it.
        """
        if not self.alone:
            return
        if not self._kept:
            self._kept = [buffer.detach().clone() for buffer in self._buffers]
        else:
            torch._foreach_copy_(self._kept, self._buffers)
        self._marked = {
            "batches": self.batches,
            "carry": self.carry,
            "_losses": dict(self._losses),
            "_observed": self._observed,
        }
        self._random = random_state()

    def return_to_mark(self) -> None:
        """Undo what a step that was broken off has changed."""
        if not self._marked:
            return
        if self._kept:
            with torch.no_grad():
                torch._foreach_copy_(self._buffers, self._kept)
        for name, value in self._marked.items():
            setattr(self, name, value)
        restore_random_state(self._random)

    def goes_on(self) -> bool:
        """Something is left to do: an epoch, or the validation of one that was trained."""
        return self.trained or (
            self.epoch < self.config.epochs
            and self.steps < self.length.total
            and not self.out_of_patience()
        )

    def validate(self, validate: Validate | None, *, last: bool) -> dict[str, float] | None:
        """The metrics of the epoch that was just trained; None where it is not due."""
        epoch = self.epoch + 1
        due = last or epoch == self.config.epochs or epoch % self.config.validate_every == 0
        if validate is None or not due:
            return None
        evaluated = self.average.module if self.average is not None else self.model
        was_training = evaluated.training
        metrics = validate(evaluated.eval())
        evaluated.train(was_training)
        if self.config.metric not in metrics:
            raise UserError(
                f"loop.metric: expected one of {sorted(metrics)}, found {self.config.metric!r}"
            )
        return metrics

    def finish_epoch(self, metrics: dict[str, float] | None) -> None:
        """Begin the next epoch, with checkpoints of the one that is done."""
        self.epoch += 1
        self.batches = 0
        self.trained = False
        self.carry = None  # a sampler starts new streams with each epoch
        if metrics is not None:
            self.log.event("validation", self.steps, epoch=self.epoch, **metrics)
            score = metrics[self.config.metric]
            if not self.best or score > self.best[self.config.metric]:
                self.best, self.stale = metrics, 0
                self.save("best.pt", whole=False)
            else:
                self.stale += 1
        self.save("last.pt")

    def out_of_patience(self) -> bool:
        return self.config.patience is not None and self.stale >= self.config.patience

    def save(self, name: str, *, whole: bool = True) -> None:
        """`whole` adds what a resumed run needs; without it the file holds the weights to use
        (the running average where there is one). Every process must call this together.

        UserError for weights that are not finite: the file of the last good state is kept.
        """
        self._expect_finite_weights(name)
        processes: list[Any] = []
        if whole:
            packed = self.step.pack(self.carry)
            processes = distributed.gather_objects([packed, random_state()])
        if not self.log.enabled:
            return
        weights = self.average.module if self.average is not None else self.model
        content: dict[str, Any] = {**self.describe, "model": weights.state_dict()}
        content["progress"] = {
            "epoch": self.epoch,
            "batches": self.batches,
            "trained": self.trained,
            "steps": self.steps,
            "best": self.best,
            "stale": self.stale,
        }
        if whole:
            content["training"] = {
                "model": self.model.state_dict(),
                "average": self.average.state_dict() if self.average is not None else None,
                "optimiser": self.optimiser.state_dict(),
                "schedule": self.schedule.state_dict(),
                "scaler": self.scaler.state_dict(),
                "processes": processes,
                "losses": {n: torch.as_tensor(v) for n, v in self._losses.items()},
                "observed": self._observed,
                "length": self.length.state(),
            }
        save_checkpoint(self.log.folder / name, content)

    def _expect_finite_weights(self, name: str) -> None:
        weights = {"model": self.model.state_dict()}
        if self.average is not None:
            weights["average"] = self.average.state_dict()
        bad = next((n for n, tensor in tensors_in(weights) if not is_finite(tensor)), None)
        if distributed.any_process(bad is not None):
            path = self.log.folder / name
            kept = f"{path} holds the last good state" if path.exists() else "nothing was saved yet"
            raise UserError(
                f"training stopped at step {self.steps}: weights are not finite "
                f"({bad or 'in another process'}); {kept}: lower loop.optimiser.lr or set "
                "loop.precision to fp32"
            )

    def restore(self, path: Path, device: torch.device) -> None:
        content = load_checkpoint(path, str(device))
        if "training" not in content:
            raise UserError(f"{path}: holds weights only, nothing to resume; use last.pt")
        training, world = content["training"], distributed.world_size()
        if len(training["processes"]) != world:
            raise UserError(
                f"{path}: written by {len(training['processes'])} processes, resumed with {world}; "
                "resume with the same number (lanes and random states belong to processes)"
            )
        load_state(self.model, training["model"], f"{path}: written by another model")
        try:
            self._restore_rest(content["progress"], training)
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            raise UserError(
                f"{path}: its training state does not fit this run ({first_line(error)}); was it "
                "written with other settings?"
            ) from error
        self.log.rewind(self.steps, self.epoch)

    def _restore_rest(self, progress: dict[str, Any], training: dict[str, Any]) -> None:
        if self.average is not None:
            self.average.load_state_dict(training["average"])
        self.optimiser.load_state_dict(training["optimiser"])
        self.schedule.load_state_dict(training["schedule"])
        self.scaler.load_state_dict(training["scaler"])
        packed, random = training["processes"][distributed.rank()]
        self.carry = self.step.unpack(packed)
        restore_random_state(random)
        for name, value in progress.items():
            setattr(self, name, value)
        self._losses, self._observed = dict(training["losses"]), training["observed"]
        if isinstance(self.length, PlateauLength):
            self.wants_prolonging = self.length.prolongs(training["length"])
            self.length.restore(training["length"])
