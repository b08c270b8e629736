"""stad predict: a checkpoint over videos, folders or a camera, to a detections file."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from typing import Any

from stadet.tools.cli import make_parser

SUMMARY = "run a checkpoint over videos; write a detections file"
EXAMPLES = """\
examples:
  stad predict kitchen.mp4 --checkpoint runs/yolov3/best.pt --out kitchen.jsonl
  stad predict footage/ --checkpoint runs/yolov3/best.pt --out footage.jsonl --resume
  stad predict test/ --checkpoint runs/yolov3/best.pt --out test.jsonl --for-evaluation
  stad predict camera:0 --checkpoint runs/yolov3/best.pt --out live.jsonl
  stad predict kitchen.mp4 --checkpoint runs/yolov3/best.pt --out kitchen.jsonl --tiles 2 2
  stad predict edited.mp4 --checkpoint runs/recurrent/best.pt --out edited.jsonl --scene-cuts
  stad predict footage/ --checkpoint runs/yowo/best.pt --out footage.jsonl --runtime openvino
  stad predict footage/ --checkpoint runs/recurrent/best.pt --out footage.jsonl --fps native
  stad predict kitchen.mp4 --checkpoint runs/yolov3/best.pt --out kitchen.jsonl --save boxed --show
  stad predict kitchen.mp4 --checkpoint runs/yolov3/best.pt --out kitchen.jsonl --actors

The file grows as frames are done; what was reached before a kill stays, and --resume continues.
Draw it with --save or stad render. To score it with stad evaluate, write it with --for-evaluation.
"""


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser("predict", SUMMARY, EXAMPLES)
    add = parser.add_argument
    add("sources", nargs="+", help="video files, frame folders, folders of videos, or camera:N")
    add(
        "--out",
        required=True,
        help="the detections file: .jsonl, .jsonl.gz, .jsonl.zst or .parquet",
    )
    add("--resume", action="store_true", help="continue the file where it ends")
    add("--overwrite", action="store_true", help="replace the file")
    add_options(parser)
    add(
        "--actors",
        action="store_true",
        help="give hands and people ids once all is predicted, as stad actors does",
    )
    add("--save", metavar="FOLDER", help="also write each video with its boxes into this folder")
    add("--show", action="store_true", help="windows on this machine's display; q ends")
    return parser


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of each video, which `stad fleet` has, too."""
    from stadet.tools.inference.runtimes import add_runtime_arguments

    add = parser.add_argument
    add("--checkpoint", required=True, help="best.pt of a run")
    add(
        "--for-evaluation",
        action="store_true",
        help="keep weak detections as well, on which mAP depends: a far larger file",
    )
    add(
        "--score-floor",
        type=float,
        help="keep class scores above this (default: 0.1, or half of the learnt threshold)",
    )
    add("--window", type=int, default=8, help="frames a step; changes speed, not results")
    add(
        "--tiles",
        type=int,
        nargs=2,
        metavar=("ROWS", "COLUMNS"),
        help="look at overlapping tiles of each frame, for small objects",
    )
    add("--forget", action="store_true", help="a diagnostic: zero the memory at every frame")
    add(
        "--scene-cuts",
        type=float,
        nargs="?",
        const=0.5,
        metavar="SHARE",
        help="a model with memory forgets where this share of the colours changes at once "
        "(without a value: 0.5)",
    )
    add_runtime_arguments(parser)
    add("--device", help="cpu, cuda or cuda:N (default: the GPU if there is one)")
    add(
        "--fps",
        help="frames a second shown to a model that uses earlier frames (default: those of its "
        "training; native: every frame)",
    )
    add("--max-frames", type=int, help="stop after so many frames of each source")


def options(given: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of `predict` that `add_options` stands for, but for the checkpoint."""
    from stadet.tools.inference.runtimes import RuntimeOptions

    plain = ("for_evaluation", "score_floor", "window", "forget", "scene_cuts", "device", "fps")
    return {
        **{name: given[name] for name in (*plain, "max_frames")},
        "tiles": tuple(given["tiles"]) if given["tiles"] else None,
        "runtime": RuntimeOptions.of(given),
    }


def run(args: argparse.Namespace) -> None:
    from stadet.tools.inference.predict import predict

    path = predict(
        args.sources,
        args.checkpoint,
        args.out,
        resume=args.resume,
        overwrite=args.overwrite,
        actors=args.actors,
        **options(vars(args)),
        save=args.save,
        show=args.show,
    )
    print(f"detections: {path}")


if __name__ == "__main__":
    from stadet.tools.cli import run_verb

    raise SystemExit(run_verb(sys.modules[__name__]))
