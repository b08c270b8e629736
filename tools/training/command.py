"""What the training verbs share: their command line, and the beginning of a run's folder."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from stadet.datasets.splits.split import Split
    from stadet.engine.runlog import RunLog


def add_training_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("settings", nargs="*", help="a configuration file, then key.path=value overrides")
    add("--resume", metavar="RUN", help="continue a run folder exactly where it stopped")
    add("--print-config", action="store_true", help="print the resolved configuration and stop")


def run_training(
    args: argparse.Namespace,
    config_class: type,
    train: Callable[..., bool],
    further: Sequence[str] = (),
) -> int:
    """Resolve the configuration and call `train(config, device, resume=..)`; the exit status.

    further: overrides after the user's. `train` returns True where the user stopped it. UserError
    for settings beside --resume, and for a folder without anything to resume.
    """
    from stadet.engine.config import load_config, to_dict
    from stadet.engine.distributed import process_group
    from stadet.engine.errors import UserError

    settings = list(args.settings)
    file = settings.pop(0) if settings and "=" not in settings[0] else None
    if args.resume:
        if file or settings:
            raise UserError("--resume takes the run's own configuration; give no other settings")
        if not (Path(args.resume) / "last.pt").is_file():
            raise UserError(
                f"{args.resume}: expected last.pt to resume from, found none; start the run again "
                "from its configuration"
            )
        file = str(Path(args.resume) / "config.yaml")
    config = load_config(config_class, file, [*settings, *further])
    if args.resume:  # the folder may have been moved
        config = replace(config, output=args.resume)
    if args.print_config:
        import yaml

        print(yaml.safe_dump(to_dict(config), sort_keys=False), end="")
        return 0
    with process_group() as device:
        interrupted = train(config, device, resume=bool(args.resume))
    return 130 if interrupted else 0


def expect_new(folder: Path, resume: bool) -> None:
    """UserError where a run would be written over."""
    from stadet.engine.errors import UserError

    if (folder / "last.pt").exists() and not resume:
        raise UserError(f"{folder} holds a run; continue it with --resume {folder}, or set output=")


def leave_cores_to_loaders(device: torch.device, workers: int) -> None:
    """On a CPU: a thread that waits for a core that a loading process holds stops all threads.
    Never more threads than torch has already, e.g. by OMP_NUM_THREADS."""
    import os

    import torch

    if device.type == "cpu":
        left = (os.cpu_count() or 1) - workers
        torch.set_num_threads(max(1, min(torch.get_num_threads(), left)))


def write_start(config: Any, log: RunLog, split: Split) -> None:
    """The run's environment and its resolved configuration."""
    import yaml

    from stadet.engine.config import to_dict
    from stadet.engine.files import atomic_write

    log.write_environment(seed=config.seed, split=split.digest)
    if log.enabled:
        with atomic_write(log.folder / "config.yaml") as stream:
            yaml.safe_dump(to_dict(config), stream, sort_keys=False)


def say(text: str) -> None:
    """A line of the main process."""
    from stadet.engine.distributed import is_main

    if is_main():
        print(text, flush=True)
