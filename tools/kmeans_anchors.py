"""Anchors from the boxes of a data set's training side, with a diagnosis beside published ones."""

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
        "--compare", action="store_true", help="show every strategy beside the chosen one"
    )
    parser.add_argument("--plot", type=Path, metavar="IMAGE", help="sizes with anchors (.png, ..)")
    parser.add_argument("--seed", type=int, default=0)
    return parser


def run(args: argparse.Namespace) -> int | None:
    import numpy as np

    from stadet.anchors.diagnosis import comparison, diagnose
    from stadet.anchors.presets import PRESETS
    from stadet.anchors.strategies import STRATEGIES, pick_anchors
    from stadet.datasets.dataset import load_dataset
    from stadet.engine.errors import UserError
    from stadet.tools.training.data import box_sizes

    size = (args.size[0], args.size[1])
    strides = tuple(args.strides)
    if list(strides) != sorted(set(strides)):
        raise UserError(f"--strides: expected them finest first, found {args.strides}")
    if min(size) < 1 or size[0] % strides[-1] or size[1] % strides[-1]:
        raise UserError(
            f"--size: expected positive multiples of {strides[-1]}, the coarsest level's stride; "
            f"found {size[0]} {size[1]}"
        )
    count = args.anchors
    if count is None:
        count = 5 if len(strides) == 1 else 3 * len(strides)
    dataset = load_dataset(args.data)
    dataset.findings.report()
    train = dataset.side("train").objects()
    sizes = box_sizes(train, size, args.resize)
    if not len(sizes):
        raise UserError(f"{args.data}: expected boxes on the training side, found none")
    labels = np.concatenate([video.labels for video in train])

    def picked(strategy: str):
        anchors = pick_anchors(strategy, sizes, count, strides, size, labels=labels, seed=args.seed)
        return diagnose(sizes, anchors, labels=labels, names=train.names)

    chosen = picked(args.strategy)
    rows = {args.strategy: chosen}
    if args.compare:
        rows |= {name: picked(name) for name in STRATEGIES if name != args.strategy}
    rows |= {
        name: diagnose(sizes, anchors.scaled_to(size), labels=labels, names=train.names)
        for name, anchors in PRESETS.items()
    }
    chosen.anchors.save(args.out)
    print(f"{len(sizes):,} boxes of {len(train.videos)} videos at {size[0]} x {size[1]}\n")
    print(chosen.text(), comparison(rows), sep="\n\n")
    if len(chosen.unused):
        print(f"\n{len(chosen.unused)} anchors are the best for no box; try fewer with --anchors")
    if args.plot:
        from stadet.anchors.plot import plot_anchors

        plot_anchors(args.plot, sizes, chosen)
        print(f"\nplot: {args.plot}")
    print(f"\nanchors: {args.out}")
    return None


if __name__ == "__main__":
    from stadet.tools.cli import run_verb

    raise SystemExit(run_verb(sys.modules[__name__]))
