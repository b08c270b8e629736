"""Three short videos and an untrained detector, for workers in this process and others."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from stadet.datasets.footage.writer import VideoWriter
from tests.tools.small_checkpoints import save_small_checkpoint

LENGTHS = {"a": 20, "b": 33, "in/c": 17}


@dataclass(frozen=True)
class Fleet:
    videos: Path
    checkpoint: Path


@pytest.fixture(scope="session")
def fleet(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fleet")
    rng = np.random.default_rng(0)
    for name, length in LENGTHS.items():
        path = folder / "videos" / f"{name}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        with VideoWriter(path, (48, 64), 10) as writer:
            for _ in range(length):
                writer.write(rng.integers(0, 256, (48, 64, 3), dtype=np.uint8))
    return Fleet(folder / "videos", save_small_checkpoint(folder / "best.pt", "yolo"))
