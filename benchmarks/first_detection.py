"""CPU seconds from the start of a process to its first detection: ours, and ultralytics'.

    OMP_NUM_THREADS=1 python benchmarks/first_detection.py

Each in a process of its own, median of --repeats, on one picture of 416 x 416 pixels with networks
that have learnt nothing: YOLOv3-tiny of this toolkit as a checkpoint of `stad train`, with the
suppression operator alone and with all of torchvision imported (as until version 0.2), and
ultralytics' YOLO11n from its configuration.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from stadet.anchors.presets import preset
from stadet.datasets.splits.split import Split
from stadet.engine.checkpoint import save_checkpoint
from stadet.engine.config import from_dict
from stadet.tools.inference.detectors import checkpoint_description
from stadet.tools.training.config import TrainConfig

OURS = """
import time
import numpy as np
from stadet import open_detector
detector = open_detector({path!r})
detector.image(np.zeros((416, 416, 3), np.uint8))
print(time.process_time())
"""
ULTRALYTICS = """
import os, time
os.environ["YOLO_OFFLINE"] = "true"
import numpy as np
from ultralytics import YOLO
YOLO("yolo11n.yaml").predict(np.zeros((416, 416, 3), np.uint8), imgsz=416, verbose=False)
print(time.process_time())
"""


def write_checkpoint(path: Path) -> None:
    settings = {
        "model": "yolo",
        "data": {"size": [416, 416]},
        "yolo": {"network": "yolov3-tiny", "width": 0.25},
    }
    config = from_dict(TrainConfig, settings, "benchmark")
    anchors = preset("yolov3-tiny-coco")
    model = config.recipe.build(2, anchors)
    description = checkpoint_description(config, ("a", "b"), anchors, Split({}).record(), None)
    save_checkpoint(path, {**description, "threshold": None, "model": model.state_dict()})


def cpu_seconds(program: str, repeats: int) -> float:
    taken = []
    for _ in range(repeats + 1):  # the first one fills the file cache
        command = [sys.executable, "-c", program]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        taken.append(float(done.stdout.split()[-1]))
    return statistics.median(taken[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "best.pt"
        write_checkpoint(path)
        ours = OURS.format(path=str(path))
        rows = {
            "stadet": ours,
            "stadet, torchvision imported": "import torchvision.ops" + ours,
            "ultralytics": ULTRALYTICS,
        }
        found = {name: cpu_seconds(program, args.repeats) for name, program in rows.items()}
    print(f"torch {torch.__version__}; CPU seconds to the first detection")
    for name, seconds in found.items():
        print(f"{name:30s} {seconds:.2f}  ({seconds / found['ultralytics']:.2f} of ultralytics')")


if __name__ == "__main__":
    main()
