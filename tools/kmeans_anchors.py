"""Anchors from the boxes of a data set's training side, with a diagnosis against published ones."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from stadet.tools.cli import make_parser

SUMMARY = "anchor priors from a data set's boxes"

STRIDES = (4, 8, 16, 32)

EXAMPLES = """\
examples:
  stad kmeans-anchors --data dataset.yaml --size 416 416 --out anchors.yaml --plot anchors.png
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

Training reads the file with yolo.anchors=anchors.yaml. "recall at 0.5" is the share of boxes whose
best anchor, laid over the box, reaches IoU 0.5; "worst class" is the lowest recall of a class.
"""


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser("kmeans-anchors", SUMMARY, EXAMPLES)
    parser.add_argument("--data", type=Path, required=True, metavar="FILE", help="data set file")
    parser.add_argument("--out", type=Path, required=True, metavar="YAML", help="file to write")
    parser.add_argument(
        "--size",
        type=int,
        nargs=2,
        default=(416, 416),
        metavar=("HEIGHT", "WIDTH"),
        help="the network's input (default 416 416)",
    )
    parser.add_argument(
        "--resize",
        choices=("letterbox", "stretch"),
        default="letterbox",
        help="keep the frame's shape on grey (default), or stretch it",
    )
    parser.add_argument(
        "--strides",
        type=int,
        nargs="+",
        choices=STRIDES,
        default=[8, 16, 32],
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
    parser.add_argument("--seed", type=int, default=0)
    return parser


def run(args: argparse.Namespace) -> None:
    from stadet.tools.data.anchors import kmeans_anchors

    size = (args.size[0], args.size[1])
    choice = kmeans_anchors(
        args.data,
        size=size,
        resize=args.resize,
        strides=args.strides,
        num_anchors=args.anchors,
        strategy=args.strategy,
        compare=args.compare,
        out=args.out,
        plot=args.plot,
        seed=args.seed,
    )
    print(f"{len(choice.sizes):,} boxes of {choice.videos} videos at {size[0]} x {size[1]}\n")
    print(choice.text())
    if unused := len(choice.chosen.unused):
        print(f"\n{unused} anchors are the best for no box; try fewer with --anchors")
    if args.plot:
        print(f"\nplot: {args.plot}")
    print(f"\nanchors: {args.out}")


if __name__ == "__main__":
    from stadet.tools.cli import run_verb

    raise SystemExit(run_verb(sys.modules[__name__]))
