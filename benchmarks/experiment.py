"""What the experiments on generated footage share: filming, and training once."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]


def stad(*arguments: str | Path, log: Path) -> None:
    with open(log, "a") as stream:
        subprocess.run(
            [sys.executable, "-m", "tools.cli", *map(str, arguments)],
            cwd=ROOT, stdout=stream, stderr=subprocess.STDOUT, check=True,
        )  # fmt: skip


def film(out: Path, name: str, arguments: list[str], log: Path) -> Path:
    folder = out / name
    if not (folder / "restaurant.json").exists():
        stad("make-footage", "--out", folder, "--overwrite", *arguments, log=log)
    return folder


def split_by_scene(folder: Path, val: float) -> None:
    """Whole scenes on one side, both views together."""
    path = folder / "dataset.yaml"
    content = yaml.safe_load(path.read_text())
    content["split"] = {"method": "videos", "val": val, "seed": 0}
    path.write_text(yaml.safe_dump(content, sort_keys=False))


def train(config: Path, run: Path, seed: int, footage: Path, overrides: list[str]) -> int:
    """Seconds that it took, 0 where it was done before."""
    run.parent.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    if (run / "report" / "metrics.json").exists():
        return 0
    common = [f"output={run}", f"seed={seed}", f"data.dataset={footage / 'dataset.yaml'}"]
    stad("train", config, *overrides, *common, log=run.with_suffix(".log"))
    return round(time.monotonic() - started)
