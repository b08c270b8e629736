"""Size, writing and reading of a detections file, plain and compressed.

    OMP_NUM_THREADS=1 python benchmarks/detections_files.py

--frames frames of 0 to 20 boxes of 10 classes, a range row every 16, as `stad predict` writes.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from stadet.detect.detections.reader import read_detections
from stadet.detect.detections.writer import DetectionsWriter
from stadet.detect.structures import Detections

NAMES = tuple(f"class {n}" for n in range(10))


def drawn_frames(count: int) -> list[Detections]:
    random = np.random.default_rng(0)
    frames = []
    for boxes in random.integers(0, 21, count):
        corners = random.uniform(0, 900, (boxes, 2))
        scores = random.random((boxes, len(NAMES))) ** 6  # most of them low, as detectors' are
        boxes_xyxy = np.hstack([corners, corners + random.uniform(10, 200, (boxes, 2))])
        frames.append(Detections(boxes_xyxy, random.random(boxes), scores.astype(np.float32)))
    return frames


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--frames", type=int, default=4000)
    args = parser.parse_args()
    frames = drawn_frames(args.frames)
    print(f"{'file':12s} {'bytes/frame':>12s} {'write ms/frame':>15s} {'read ms/frame':>14s}")
    with tempfile.TemporaryDirectory() as folder:
        for suffix in ("", ".gz", ".zst"):
            path = Path(folder) / f"found.jsonl{suffix}"
            started = time.process_time()
            with DetectionsWriter(path, NAMES, 0.005) as writer:
                for frame, found in enumerate(frames):
                    writer.write("video", frame, found)
                    if frame % 16 == 15:
                        writer.processed("video", frame - 15, frame, fps=25)
            written = time.process_time() - started
            started = time.process_time()
            read_detections(path)
            taken = time.process_time() - started
            size = path.stat().st_size / len(frames)
            times = [f"{1e3 * t / len(frames):.3f}" for t in (written, taken)]
            print(f"{path.name[5:]:12s} {size:12,.0f} {times[0]:>15s} {times[1]:>14s}")


if __name__ == "__main__":
    main()
