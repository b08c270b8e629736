"""Frames a second of generated footage on one core: painting alone, and painting plus H.264.

python benchmarks/footage.py --frames 300
"""

from __future__ import annotations

import argparse
import platform
import tempfile
import time
from pathlib import Path

import cv2

from stadet.datasets.footage.writer import VideoWriter
from stadet.datasets.restaurant import FootageConfig, Scene


def measure(config: FootageConfig, frames: int) -> tuple[float, float, float]:
    """Seconds before the first frame; frames a second (all views) painted, and also encoded."""
    start = time.perf_counter()
    scene = Scene(config)
    scene.frame("front", 0)
    ready = time.perf_counter() - start
    count = min(frames, len(scene))
    start = time.perf_counter()
    pictures = [
        picture
        for _, views in zip(range(count), scene.frames_of_views(), strict=False)
        for picture in views.values()
    ]
    painted = len(pictures) / (time.perf_counter() - start)
    start = time.perf_counter()
    with (
        tempfile.TemporaryDirectory() as folder,
        VideoWriter(Path(folder) / "a.mp4", config.size, config.fps) as writer,
    ):
        for picture in pictures:
            writer.write(picture)
    encoding = (time.perf_counter() - start) / len(pictures)
    return ready, painted, 1 / (1 / painted + encoding)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    print(f"{platform.processor() or platform.machine()}, seed {args.seed}, one thread")
    print(f"{'size':>10} {'views':>5} {'ready s':>8} {'painted/s':>10} {'with H.264':>10}")
    for size in ((64, 112), (128, 224), (288, 512), (416, 736), (720, 1280)):
        for views in (1, 2):
            config = FootageConfig(size=size, views=views, minutes=1, scenes=1, seed=args.seed)
            ready, painted, encoded = measure(config, args.frames)
            shape = f"{size[0]}x{size[1]}"
            print(f"{shape:>10} {views:>5} {ready:>8.2f} {painted:>10.0f} {encoded:>10.0f}")


if __name__ == "__main__":
    main()
