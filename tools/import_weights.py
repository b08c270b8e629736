"""stad import-weights: weights of other programs as a checkpoint of ours."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stadet.engine.signatures import checked
from stadet.tools.cli import add_overwrite, make_parser

if TYPE_CHECKING:
    from stadet.detect.yolo.weights_report import WeightsReport
    from stadet.tools.training.config import TrainConfig

SUMMARY = "make a checkpoint of public weights, to evaluate, predict or start from"
EXAMPLES = """\
examples:
  stad import-weights configs/yowo_ucf24.yaml yowo.weights=yowo_ucf101-24_16f_best.pth \\
      --names ucf24 --out yowo_ucf24.pt
  stad import-weights configs/yowo_jhmdb21.yaml yowo.weights=yowo_jhmdb-21_best.pth \\
      --names jhmdb21 --out yowo_jhmdb21.pt
  stad import-weights configs/restaurant_yolov3.yaml yolo.weights=yolov3.weights \\
      yolo.anchors=yolov3-coco --names coco.txt --out yolov3.pt

The configuration says which network it is, at which size, with which anchors (a preset or a file);
the names are in the order that the weights know. Every tensor must be found.
"""


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser("import-weights", SUMMARY, EXAMPLES)
    add = parser.add_argument
    add("settings", nargs="+", metavar="CONFIG [KEY=VALUE ..]", help="configuration, overrides")
    add(
        "--names",
        required=True,
        metavar="SET|FILE",
        help="ucf24, jhmdb21, or a text file with one class a line",
    )
    add("--out", type=Path, required=True, metavar="FILE", help="checkpoint to write (.pt)")
    add_overwrite(parser)
    return parser


def run(args: argparse.Namespace) -> None:
    from stadet.configs import find_config
    from stadet.engine.config import load_config
    from stadet.engine.files import expect_absent
    from stadet.tools.training.config import TrainConfig

    expect_absent(args.out, overwrite=args.overwrite)
    config = load_config(TrainConfig, find_config(args.settings[0]), args.settings[1:])
    names = read_names(args.names)
    for report in import_weights(config, names, args.out):
        print(report)
    print(f"{args.out}: {config.model} of {len(names)} classes")


@checked
def import_weights(
    config: TrainConfig, names: Sequence[str], out: str | Path
) -> list[WeightsReport]:
    """Make a checkpoint of public weights, to evaluate, predict or start from.

    Args:
        config: says which network it is, at which size, with which anchors (a preset or a file),
            and names the weights (`yolo.weights` or `yowo.weights`).
        names: the classes in the order that the weights know.
        out: the checkpoint to write (.pt).

    Returns:
        For each file of weights which tensors were used.

    Raises:
        UserError: for weights of another network, and where a tensor is missing.
    """
    from dataclasses import replace

    from stadet.datasets.splits.split import Split
    from stadet.engine.checkpoint import save_checkpoint
    from stadet.engine.errors import UserError
    from stadet.tools.inference.detectors import checkpoint_description
    from stadet.tools.training.data import fixed_anchors
    from stadet.tools.training.recipe import find_recipe, recipe_names

    recipe = config.recipe
    if not recipe.has_public_weights:
        importable = [name for name in recipe_names() if find_recipe(name).has_public_weights]
        raise UserError(
            f"model: expected {' or '.join(importable)}, which public weights are of; found "
            f"{config.model}"
        )
    if not recipe.own.weights:
        raise UserError(f"{recipe.key}.weights: expected the file to import, found nothing")
    names = tuple(names)
    wanted = recipe.anchors()
    anchors = wanted and fixed_anchors(wanted.wanted, tuple(config.data.size), wanted.strides)
    model = recipe.build(len(names), anchors)
    unknown = Split({})  # which frames it was trained on is not said
    reports = recipe.load_weights(model, unknown)
    if missing := reports[0].missing:
        raise UserError(
            f"{recipe.own.weights}: expected weights of {len(names)} classes and "
            f"{len(anchors or ())} anchors for the whole network, found none for {missing[0]}"
        )
    published = recipe.published_inference()
    if published is not None:  # figures of public weights are made with their authors' suppression
        config = replace(config, inference=published)
        note = f"as published: {published.describe()}"
        reports[0] = replace(reports[0], notes=(*reports[0].notes, note))
    description = checkpoint_description(config, names, anchors, unknown.record())
    save_checkpoint(out, {**description, "model": model.state_dict(), "progress": {}})
    return reports


def read_names(source: str) -> tuple[str, ...]:
    """Class names of a published set or of a text file; UserError for a missing or empty one."""
    from stadet.datasets.formats.jhmdb21 import JHMDB21_NAMES
    from stadet.datasets.formats.ucf24 import UCF24_NAMES
    from stadet.engine.errors import UserError
    from stadet.engine.reading import read_text, safe_label

    published = {"ucf24": UCF24_NAMES, "jhmdb21": JHMDB21_NAMES}
    if source in published:
        return published[source]
    path = Path(source)
    if not path.is_file():
        raise UserError(f"--names: expected ucf24, jhmdb21 or a text file, found {source!r}")
    lines = read_text(path, "class names, one a line").splitlines()
    names = tuple(safe_label(line.strip(), str(path)) for line in lines if line.strip())
    if not names or len(set(names)) < len(names):
        raise UserError(f"{path}: expected one class a line, each once; found {len(names)} lines")
    return names


if __name__ == "__main__":
    from stadet.tools.cli import run_verb

    raise SystemExit(run_verb(sys.modules[__name__]))
