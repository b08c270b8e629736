"""The one training loop of the toolkit. It knows neither the model nor the batch.

A model meets it through a `TrainingStep`.
"""

from __future__ import annotations

import logging
import math
import signal
import time
import traceback
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from stadet.engine import distributed
from stadet.engine.compiling import compile_errors_told, compiled
from stadet.engine.exact_convolutions import training_autocast
from stadet.engine.loop_config import LoopConfig
from stadet.engine.optimise import (
    build_optimiser,
    channels_last,
    running_average,
    set_batch_norm,
)
from stadet.engine.precision import HALF, choose_precision
from stadet.engine.progress import progress_bar
from stadet.engine.run_length import PlateauLength, RunLength
from stadet.engine.run_state import RunState, Validate
from stadet.engine.runlog import RunLog
from stadet.engine.stop import Stopped, StopRequest, stop_requests
from stadet.engine.training_step import EpochSampler, TrainingStep

_log = logging.getLogger(__name__)

STABLE = "stable.pt"  # of a run until a plateau: before its learning rate falls


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
    run = RunState(config, log, describe, step, model, average, optimiser, schedule, scaler, length)
    if resume:
        run.restore(log.folder / "last.pt", device)
        if run.wants_prolonging:
            best = run.best
            run.restore(log.folder / STABLE, device)
            run.best = best
    run.since = (run.steps, time.monotonic())
    wrapped = distributed.wrap(model, device)
    if config.compile:
        wrapped = compiled(wrapped)
    telling = compile_errors_told() if config.compile else nullcontext()

    if run.batches:  # of a checkpoint that was written after the epoch's last batch
        run.trained |= run.batches >= len(sampler) or run.steps >= length.total
    with telling, stop_requests(_tell_stop) as stop:
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
        _log.info("asked to stop: saving last.pt first (Ctrl-C again ends at once)")


def _asked_to_stop(stop: StopRequest) -> int | None:
    """The signal by which this process, or else another one, was asked to stop."""
    if not distributed.any_process(stop.is_set()):
        return None
    return stop.number or signal.SIGTERM


def _train_epoch(
    run: RunState,
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
