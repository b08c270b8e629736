"""CPU time of random clips of a video file: the decoder kept between them, and a new one for each.

    OMP_NUM_THREADS=1 python benchmarks/random_clips.py --size 720 1280
    OMP_NUM_THREADS=1 python benchmarks/random_clips.py --video FILE

240 generated frames of H.264 as in benchmarks/video.py, or a file; the two ways take turns, the
median turn of each is printed.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from stadet.datasets.footage.video import open_video
from stadet.datasets.footage.writer import VideoWriter


def write_footage(path: Path, size: tuple[int, int], count: int, rng: np.random.Generator) -> None:
    """A textured background behind a moving disc."""
    coarse = rng.integers(40, 220, (45, 80, 3)).astype(np.uint8)
    ground = cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC)
    with VideoWriter(path, size, 30) as writer:
        for index in range(count):
            grain = rng.integers(0, 8, ground.shape, dtype=np.uint8)
            image = cv2.add(ground, grain)
            cv2.circle(image, (index * 7 % size[1], size[0] // 2), size[0] // 16, (0, 255, 90), -1)
            writer.write(image)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--video", type=Path)
    parser.add_argument("--size", type=int, nargs=2, default=(720, 1280), metavar=("H", "W"))
    parser.add_argument("--clip", type=int, nargs="+", default=[1, 16], help="frames of a clip")
    parser.add_argument("--clips", type=int, default=30)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    rng = np.random.default_rng(args.seed)
    with tempfile.TemporaryDirectory() as name:
        path = args.video or Path(name) / "a.mp4"
        if args.video is None:
            write_footage(path, tuple(args.size), 240, rng)
        video = open_video(path, index_dir=name)
        print(video)
        for length in args.clip:
            starts = rng.integers(0, len(video) - length, args.clips).tolist()
            taken: dict[bool, list[float]] = {False: [], True: []}
            for turn in range(args.turns * 2):
                kept = bool(turn % 2)
                video.close()
                began = time.process_time()
                for start in starts:
                    for _ in video.read(range(start, start + length)):
                        pass
                    if not kept:
                        video.close()
                taken[kept].append(time.process_time() - began)
            new, old = (float(np.median(taken[k])) / args.clips * 1e3 for k in (False, True))
            print(f"clips of {length:2}: new decoder {new:6.1f} ms, kept {old:6.1f} ms ", end="")
            print(f"({old / new:.2f})", flush=True)


if __name__ == "__main__":
    main()
