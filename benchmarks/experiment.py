"""Shared by the experiments on generated footage: filming, and training once."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]


def stad(*arguments: str | Path, log: Path) -> None:
    """Run a verb, its output into `log`; SystemExit with its last line where it fails."""
    with open(log, "a") as stream:
        done = subprocess.run(
            [sys.executable, "-m", "stadet.tools.cli", *map(str, arguments)],
            stdout=stream,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode:
        last = log.read_text().strip().splitlines()[-1:]
        raise SystemExit(f"stad {arguments[0]} failed, see {log}: {''.join(last)}")


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
    """Seconds that it took, now or when it was done."""
    run.parent.mkdir(parents=True, exist_ok=True)
    record = run.with_suffix(".seconds")
    if record.exists():
        return int(record.read_text())
    started = time.monotonic()
    common = [f"output={run}", f"seed={seed}", f"data.dataset={footage / 'dataset.yaml'}"]
    stad("train", config, *overrides, *common, log=run.with_suffix(".log"))
    seconds = round(time.monotonic() - started)
    record.write_text(str(seconds))
    return seconds
