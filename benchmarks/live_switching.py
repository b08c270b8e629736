"""How long a live classifier takes to notice that another action has begun.

    python benchmarks/live_switching.py --out runs/switching
    python benchmarks/live_switching.py --out runs/switching --windows 0.8 1.5 --strides 0.25

Films performances of four generated actions, trains a compact classifier on some of them, and joins
others (which it has not seen) to one video in which the action changes every few seconds. `stad
live` plays that video as a camera would. The delay of a switch is the time from the first frame of
the new action to the picture that shows its name: of the stream up to the answer that tells it, and
from that frame's capture to its picture. A switch is missed where the name does not come before the
next switch. False: other names that were told.

Prints a row for each window and stride, and writes a picture of the stream.
"""

from __future__ import annotations

import argparse
import itertools
import platform
import time
from pathlib import Path

import cv2
import numpy as np
import torch

from stadet.datasets.footage.writer import VideoWriter
from stadet.datasets.labelled.reversals import PAIRS, film
from stadet.datasets.restaurant.classes import ActionClass
from stadet.engine.progress import progress
from stadet.tools.cli import main as stad
from stadet.tools.streams.live import run_live
from stadet.tools.streams.sessions import session_maker

SIZE, FPS = (64, 96), 25  # frame folders are shown at 25 frames a second
ACTIONS = [PAIRS[n] for n in (0, 3, 7, 9)]
TRAIN, VAL, LIVE = 10, 3, 4  # performances of each action
SETTINGS = (
    *("model.name=compact", "input.size=[48, 72]", "input.workers=0", "input.batch=8"),
    *("sampling.frames=6", "loop.epochs=12", "loop.optimiser.lr=0.003", "loop.precision=fp32"),
)


def perform(action: ActionClass, seed: int, numbers: range) -> list[np.ndarray]:
    """Frames of performances one after another."""
    return [image for number in numbers for image in film(action, SIZE, seed, number)]


def write_data(folder: Path, seed: int) -> Path:
    """Frame folders of a second each, cut anywhere, as a live classifier sees them."""
    rng = np.random.default_rng(seed)
    sides = {"train": (range(TRAIN), 32), "val": (range(TRAIN, TRAIN + VAL), 8)}
    jobs = [(action, side) for action in ACTIONS for side in sides]
    for action, side in progress(jobs, description="filming", unit="class"):
        numbers, cuts = sides[side]
        images = perform(action, seed, numbers)
        for cut in range(cuts):
            place = folder / side / action.name / f"{cut:03d}"
            place.mkdir(parents=True)
            start = int(rng.integers(len(images) - FPS + 1))
            for index, image in enumerate(images[start : start + FPS]):
                cv2.imwrite(str(place / f"{index:05d}.png"), image[..., ::-1])
    return folder


def write_stream(path: Path, seed: int, segments: int, seconds: float) -> list[tuple[float, str]]:
    """A video whose action changes; [(second, action)] of the changes."""
    rng = np.random.default_rng(seed)
    seen = {
        action.name: perform(action, seed, range(500, 500 + LIVE))
        for action in progress(ACTIONS, description="filming the stream", unit="action")
    }
    switches, last, count = [], "", 0
    with VideoWriter(path, SIZE, FPS) as writer:
        for _ in range(segments):
            last = str(rng.choice([name for name in seen if name != last]))
            switches.append((count / FPS, last))
            wanted = count + round(FPS * seconds * rng.uniform(0.8, 1.2))
            shown = itertools.cycle(seen[last])
            for image in itertools.islice(shown, int(rng.integers(100)), None):
                if count == wanted:
                    break
                writer.write(image)
                count += 1
    return switches


def delays(
    video: Path, switches: list[tuple[float, str]], checkpoint: Path, window: float, stride: float
) -> tuple[list[float | None], int, np.ndarray, np.ndarray]:
    """Delay of each switch (None: missed), false names, latencies, a picture."""
    told: list[tuple[float, str]] = []  # when the picture with a new name was there
    latencies: list[float] = []
    picture: list[np.ndarray] = []

    def answered(_: str, frame, answer) -> None:
        latencies.append(time.monotonic() - frame.captured)
        for what, _, values in answer.events:
            if what == "began":
                told.append((frame.seconds + latencies[-1], values["class"]))
        if answer.happening:
            picture[:] = [answer.image]

    make = session_maker(checkpoint, device="cpu", window_seconds=window, stride_seconds=stride)
    run_live([str(video)], make, realtime=True, on_answer=answered)
    found: list[float | None] = []
    false = 0
    ends = [start for start, _ in switches[1:]] + [float("inf")]
    for (start, name), end in zip(switches, ends, strict=True):
        within = [(when, word) for when, word in told if start <= when < end]
        right = [when for when, word in within if word == name]
        false += sum(word != name for _, word in within)
        found.append(right[0] - start if right else None)
    return found, false, np.array(latencies), picture[0] if picture else np.zeros((1, 1, 3))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--segments", type=int, default=25)
    parser.add_argument("--seconds", type=float, default=4.0, help="mean length of a segment")
    parser.add_argument("--windows", type=float, nargs="+", default=[1.0])
    parser.add_argument("--strides", type=float, nargs="+", default=[0.2, 0.5])
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    checkpoint, video = args.out / "run" / "best.pt", args.out / "stream.mp4"
    if not checkpoint.exists():
        data = write_data(args.out / "data", args.seed)
        code = stad(
            ["train-classifier", *SETTINGS, f"data.root={data}", f"output={args.out / 'run'}"]
        )
        if code:
            raise SystemExit(code)
    switches = write_stream(video, args.seed, args.segments, args.seconds)
    print(f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    print(
        f"{'window':>8}{'stride':>8}{'found':>10}{'median s':>10}{'95 % s':>8}{'false':>7}", end=""
    )
    print(f"{'latency ms (median, 95 %)':>28}")
    for window in args.windows:
        for stride in args.strides:
            found, false, latencies, picture = delays(video, switches, checkpoint, window, stride)
            seconds = [delay for delay in found if delay is not None]
            p50, p95 = np.percentile(seconds, [50, 95]) if seconds else (np.nan, np.nan)
            slow = 1000 * np.percentile(latencies, [50, 95])
            print(
                f"{window:8.2f}{stride:8.2f}{len(seconds):>6}/{len(found)}{p50:10.2f}{p95:8.2f}"
                f"{false:7d}{slow[0]:20.0f}{slow[1]:8.0f}",
                flush=True,
            )
    cv2.imwrite(str(args.out / "picture.png"), picture[..., ::-1])


if __name__ == "__main__":
    main()
