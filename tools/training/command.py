"""Shared by the training verbs: their command line, and the beginning of a run's folder."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import torch

    from stadet.datasets.splits.split import Split
    from stadet.detect.yolo.weights_report import WeightsReport
    from stadet.engine.loop import FitResult
    from stadet.engine.runlog import RunLog

_log = logging.getLogger(__name__)

Config = TypeVar("Config")


def add_training_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "settings",
        nargs="*",
        help="a configuration file, or the name of one of the toolkit's (restaurant_yolov3), then "
        "key.path=value overrides",
    )
    add("--resume", metavar="RUN", help="continue a run folder exactly where it stopped")
    add("--print-config", action="store_true", help="print the resolved configuration and stop")


def configured(
    kind: type[Config],
    settings: Sequence[str],
    resume: str | None = None,
    load: Callable[[Path | None, Sequence[str]], Config] | None = None,
) -> Config:
    """The configuration that a command line's words resolve to.

    settings: a configuration file or name, if the first word has no "=", then overrides as
    key.path=value.
    resume: a run's folder, whose own configuration is taken; overrides may then change only what
    `stadet.tools.training.resume.MAY_CHANGE` names.
    load: makes the configuration of a file and overrides (default: `load_config`).
    UserError for another file or setting, and for a folder without anything to resume.
    """
    from stadet.configs import find_config
    from stadet.engine.config import load_config, to_dict
    from stadet.engine.errors import UserError
    from stadet.tools.training.resume import expect_same_settings

    file, overrides = split_settings(settings)
    if not resume:
        path = find_config(file) if file else None
        return load(path, overrides) if load else load_config(kind, path, overrides)
    if file:
        raise UserError("--resume takes the run's own configuration; give no other file")
    if not (Path(resume) / "last.pt").is_file():
        raise UserError(
            f"{resume}: expected last.pt to resume from, found none; start the run again "
            "from its configuration"
        )
    saved = Path(resume) / "config.yaml"
    config = load_config(kind, saved, overrides)
    expect_same_settings(to_dict(load_config(kind, saved)), to_dict(config), f"--resume {resume}")
    return replace(config, output=resume)  # the folder may have been moved


def split_settings(settings: Sequence[str]) -> tuple[str | None, list[str]]:
    """The configuration file, if the first word is one, and the overrides."""
    words = list(settings)
    file = words.pop(0) if words and "=" not in words[0] else None
    return file, words


def print_config(config: Any) -> None:
    """Print a resolved configuration as YAML, which is a configuration file again."""
    import yaml

    from stadet.engine.config import to_dict

    print(yaml.safe_dump(to_dict(config), sort_keys=False), end="")


@dataclass(frozen=True)
class TrainingResult:
    """Result of a training.

    Attributes:
        folder: the run's folder.
        steps: optimiser steps taken in all.
        scores: metrics of the best validation by name (empty without validation).
        stopped_by: the number of the signal that stopped it, when `last` holds everything to
            resume; None for a run that is done.
    """

    folder: Path
    steps: int
    scores: dict[str, float]
    stopped_by: int | None = None

    @property
    def interrupted(self) -> bool:
        """Stopped by Ctrl-C, SIGTERM or SIGHUP."""
        return self.stopped_by is not None

    @property
    def exit_status(self) -> int:
        """0, or the shell's status of a program that a signal ended."""
        from stadet.engine.stop import exit_status

        return 0 if self.stopped_by is None else exit_status(self.stopped_by)

    @property
    def best(self) -> Path:
        """The checkpoint to use."""
        return self.folder / "best.pt"

    @property
    def last(self) -> Path:
        """The checkpoint to resume from."""
        return self.folder / "last.pt"

    @property
    def report(self) -> Path:
        """The report of `best` on the validation side."""
        return self.folder / "report" / "report.html"


def expect_new(folder: Path, resume: bool) -> None:
    """UserError where a run would be written over."""
    from stadet.engine.errors import UserError

    if (folder / "last.pt").exists() and not resume:
        raise UserError(f"{folder} holds a run; continue it with --resume {folder}, or set output=")


@contextmanager
def run_folder(folder: Path, resume: bool) -> Iterator[None]:
    """Hold a run's folder alone for the time of a training; then torch's threads are as before.

    UserError where another training holds it, and where a run would be written over.
    """
    import torch

    from stadet.engine.distributed import is_main
    from stadet.engine.folder_lock import folder_lock

    expect_new(folder, resume)
    threads = torch.get_num_threads()
    with folder_lock(folder, "training in this folder") if is_main() else nullcontext():
        try:
            yield
        finally:
            torch.set_num_threads(threads)


def say_stopped(result: FitResult, resume: str) -> None:
    """Say where and why a training stopped, and how to continue it."""
    from stadet.engine.stop import words

    if result.stopped_by is not None:
        reason = words(result.stopped_by)
        say(f"stopped at step {result.steps} ({reason}); continue with: {resume}")


def leave_cores_to_loaders(device: torch.device, workers: int) -> None:
    """On a CPU: a thread that waits for a core that a loading process holds stops all threads.
    Never more threads than torch has already, e.g. by OMP_NUM_THREADS."""
    import os

    import torch

    if device.type == "cpu":
        left = (os.cpu_count() or 1) - workers
        torch.set_num_threads(max(1, min(torch.get_num_threads(), left)))


def write_start(
    config: Any, log: RunLog, split: Split, weights: Sequence[WeightsReport] = ()
) -> None:
    """The run's environment, what it starts from, and its resolved configuration."""
    import yaml

    from stadet.engine.config import to_dict
    from stadet.engine.files import atomic_write

    started = [str(report) for report in weights]
    log.write_environment(seed=config.seed, split=split.digest, starting_weights=started)
    if log.enabled:
        with atomic_write(log.folder / "config.yaml") as stream:
            yaml.safe_dump(to_dict(config), stream, sort_keys=False)


def say(text: str, *, warning: bool = False) -> None:
    """A line of the main process; warning: what a user should correct."""
    from stadet.engine.distributed import is_main

    if is_main():
        level = logging.WARNING if warning else logging.INFO
        _log.log(level, text, extra={"stdout": True})
