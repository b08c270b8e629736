"""Decoding, random clips, encoding and rendering at 720p, on generated H.264 footage.

python benchmarks/video.py --seconds 20 --network 416 736

Every row is one process; pin it to a core (`taskset -c 0`) for figures of one core.
"""

from __future__ import annotations

import argparse
import platform
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from stadet.datasets.footage.cache import FrameCache, build_cache
from stadet.datasets.footage.video import Video, open_video
from stadet.datasets.footage.writer import VideoWriter
from stadet.detect.detections.writer import DetectionsWriter
from stadet.detect.structures import Detections
from stadet.tools.inference.render import render

SIZE = (720, 1280)
FPS = 30
NAMES = ("pick up", "put back", "wipe", "operating POS")
CLIP = 16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20, help="length of the footage")
    parser.add_argument("--network", type=int, nargs=2, default=(416, 736), metavar=("H", "W"))
    parser.add_argument("--clips", type=int, default=30, help="random clips to read")
    parser.add_argument("--boxes", type=int, default=6, help="boxes a frame to draw")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    rng = np.random.default_rng(args.seed)
    count = round(args.seconds * FPS)
    print(f"{platform.processor() or platform.machine()}, seed {args.seed}, {count} frames of 720p")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "a.mp4"
        with measured("encode H.264", count):
            write_footage(path, count, rng)
        with measured("index: the one decoding pass", count):
            video = open_video(path)
        with measured("sequential frames as RGB", count):
            for _ in video.frames():
                pass
        starts = rng.integers(0, count - CLIP, args.clips).tolist()
        clips(f"random clips of {CLIP}, seeking", starts, video_frames(video))
        for kind in ("jpeg", "raw"):
            with measured(f"fill the {kind} cache", count):
                cache = build_cache([video], folder / kind, tuple(args.network), kind=kind)
            clips(f"random clips of {CLIP}, {kind} cache", starts, cache_frames(cache))
            print(f"{'':36} {cache.bytes_on_disk / count / 1024:9.1f} KiB a frame")
        write_detections(folder / "a.jsonl", count, args.boxes, rng)
        with measured(f"render {args.boxes} boxes a frame", count):
            render(folder / "b.mp4", video=path, detections=[folder / "a.jsonl"])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{'peak resident memory':36} {peak:9.0f} MiB")


def write_footage(path: Path, count: int, rng: np.random.Generator) -> None:
    """A textured, noisy background with things that move."""
    coarse = rng.integers(40, 220, (45, 80, 3)).astype(np.uint8)
    ground = cv2.resize(coarse, SIZE[::-1], interpolation=cv2.INTER_CUBIC)
    grain = rng.integers(0, 8, (SIZE[0] + 64, SIZE[1] + 64, 3), dtype=np.uint8)
    with VideoWriter(path, SIZE, FPS) as writer:
        for index in range(count):
            y, x = rng.integers(0, 64, 2)
            image = cv2.add(ground, grain[y : y + SIZE[0], x : x + SIZE[1]])
            for thing in range(4):
                place = (index * (5 + thing) % SIZE[1], 150 + 130 * thing)
                cv2.circle(image, place, 40, (60 * thing, 255 - 60 * thing, 90), -1)
            writer.write(image)


def write_detections(path: Path, count: int, boxes: int, rng: np.random.Generator) -> None:
    with DetectionsWriter(path, NAMES, 0.0) as writer:
        for frame in range(count):
            corner = rng.uniform(0, 0.8, (boxes, 2)) * [SIZE[1], SIZE[0]]
            side = rng.uniform(40, 250, (boxes, 2))
            scores = rng.uniform(0, 1, (boxes, len(NAMES)))
            found = Detections(np.hstack([corner, corner + side]), np.ones(boxes), scores)
            writer.write("a", frame, found)
        writer.processed("a", 0, count - 1)


def video_frames(video: Video) -> Callable[[int], list[np.ndarray]]:
    return lambda start: [frame for _, frame in video.read(range(start, start + CLIP))]


def cache_frames(cache: FrameCache) -> Callable[[int], list[np.ndarray]]:
    return lambda start: [cache.read("a", index) for index in range(start, start + CLIP)]


def clips(what: str, starts: list[int], read: Callable[[int], list[np.ndarray]]) -> None:
    began = time.perf_counter()
    for start in starts:
        read(start)
    each = (time.perf_counter() - began) / len(starts)
    print(f"{what:36} {each * 1e3:9.1f} ms a clip")


@contextmanager
def measured(what: str, frames: int) -> Iterator[None]:
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(f"{what:36} {frames / wall:9.0f} frames a second ({frames / cpu:.0f} a CPU second)")


if __name__ == "__main__":
    main()
