"""Anchors from the boxes of a data set's training side, with a diagnosis against published ones."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stadet.tools.cli import add_overwrite, make_parser

SUMMARY = "anchor priors from a data set's boxes"

STRIDES = (4, 8, 16, 32)

EXAMPLES = """\
examples:
  stad kmeans-anchors --config configs/restaurant_yolov3.yaml data.dataset=dataset.yaml \\
      --out anchors.yaml --plot anchors.png
  stad kmeans-anchors --data dataset.yaml --size 416 416 --out anchors.yaml
  stad kmeans-anchors --data dataset.yaml --size 384 672 --strategy spread --out anchors.yaml
  stad kmeans-anchors --data dataset.yaml --size 416 416 --compare --out anchors.yaml
  stad kmeans-anchors --data dataset.yaml --size 224 224 --resize stretch --strides 32 \\
      --anchors 5 --out anchors.yaml                                                (for YOWO)

strategies:
  kmeans     k-means under 1 - IoU: the best mean IoU
  spread     the same, crowded sizes count less: fewer boxes without a good anchor
  balanced   the same, all classes count alike
  coverage   as many boxes as possible (classes alike) within IoU 0.5 of an anchor
  per-level  k-means within each level's own range of sizes

--config takes data set, size, resize, strides and number from a training configuration, with
key.path=value overrides, so that the anchors fit it. Training reads the file with
yolo.anchors=anchors.yaml, and refuses one of other levels or of another number. "recall at 0.5" is
the share of boxes whose best anchor, laid over the box, reaches IoU 0.5; "worst class" is the
lowest recall of a class.
"""


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser("kmeans-anchors", SUMMARY, EXAMPLES)
    parser.add_argument("settings", nargs="*", help="key.path=value, overrides of --config")
    parser.add_argument("--config", metavar="FILE", help="the configuration they are for")
    parser.add_argument("--data", type=Path, metavar="FILE", help="data set file")
    parser.add_argument("--out", type=Path, required=True, metavar="YAML", help="file to write")
    parser.add_argument(
        "--size",
        type=int,
        nargs=2,
        metavar=("HEIGHT", "WIDTH"),
        help="the network's input (default 416 416)",
    )
    parser.add_argument(
        "--resize",
        choices=("letterbox", "stretch"),
        help="keep the frame's shape on grey (default), or stretch it",
    )
    parser.add_argument(
        "--strides",
        type=int,
        nargs="+",
        choices=STRIDES,
        metavar="STRIDE",
        help="of the detection levels, finest first (default 8 16 32; with 4 for small objects; "
        "32 for YOWO)",
    )
    parser.add_argument(
        "--anchors", type=int, metavar="N", help="over all levels (default: 3 a level, 5 for one)"
    )
    parser.add_argument("--strategy", default="kmeans", help="see below (default kmeans)")
    parser.add_argument(
        "--compare", action="store_true", help="show every strategy along with the chosen one"
    )
    parser.add_argument("--plot", type=Path, metavar="IMAGE", help="sizes with anchors (.png, ..)")
    parser.add_argument("--seed", type=int, help="of the clustering (default 0)")
    add_overwrite(parser)
    return parser


def run(args: argparse.Namespace) -> None:
    from stadet.engine.files import expect_absent
    from stadet.tools.data.anchors import kmeans_anchors

    expect_absent(*filter(None, (args.out, args.plot)), overwrite=args.overwrite)
    given = {
        "size": tuple(args.size) if args.size else None,
        "resize": args.resize,
        "strides": tuple(args.strides) if args.strides else None,
        "num_anchors": args.anchors,
        "seed": args.seed,
    }
    data, options = _options(args.config, args.settings, args.data, given)
    size = options["size"]
    choice = kmeans_anchors(
        data,
        **options,
        strategy=args.strategy,
        compare=args.compare,
        out=args.out,
        plot=args.plot,
    )
    print(f"{len(choice.sizes):,} boxes of {choice.videos} videos at {size[0]} x {size[1]}\n")
    print(choice.text())
    if unused := len(choice.chosen.unused):
        print(f"\n{unused} anchors are the best for no box; try fewer with --anchors")
    if args.plot:
        print(f"\nplot: {args.plot}")
    print(f"\nanchors: {args.out}")


def _options(
    file: str | None, settings: Sequence[str], data: Path | None, given: dict[str, Any]
) -> tuple[str | Path, dict[str, Any]]:
    """The data set, and size, resize, strides, number and seed, from the configuration or given."""
    from stadet.engine.errors import UserError

    if file is None:
        if settings:
            raise UserError(f"{settings[0]!r}: overrides go with --config CONFIG")
        if data is None:
            raise UserError("expected --config CONFIG or --data FILE, found neither")
        defaults = {"size": (416, 416), "resize": "letterbox", "strides": (8, 16, 32), "seed": 0}
        return data, {k: defaults.get(k) if v is None else v for k, v in given.items()}
    twice = [f"--{k.replace('num_', '')}" for k, v in given.items() if v is not None]
    if twice:
        raise UserError(
            f"{twice[0]}: the configuration says it; override its key instead (data.size=.., "
            "yolo.strides=.., yolo.num_anchors=.., seed=..)"
        )
    from stadet.configs import find_config
    from stadet.engine.config import load_config
    from stadet.tools.training.config import TrainConfig

    config = load_config(TrainConfig, find_config(file), settings)
    wanted = config.recipe.anchors()
    if wanted is None:
        raise UserError(f"{file}: a {config.model} has no anchors")
    return data or config.data.dataset, {
        "size": tuple(config.data.size),
        "resize": config.data.resize,
        "strides": tuple(wanted.strides),
        "num_anchors": wanted.count,
        "seed": config.seed,
    }


if __name__ == "__main__":
    from stadet.tools.cli import run_verb

    raise SystemExit(run_verb(sys.modules[__name__]))
