"""stad train-ultralytics: an off-the-shelf detector on the same data, split and report."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from stadet.tools.cli import make_parser

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
    from stadet.tools.training.ultralytics import train_ultralytics

    result = train_ultralytics(
        args.data,
        args.out,
        model=args.model,
        epochs=args.epochs,
        size=args.size,
        batch=args.batch,
        workers=args.workers,
        device=args.device,
        bf16=args.bf16,
        seed=args.seed,
    )
    print(result.summary())


if __name__ == "__main__":
    from stadet.tools.cli import run_verb

    raise SystemExit(run_verb(sys.modules[__name__]))
