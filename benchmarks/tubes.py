"""Time and memory of linking a crowded video into tubes.

    python benchmarks/tubes.py 60x100x10 60x200x10 60x500x10     # frames x boxes a frame x classes
    python benchmarks/tubes.py 2400x100x10 --seed 1

Half of the boxes are actors who walk through 720p, the other half lie anywhere; scores are cubes of
uniform numbers, so that weak boxes are the most. CPU seconds of this process, one thread; memory is
the peak above what the process held with the detections read. The digest of the tubes tells whether
two versions of the toolkit make the same ones.
"""

from __future__ import annotations

import argparse
import hashlib
import platform
import resource
import time

import numpy as np

from stadet.detect.detections.detection_set import VideoDetections
from stadet.detect.tubes.linking import link_video

SIZE = (720, 1280)


def crowded(frames: int, per_frame: int, classes: int, seed: int) -> VideoDetections:
    """A video of that many detections."""
    rng = np.random.default_rng(seed)
    actors = per_frame // 2
    corner = rng.uniform(0, 1, (actors, 2)) * [SIZE[1] - 150, SIZE[0] - 150]
    sides = rng.uniform(40, 160, (actors, 2))
    boxes = []
    for _ in range(frames):
        corner = corner + rng.normal(0, 4, (actors, 2))
        corner = np.clip(corner, 0, [SIZE[1] - 60, SIZE[0] - 60])
        boxes.append(np.concatenate([corner, corner + sides], 1) + rng.normal(0, 2, (actors, 4)))
        loose = rng.uniform(0, 1, (per_frame - actors, 2)) * [SIZE[1] - 60, SIZE[0] - 60]
        around = rng.uniform(40, 160, (per_frame - actors, 2))
        boxes.append(np.concatenate([loose, loose + around], 1))
    scores = rng.random((frames * per_frame, classes)) ** 3
    return VideoDetections(
        "crowd",
        np.repeat(np.arange(frames), per_frame),
        np.concatenate(boxes),
        np.full(len(scores), np.nan),
        np.where(scores < 0.01, 0, scores),
        np.array([[0, frames - 1]]),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sizes", nargs="+", help="frames x boxes x classes, e.g. 60x500x10")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    print(f"{platform.machine()}, numpy {np.__version__}, seed {args.seed}")
    for size in args.sizes:
        frames, per_frame, classes = map(int, size.split("x"))
        video = crowded(frames, per_frame, classes, args.seed)
        loaded = _peak_mebibytes()
        start = time.process_time()
        tubes = link_video(video)
        seconds = time.process_time() - start
        above = _peak_mebibytes() - loaded
        digest = hashlib.sha1()
        for tube in tubes:
            digest.update(np.array([tube.start, tube.label, tube.score]).tobytes())
            digest.update(tube.boxes.tobytes())
        print(
            f"{size:>14}: {seconds:7.1f} s, {above:6.0f} MiB above the detections "
            f"({above / frames:.2f} a frame), {len(tubes):,} tubes {digest.hexdigest()[:10]}",
            flush=True,
        )


def _peak_mebibytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
