"""CPU time of `stad predict` on a new 720p video: in one pass, and with its index made before.

    OMP_NUM_THREADS=1 taskset -c 0 python benchmarks/new_video.py

--seconds of generated H.264 footage (`benchmarks/video.py`) at 30 frames a second, or --video, and
the small YOLOv3 of `configs/restaurant_yolov3_small.yaml`, which has learnt nothing; --floor leaves
it a few boxes a frame. Each route in a process of its own, the median of --repeats in turns, its
start (imports, and 8 frames of another video) told apart: one pass; the index first, as until
version 0.2; a video whose index is known; one pass that shrinks frames by OpenCV's INTER_AREA, as
until version 0.2; and both. The detections files of the first three must be equal. In brackets: the
time over that of both.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from video import write_footage

from stadet.anchors.anchors import Anchors
from stadet.datasets.footage.video import open_video
from stadet.datasets.splits.split import Split
from stadet.detect.detections.reader import read_detections
from stadet.engine.checkpoint import save_checkpoint
from stadet.engine.config import from_dict
from stadet.tools.inference.detectors import checkpoint_description
from stadet.tools.training.config import TrainConfig

SETTINGS = {
    "model": "yolo",
    "data": {"size": [128, 224], "resize": "stretch"},
    "yolo": {"width": 0.25, "depth": 0.34, "strides": [8, 16], "num_anchors": 6},
}
NAMES = tuple(f"class {n}" for n in range(8))
AREA = "stadet.detect.view.scaled = by_area\n"
INDEX_FIRST = "open_video({video!r})\n"
ROUTES = {
    "one pass": "",
    "the index first": INDEX_FIRST,
    "known": "",
    "area averages": AREA,
    "both": f"{AREA}{INDEX_FIRST}",
}
PROGRAM = """
import time
import cv2
import stadet.detect.view
from stadet.datasets.footage.video import open_video
from stadet.tools.inference.predict import predict
def by_area(image, size):
    return cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA)
predict({small!r}, {checkpoint!r}, {out!r} + ".small.jsonl", score_floor={floor}, overwrite=True)
started = time.process_time()
{before}predict({video!r}, {checkpoint!r}, {out!r}, score_floor={floor})
print(started, time.process_time() - started)
"""


def write_checkpoint(path: Path) -> None:
    torch.manual_seed(0)
    config = from_dict(TrainConfig, SETTINGS, "benchmark")
    sizes = np.array([[10, 14], [16, 30], [33, 23], [30, 61], [62, 45], [59, 100]], dtype=float)
    anchors = Anchors((sizes[:3], sizes[3:]), (8, 16), (128, 224))
    model = config.recipe.build(len(NAMES), anchors)
    description = checkpoint_description(config, NAMES, anchors, Split({}).record(), None)
    save_checkpoint(path, {**description, "threshold": None, "model": model.state_dict()})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--video", type=Path, help="in place of generated footage")
    parser.add_argument("--floor", type=float, default=0.0567)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder, cache = Path(name), Path(name) / "cache"
        video = args.video or folder / "a.mp4"
        if args.video is None:
            write_footage(video, round(args.seconds * 30), np.random.default_rng(0))
        small = folder / "small.mp4"
        write_footage(small, 8, np.random.default_rng(1))
        checkpoint = folder / "best.pt"
        write_checkpoint(checkpoint)
        frames = len(open_video(video, index_dir=folder))
        taken: dict[str, list[float]] = {route: [] for route in ROUTES}
        starts, written = [], set()
        for _ in range(args.repeats):
            for route, before in ROUTES.items():
                if route != "known":  # the route before has left the index
                    shutil.rmtree(cache, ignore_errors=True)
                out = folder / f"{route}.jsonl"
                out.unlink(missing_ok=True)
                program = PROGRAM.format(
                    video=str(video),
                    checkpoint=str(checkpoint),
                    small=str(small),
                    out=str(out),
                    floor=args.floor,
                    before=before.format(video=str(video)),
                )
                done = subprocess.run(
                    [sys.executable, "-c", program],
                    env={**os.environ, "XDG_CACHE_HOME": str(cache)},
                    capture_output=True,
                    text=True,
                    check=True,
                )
                start, seconds = map(float, done.stdout.split()[-2:])
                starts.append(start)
                taken[route].append(seconds)
                if AREA not in before:
                    written.add(out.read_bytes())
        assert len(written) == 1, "the detections files differ"
        boxes = sum(map(len, read_detections(out)))
    print(f"{platform.machine()}, torch {torch.__version__}, {frames} frames of {video.name}")
    print(f"{boxes / frames:.1f} boxes a frame; start {statistics.median(starts):.2f} CPU s; then")
    whole = statistics.median(taken["both"])
    for route, seconds in taken.items():
        middle = statistics.median(seconds)
        each = 1e3 * middle / frames
        print(f"{route:16s} {middle:6.2f} s, {each:6.2f} ms a frame ({middle / whole:.2f})")


if __name__ == "__main__":
    main()
