"""stad predict: a checkpoint over videos, folders or a camera, to a detections file."""

from __future__ import annotations

import argparse
import sys

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
    from stadet.tools.inference.runtimes import add_runtime_arguments

    parser = make_parser("predict", SUMMARY, EXAMPLES)
    add = parser.add_argument
    add("sources", nargs="+", help="video files, frame folders, folders of videos, or camera:N")
    add("--checkpoint", required=True, help="best.pt of a run")
    add(
        "--out",
        required=True,
        help="the detections file: .jsonl, .jsonl.gz, .jsonl.zst or .parquet",
    )
    add("--resume", action="store_true", help="continue the file where it ends")
    add("--overwrite", action="store_true", help="replace the file")
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
    add(
        "--actors",
        action="store_true",
        help="give hands and people ids once all is predicted, as stad actors does",
    )
    add("--save", metavar="FOLDER", help="also write each video with its boxes into this folder")
    add("--show", action="store_true", help="windows on this machine's display; q ends")
    return parser


def run(args: argparse.Namespace) -> None:
    from stadet.tools.inference.predict import predict
    from stadet.tools.inference.runtimes import RuntimeOptions

    path = predict(
        args.sources,
        args.checkpoint,
        args.out,
        resume=args.resume,
        overwrite=args.overwrite,
        for_evaluation=args.for_evaluation,
        score_floor=args.score_floor,
        window=args.window,
        tiles=tuple(args.tiles) if args.tiles else None,
        forget=args.forget,
        scene_cuts=args.scene_cuts,
        runtime=RuntimeOptions.for_file(
            args.checkpoint, args.runtime, args.precision, args.temporal_every, args.feature_bank
        ),
        device=args.device,
        max_frames=args.max_frames,
        fps=args.fps,
        actors=args.actors,
        save=args.save,
        show=args.show,
    )
    print(f"detections: {path}")


if __name__ == "__main__":
    from stadet.tools.cli import run_verb

    raise SystemExit(run_verb(sys.modules[__name__]))
