"""The state of a training run: what counts its steps, and what its checkpoints hold."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

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
from stadet.engine.loop_config import LoopConfig
from stadet.engine.run_length import PlateauLength, RunLength
from stadet.engine.runlog import RunLog
from stadet.engine.torch_file import first_line, is_finite, tensors_in
from stadet.engine.training_step import TrainingStep

Validate = Callable[[nn.Module], dict[str, float]]


class RunState:
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
