"""stad run: videos to detections, tubes, events, boxed videos and a page, in one command."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stadet.tools.cli import make_parser

SUMMARY = "a checkpoint over videos: detections, tubes, events, boxed videos and a page of them"
EXAMPLES = """\
examples:
  stad run kitchen.mp4 --checkpoint runs/yolov3/best.pt --out kitchen
  stad run footage/ --checkpoint runs/recurrent/best.pt --out footage_run --threshold 0.4
  stad run kitchen.mp4 --checkpoint runs/yowo/best.pt --out kitchen --runtime openvino

Open OUT/index.html. It stands for stad predict, tubes, events and render, whose files lie in OUT:
detections.jsonl, tubes.json, events.csv, counts.csv, and for each video VIDEO.mp4 with boxes and
VIDEO.png, a plot of its events.
"""


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser("run", SUMMARY, EXAMPLES)
    add = parser.add_argument
    add("videos", nargs="+", help="video files, frame folders, or folders of videos")
    add("--out", type=Path, required=True, metavar="FOLDER", help="folder for all results")
    add("--overwrite", action="store_true", help="replace the results of an earlier run")
    add_options(parser)
    return parser


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of each video, which `stad fleet` has, too."""
    from stadet.tools.inference.runtimes import add_runtime_arguments

    add = parser.add_argument
    add("--checkpoint", required=True, help="best.pt of a run, or an exported .onnx file")
    add(
        "--threshold",
        type=float,
        help="least score of boxes and events (default: what training learnt, or 0.25)",
    )
    add("--max-frames", type=int, help="stop after so many frames of each video")
    add_runtime_arguments(parser)
    add(
        "--fps",
        help="frames a second shown to a model that uses earlier frames (default: those of its "
        "training; native: every frame)",
    )
    add("--device", help="cpu, cuda or cuda:N (default: the GPU if there is one)")


def options(given: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of `run_videos` that `add_options` stands for, but for the checkpoint."""
    from stadet.tools.inference.runtimes import RuntimeOptions

    plain = {name: given[name] for name in ("threshold", "max_frames", "device", "fps")}
    return {**plain, "runtime": RuntimeOptions.of(given)}


def run(args: argparse.Namespace) -> None:
    from stadet.tools.inference.run import run_videos

    result = run_videos(
        args.videos,
        args.checkpoint,
        args.out,
        overwrite=args.overwrite,
        **options(vars(args)),
    )
    for video in result.videos:
        print(f"{video.name}: {len(video.events):,} events; boxed video: {video.boxed}")
    print(f"page: {result.page}")


if __name__ == "__main__":
    from stadet.tools.cli import run_verb

    raise SystemExit(run_verb(sys.modules[__name__]))
