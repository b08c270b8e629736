"""stad describe: counts, sizes, durations, views, reversed pairs, drawn sample frames."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from stadet.tools.cli import add_overwrite, make_parser

SUMMARY = "what a data set holds: classes, sizes, durations, sample frames"

EXAMPLES = """\
examples:
  stad describe --data data/restaurant/dataset.yaml
  stad describe --data data/restaurant --size 288 512 --out described
  stad describe --data data/restaurant --side val
  stad describe --data data/restaurant --scene scene.yaml --out described
  stad describe --data data/restaurant --suspects --out doubts
  stad describe --data data/restaurant --suspects fold0.jsonl fold1.jsonl --out doubts

With --out, DIR gets describe.txt, describe.json and samples.png; with --scene also
zones-CAMERA.png of every camera; with --suspects also suspects.csv, suspects.json and
suspects.html.
"""


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser("describe", SUMMARY, EXAMPLES)
    parser.add_argument(
        "--data", type=Path, required=True, metavar="FILE", help="data set file, or its folder"
    )
    parser.add_argument(
        "--size",
        type=int,
        nargs=2,
        metavar=("H", "W"),
        help="give box sizes in pixels of a network of this size (default: the video's)",
    )
    parser.add_argument(
        "--resize",
        choices=("letterbox", "stretch"),
        help="with --size: keep the frame's shape on grey (default), or stretch it",
    )
    parser.add_argument("--letterbox", action="store_true", help=argparse.SUPPRESS)  # the default
    parser.add_argument(
        "--config", metavar="FILE", help="take size and resize from this training configuration"
    )
    parser.add_argument("--side", choices=("train", "val", "test"), help="only this side")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for the files")
    parser.add_argument(
        "--scene", metavar="FILE", help="draw the zones and lines of a scene file (docs/rules.md)"
    )
    parser.add_argument(
        "--suspects",
        type=Path,
        nargs="*",
        metavar="FILE",
        help="list truth that may be wrong, by detections of models that did not train on these "
        "videos (one file or several); without a file, jumps and duplicates only",
    )
    parser.add_argument(
        "--samples",
        type=int,
        default=20,
        help="frames to draw, and pictures of each kind of suspects (default 20)",
    )
    parser.add_argument("--seed", type=int, default=0, help="which frames (default 0)")
    add_overwrite(parser)
    return parser


def run(args: argparse.Namespace) -> None:
    from stadet.engine.errors import UserError
    from stadet.engine.files import expect_absent
    from stadet.tools.data.describe import describe

    if args.scene is not None and args.out is None:
        raise UserError("--scene: expected --out beside it, the folder for the pictures")

    if args.out is not None:
        files: tuple[str, ...] = ("describe.txt", "describe.json", "samples.png")
        if args.suspects is not None:
            files += ("suspects.csv", "suspects.json", "suspects.html")
        expect_absent(*(args.out / name for name in files), overwrite=args.overwrite)
    size, resize = tuple(args.size) if args.size else None, args.resize or "letterbox"
    if args.config:
        from stadet.configs import find_config
        from stadet.engine.config import load_config
        from stadet.tools.training.config import TrainConfig

        if args.size or args.resize:
            raise UserError("--config: size and resize are the configuration's; give no others")
        data = load_config(TrainConfig, find_config(args.config)).data
        size, resize = tuple(data.size), data.resize
    description = describe(
        args.data,
        size=size,
        resize=resize,
        side=args.side,
        out=args.out,
        samples=args.samples,
        seed=args.seed,
        suspects=args.suspects,
        scene=args.scene,
    )
    print(description.text)
    if args.out is not None:
        print(f"written: {args.out}")


if __name__ == "__main__":
    from stadet.tools.cli import run_verb

    raise SystemExit(run_verb(sys.modules[__name__]))
