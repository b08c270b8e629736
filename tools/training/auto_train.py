"""From a data set file to a frame detector, its successor with memory, and their comparison."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import yaml

from stadet.configs import find_config
from stadet.datasets.dataset import load_dataset
from stadet.engine.config import to_dict
from stadet.engine.files import atomic_write
from stadet.tools.compare import compare
from stadet.tools.training.auto import Chosen, choose_settings
from stadet.tools.training.command import TrainingResult
from stadet.tools.training.config import TrainConfig
from stadet.tools.training.inherit import load_train_config
from stadet.tools.training.train import train

_log = logging.getLogger(__name__)

MODELS = ("frame", "recurrent")


@dataclass(frozen=True)
class AutoResult:
    """Result of `train_auto`.

    Attributes:
        runs: the trainings that were done, by model; a run that was stopped is the last.
        comparison: page of both side by side; None where a run was stopped.
    """

    runs: dict[str, TrainingResult]
    comparison: Path | None

    @property
    def exit_status(self) -> int:
        """0, or the shell's status of a program that a signal ended."""
        return next((run.exit_status for run in self.runs.values() if run.exit_status), 0)


def train_auto(data: str | Path, out: str | Path, overrides: Sequence[str] = ()) -> AutoResult:
    """Train a frame detector and, from its weights, one with memory, as the data asks for.

    Leaves `frame.yaml` and `recurrent.yaml` (the settings), the run folders `frame/` and
    `recurrent/` and `comparison/` (on the validation side) in `out`. Called again after it was
    stopped, it continues.

    Args:
        data: data set file.
        out: folder.
        overrides: settings of both trainings ("key.path=value"), which win over what is chosen.

    Raises:
        UserError: for a data set that cannot be trained on, and for unknown settings.
    """
    out = Path(out)
    dataset = load_dataset(data)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    chosen = choose_settings(
        dataset.side("train"),
        reverses=dataset.reverses,
        flip_labels=dataset.flip_labels,
        device=device,
    )
    _log.info(explain(chosen))
    runs: dict[str, TrainingResult] = {}
    for name in MODELS:
        runs[name] = _train(name, Path(data), out, chosen, overrides)
        if runs[name].interrupted:
            _log.info(f"continue with: stad train --auto {data} output={out}")
            return AutoResult(runs, None)
    page = out / "comparison" / "compare.html"
    if not page.exists():
        page = compare([run.folder for run in runs.values()], out=page.parent).page
    _log.info(page.with_name("compare.md").read_text(encoding="utf-8").strip())
    _log.info(f"side by side: {page}")
    return AutoResult(runs, page)


def explain(chosen: Sequence[Chosen]) -> str:
    """A line for each choice."""
    return "\n".join(f"chosen: {choice.override()}  ({choice.why})" for choice in chosen)


def _train(
    name: str, data: Path, out: Path, chosen: Sequence[Chosen], overrides: Sequence[str]
) -> TrainingResult:
    folder = out / name
    config = _config(name, data, out, chosen, overrides)
    if (folder / "report" / "report.html").exists():
        _log.info(f"{folder}: trained before")
        return TrainingResult(folder, 0, {})
    file = out / f"{name}.yaml"
    with atomic_write(file) as stream:
        yaml.safe_dump(to_dict(config), stream, sort_keys=False)
    resume = (folder / "last.pt").exists()
    _log.info(f"\n$ stad train {f'--resume {folder}' if resume else file}")
    return train(config, resume=resume)


def _config(
    name: str, data: Path, out: Path, chosen: Sequence[Chosen], overrides: Sequence[str]
) -> TrainConfig:
    """The recurrent detector takes size, network and anchors from its frame detector's file."""
    inherits = ("data.size", "data.resize", "yolo.")
    mine = [
        choice.override()
        for choice in chosen
        if choice.model in ("", name)
        and not (name == "recurrent" and choice.key.startswith(inherits))
    ]
    if name == "recurrent":
        mine.append(f"yolo.weights={out / 'frame' / 'best.pt'}")
    common = [f"data.dataset={data}", f"output={out / name}"]
    return load_train_config(find_config(f"auto_{name}"), [*common, *mine, *overrides])
