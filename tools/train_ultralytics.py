"""stad train-ultralytics: an off-the-shelf detector on the same data, split and report."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from stadet.tools.cli import make_parser

if TYPE_CHECKING:
    import numpy as np

    from stadet.datasets.dataset import Dataset

SUMMARY = "train one of ultralytics' detectors on the same split, into the same report"
EXAMPLES = """\
examples:
  stad train-ultralytics --data dataset.yaml --model yolov8n.yaml --epochs 30 --out runs/v8n
  stad train-ultralytics --data dataset.yaml --model yolov3.yaml --size 416 --device cuda:0 \\
      --out runs/their_yolov3
  stad compare runs/yolov3 runs/v8n --out comparison

From scratch, or from a checkpoint on this disk; nothing is downloaded. Frames of both sides are
exported once to OUT/frames. OUT/report is like that of stad train.
"""


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser("train-ultralytics", SUMMARY, EXAMPLES)
    add = parser.add_argument
    add("--data", required=True, help="data set file")
    add("--out", type=Path, required=True, help="a new folder for the run")
    add("--model", default="yolov8n.yaml", help="their configuration, or a checkpoint on this disk")
    add("--epochs", type=int, default=30)
    add("--size", type=int, default=416, help="longer side of the network's input")
    add("--batch", type=int, default=16)
    add("--workers", type=int, default=0)
    add("--device", default="cpu", help="cpu, cuda:0, ..")
    add("--bf16", action="store_true", help="mixed precision")
    add("--seed", type=int, default=0)
    return parser


def run(args: argparse.Namespace) -> None:
    from stadet.datasets.dataset import load_dataset
    from stadet.detect.detections.writer import DetectionsWriter
    from stadet.detect.inference import InferenceConfig
    from stadet.detect.yolo.ultralytics_adapter import (
        export_frames,
        predict_ultralytics,
        train_ultralytics,
    )
    from stadet.engine.errors import UserError
    from stadet.engine.files import atomic_path
    from stadet.tools import evaluate
    from stadet.tools.inference.predict import write_answers

    if args.out.exists() and any(args.out.iterdir()):
        raise UserError(f"--out: expected a new folder, found files in {args.out}; name another")
    dataset = load_dataset(args.data)
    dataset.findings.report()
    train, val = dataset.side("train"), dataset.side("val")
    frames = export_frames(
        train, val, lambda video, frame: dataset.open_video(video).frame(frame), args.out / "frames"
    )
    best = train_ultralytics(
        frames,
        args.out / "ultralytics",
        model=args.model,
        epochs=args.epochs,
        image_size=args.size,
        batch_size=args.batch,
        device=args.device,
        seed=args.seed,
        workers=args.workers,
        bf16=args.bf16,
    )
    config, detections = InferenceConfig(), args.out / "detections.jsonl"
    answers = predict_ultralytics(
        best,
        _looked_at_frames(dataset, "val"),
        dataset.names,
        score_floor=config.score_floor,
        iou_threshold=config.iou_threshold,
        max_detections=config.max_detections,
        image_size=args.size,
        device=args.device,
    )
    with (
        atomic_path(detections) as temporary,
        DetectionsWriter(temporary, dataset.names, config.score_floor) as writer,
    ):
        for video, group in groupby(answers, key=lambda answer: answer[0]):
            write_answers(((frame, found) for _, frame, found in group), video, writer)
    evaluate.run(
        evaluate.build_parser().parse_args(
            [
                "--data",
                args.data,
                "--side",
                "val",
                "--detections",
                str(detections),
                "--out",
                str(args.out / "report"),
                "--title",
                f"{args.model} (ultralytics) val",
            ]
        )
    )


def _looked_at_frames(dataset: Dataset, side: str) -> Iterator[tuple[str, int, np.ndarray]]:
    import numpy as np

    for video in dataset.side(side):
        wanted = np.flatnonzero(video.looked_at).tolist()
        for frame, image in dataset.open_video(video.name).read(wanted):
            yield video.name, frame, image


if __name__ == "__main__":
    from stadet.tools.cli import run_verb

    raise SystemExit(run_verb(sys.modules[__name__]))
