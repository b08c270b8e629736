"""Size, writing, reading and evaluation of a detections file in every form.

    OMP_NUM_THREADS=1 python benchmarks/detections_files.py

--frames frames of 0 to 20 boxes of 10 classes, a range row every 16, as `stad predict` writes; half
of the boxes are truth, of their strongest class. Reading: the median of 5, after pyarrow is
imported. Evaluation: `stad evaluate --bootstrap 0 --gallery 0` as a process of its own, the median
of --repeats in turns; its figures must be equal. All times are CPU time.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from stadet.datasets.formats.coco_video import write_coco_video
from stadet.detect.detections.reader import read_detections
from stadet.detect.detections.writer import DetectionsWriter
from stadet.detect.structures import AnnotationSet, Detections, VideoAnnotations

NAMES = tuple(f"class {n}" for n in range(10))
FORMS = (".jsonl", ".jsonl.gz", ".jsonl.zst", ".parquet")
SIZE = (1200, 1200)


def drawn_frames(count: int) -> list[Detections]:
    random = np.random.default_rng(0)
    frames = []
    for boxes in random.integers(0, 21, count):
        corners = random.uniform(0, 900, (boxes, 2))
        scores = random.random((boxes, len(NAMES))) ** 6  # most of them low, as detectors' are
        boxes_xyxy = np.hstack([corners, corners + random.uniform(10, 200, (boxes, 2))])
        frames.append(Detections(boxes_xyxy, random.random(boxes), scores.astype(np.float32)))
    return frames


def truth_of(frames: list[Detections]) -> AnnotationSet:
    """Every other box, a little off."""
    random = np.random.default_rng(1)
    kept = [found.boxes[::2] for found in frames]
    boxes = np.concatenate(kept) + random.uniform(-5, 5, (sum(map(len, kept)), 4))
    labels = np.concatenate([np.eye(len(NAMES))[found.top_class[::2]] for found in frames])
    numbers = np.repeat(np.arange(len(frames)), [len(part) for part in kept])
    looked_at = np.ones(len(frames), dtype=bool)
    video = VideoAnnotations.build("video", SIZE, 25, looked_at, numbers, boxes, labels)
    return AnnotationSet(NAMES, {"video": video})


def write(path: Path, frames: list[Detections]) -> None:
    with DetectionsWriter(path, NAMES, 0.005) as writer:
        for frame, found in enumerate(frames):
            writer.write("video", frame, found)
            if frame % 16 == 15:
                writer.processed("video", frame - 15, frame, fps=25)


def cpu_seconds(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def evaluate(path: Path, truth: Path, out: Path) -> tuple[float, object]:
    """CPU seconds of `stad evaluate`, and its figures."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    arguments = ["--ground-truth", truth, "--detections", path, "--out", out]
    command = [sys.executable, "-m", "stadet.tools.cli", "evaluate", *map(str, arguments)]
    command += ["--bootstrap", "0", "--gallery", "0", "--overwrite"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    taken = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return taken, json.loads((out / "metrics.json").read_text())["per_class"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--frames", type=int, default=4000)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    frames = drawn_frames(args.frames)
    with tempfile.TemporaryDirectory() as folder:
        truth = Path(folder) / "truth.json"
        write_coco_video(truth, truth_of(frames))
        paths = [Path(folder) / f"found{form}" for form in FORMS]
        first = Path(folder) / f"first{FORMS[-1]}"
        write(first, frames[:16])
        read_detections(first)  # imports pyarrow
        written = [cpu_seconds(lambda path=path: write(path, frames)) for path in paths]
        turns = [
            [cpu_seconds(lambda path=path: read_detections(path)) for path in paths]
            for _ in range(5)
        ]
        read = np.median(turns, axis=0)
        evaluated: list[list[float]] = [[] for _ in paths]
        figures = []
        for _ in range(args.repeats):
            for path, taken in zip(paths, evaluated, strict=True):
                seconds, found = evaluate(path, truth, Path(folder) / "report")
                taken.append(seconds)
                figures.append(found)
        assert all(found == figures[0] for found in figures), "the forms' figures differ"
        columns = ("bytes/frame", "write ms/frame", "read ms/frame", "evaluate s")
        print(f"{'form':12s}" + "".join(f"{name:>16s}" for name in columns))
        for place, path in enumerate(paths):
            size = path.stat().st_size / len(frames)
            times = 1e3 * written[place] / len(frames), 1e3 * read[place] / len(frames)
            whole = statistics.median(evaluated[place])
            form = FORMS[place]
            print(f"{form:12s}{size:16,.0f}{times[0]:16.3f}{times[1]:16.4f}{whole:16.2f}")


if __name__ == "__main__":
    main()
