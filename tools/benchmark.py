"""stad benchmark: how fast a checkpoint runs here, by every runtime that is installed."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from stadet.tools.cli import add_overwrite, make_parser

SUMMARY = "speed, latency, memory and agreement of checkpoints by every runtime that is installed"
EXAMPLES = """\
examples:
  stad benchmark runs/recurrent/best.pt --video kitchen.mp4 --out speed
  stad benchmark runs/yolov3/best.pt yolov3_int8.onnx --video kitchen.mp4 \\
      --data dataset.yaml --out speed
  stad benchmark runs/handwash/best.pt handwash_int8.onnx --video HandWash/test --out speed

Each runtime has a process of its own. Files of stad export (--int8 among them) run by onnxruntime
and OpenVINO. Writes benchmark.json, benchmark.md and benchmark.png. With --data, which annotates
the video, frame-mAP@0.5 on the frames that were timed is measured too. Classifiers are timed on
clips; videos in folders named like the classes give their top-1.
"""


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser("benchmark", SUMMARY, EXAMPLES)
    add = parser.add_argument
    add("checkpoints", nargs="+", type=Path, help="best.pt of a run, or .onnx of stad export")
    add(
        "--video",
        type=Path,
        required=True,
        nargs="+",
        help="a video file or a frame folder; of classifiers also several, and folders of videos",
    )
    add("--out", type=Path, required=True, metavar="DIR", help="folder of the results")
    add("--data", type=Path, help="data set file that annotates the video")
    add("--frames", type=int, default=64, help="of the video that are timed (%(default)s)")
    add("--clips", type=int, default=32, help="of classifiers, over all videos (%(default)s)")
    add("--runtime", nargs="+", help="only these, as eager, onnx or openvino:bf16")
    add("--device", help="cpu, cuda or cuda:N (default: the GPU if there is one)")
    add_overwrite(parser)
    return parser


def run(args: argparse.Namespace) -> int:
    from stadet.tools.inference.benchmark import benchmark

    found = benchmark(
        args.checkpoints,
        args.video,
        args.out,
        data=args.data,
        frames=args.frames,
        clips=args.clips,
        runtimes=args.runtime,
        device=args.device,
        overwrite=args.overwrite,
    )
    print(found.table)
    print(found.recommendation)
    print(found.picture)
    return 0


if __name__ == "__main__":
    from stadet.tools.cli import run_verb

    raise SystemExit(run_verb(sys.modules[__name__]))
