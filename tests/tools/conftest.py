"""Footage and a run that several files of this folder look at; made once."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from stadet.datasets.restaurant import FootageConfig
from stadet.datasets.restaurant.files import write_footage
from stadet.tools.cli import main

TINY = [
    "data.size=[64, 96]",
    "data.resize=stretch",
    "data.batch=8",
    "data.workers=0",
    "yolo.width=0.0625",
    "yolo.depth=0.1",
    "recurrent.memory.hidden=4",
    "recurrent.sampler.lanes=2",
    "recurrent.sampler.window=4",
    "yowo.backbone=resnet18",
    "yowo.width=0.125",
    "yowo.clip_length=8",
    "yowo.clip_step=2",
    "yowo.reverse=0.5",
    "loop.max_steps=3",
    "loop.log_every=1",
    "inference.score_floor=1e-5",
    "inference.max_detections=20",
]


@dataclass(frozen=True)
class Footage:
    """Two scenes of 12 s in two views, 64x112, 10 frames a second."""

    dataset: Path

    @property
    def videos(self) -> Path:
        return self.dataset.parent / "videos"

    @property
    def video(self) -> Path:
        return self.videos / "counter00_front.mp4"

    def settings(self, output: Path, *more: str) -> list[str]:
        """Arguments of `stad train` for the tiniest of runs."""
        return [*TINY, f"data.dataset={self.dataset}", f"output={output}", *more]

    def train(self, output: Path, *more: str) -> int:
        """Exit code of `stad train`, in this process."""
        return main(["train", *self.settings(output, *more)])


@pytest.fixture(scope="session")
def footage(tmp_path_factory) -> Footage:
    folder = tmp_path_factory.mktemp("footage")
    config = FootageConfig(minutes=0.4, scenes=2, size=(64, 112), fps=10, hand_scale=2.2)
    return Footage(write_footage(folder, config, workers=1))


@pytest.fixture(scope="session")
def trained(footage, tmp_path_factory) -> Path:
    """The folder of a finished run of a frame detector."""
    folder = tmp_path_factory.mktemp("runs") / "yolo"
    assert footage.train(folder) == 0
    return folder


@pytest.fixture(scope="session")
def start_stad():
    """Start a verb in a process of its own; what still runs at the end is killed."""
    started: list[subprocess.Popen] = []

    def start(*arguments, stdin=None) -> subprocess.Popen:
        process = subprocess.Popen(
            [sys.executable, "-m", "stadet.tools.cli", *map(str, arguments)],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")},
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()
