"""`stad train` ended at random moments: the resumed run must equal the uninterrupted one.

  python benchmarks/kills.py --kills 20

A tiny detector on generated footage, loading processes and frame cache included, a checkpoint after
every step. Each run has a new cache and is ended once, at a random moment while it starts, fills
the cache, trains, validates or saves: by SIGKILL, by SIGTERM or SIGHUP to the process group, or by
SIGINT (Ctrl-C). Where it left last.pt it is resumed, otherwise started again. Exits with 1 where
weights differ by a bit, a request to stop is not answered with its exit status, or files or
processes are left behind.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from stadet.engine.checkpoint import load_checkpoint
from stadet.engine.files import TEMPORARY
from stadet.engine.runlog import read_events

KINDS = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
STATUS = {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGHUP: 129, signal.SIGINT: 130}
SETTINGS = [
    *("data.size=[64, 96]", "data.resize=stretch", "data.batch=4", "data.workers=1"),
    *("yolo.width=0.0625", "yolo.depth=0.01", "yolo.num_anchors=6", "yolo.strides=[8, 16]"),
    *("loop.max_steps=16", "loop.validate_every=1", "loop.log_every=1", "loop.save_minutes=0"),
    *("loop.ema_decay=0.9", "inference.score_floor=0.02", "inference.max_detections=20"),
]


def start(arguments: list[str]) -> subprocess.Popen:
    """`stad train ARGUMENTS` as the head of a process group."""
    return subprocess.Popen(
        [sys.executable, "-m", "stadet.tools.cli", "train", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def settings(dataset: Path, run: Path, cache: Path) -> list[str]:
    return [*SETTINGS, f"data.dataset={dataset}", f"output={run}", f"data.cache={cache}"]


def group_is_empty(group: int, seconds: float = 15.0) -> bool:
    """No process of the group lives on: loading processes end by themselves."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.2)
    return False


def await_moment(
    process: subprocess.Popen, delay: float, run: Path | None = None, step: int = 0
) -> str:
    """Wait `delay` seconds, from when `step` was logged in `run`; the moment in words."""
    begun, words = time.monotonic(), ""
    while run is not None and process.poll() is None:
        steps = [event["step"] for event in read_events(run / "metrics.jsonl", "train")]
        if steps and steps[-1] >= step:
            words = f"{delay:.2f} s after step {steps[-1]}"
            break
        time.sleep(0.01)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(delay)
    return words or f"at {time.monotonic() - begun:.1f} s"


def differing(run: Path, whole: Path) -> list[str]:
    """The tensors of last.pt and best.pt that are not equal bit for bit."""
    found = []
    for name in ("last.pt", "best.pt"):
        ours, theirs = (load_checkpoint(folder / name)["model"] for folder in (run, whole))
        found += [f"{name}: {k}" for k in theirs if not torch.equal(ours[k], theirs[k])]
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    from stadet.datasets.restaurant import FootageConfig
    from stadet.datasets.restaurant.files import write_footage

    draw, failures = random.Random(args.seed), []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        footage = FootageConfig(minutes=0.4, scenes=2, size=(64, 112), fps=10, hand_scale=2.2)
        dataset = write_footage(folder / "footage", footage, workers=1)
        began = time.monotonic()
        process = start(settings(dataset, folder / "whole", folder / "whole_cache"))
        out, _ = process.communicate()
        length = time.monotonic() - began
        assert process.returncode == 0, out
        print(f"uninterrupted: {length:.1f} s", flush=True)
        for number in range(args.kills):
            kind, run = KINDS[number % len(KINDS)], folder / f"run{number}"
            given = settings(dataset, run, folder / f"cache{number}")
            process = start(given)
            if draw.random() < 0.4:  # starting, indexing and caching
                moment = await_moment(process, draw.uniform(0.1, 0.6) * length)
            else:  # training, saving, validating, up to the report
                moment = await_moment(process, draw.uniform(0.0, 1.0), run, draw.randrange(1, 17))
            ended, asked = process.poll() is not None, time.monotonic()
            if not ended and kind == signal.SIGKILL:
                process.kill()
            elif not ended:
                os.killpg(process.pid, kind)
            out, _ = process.communicate()
            seconds, steps = time.monotonic() - asked, "nothing"
            problems = []
            if not ended and process.returncode not in (STATUS[kind], 0):
                problems.append(f"status {process.returncode}: {out[-300:]}")
            if "Traceback" in out or "memory ran out" in out:
                problems.append(f"said: {out[-300:]}")
            if not group_is_empty(process.pid):
                problems.append("processes live on")
                os.killpg(process.pid, signal.SIGKILL)
            resumable = (run / "last.pt").exists()
            if resumable:
                progress = load_checkpoint(run / "last.pt")["progress"]
                steps = f"last.pt of step {progress['steps']}"
            process = start(["--resume", str(run)] if resumable else given)
            out, _ = process.communicate()
            if process.returncode:
                problems.append(f"resumed: status {process.returncode}: {out[-300:]}")
            else:
                problems += differing(run, folder / "whole")
            left = [p.name for p in folder.rglob(f".*{TEMPORARY}*")]
            problems += [f"left: {', '.join(left)}"] if left else []
            failures += problems
            what = f"{signal.Signals(kind).name} {'after its end' if ended else moment}"
            print(
                f"{number}: {what}, {seconds:.1f} s to end, {steps}: "
                f"{'; '.join(problems) or 'equal'}",
                flush=True,
            )
    print(f"{args.kills} ends, {len(failures)} problems")
    return int(bool(failures))


if __name__ == "__main__":
    sys.exit(main())
