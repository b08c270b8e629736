"""stad train: a configuration to a run folder with checkpoints, a log and a report."""

from __future__ import annotations

import argparse
import sys

from stadet.tools.cli import make_parser
from stadet.tools.training.command import add_training_arguments, configured, print_config

SUMMARY = "train a model from a configuration"
EXAMPLES = """\
examples:
  stad train configs/restaurant_yolov3_small.yaml data.dataset=my_footage/dataset.yaml
  stad train configs/restaurant_yolov3.yaml output=runs/a seed=1 loop.optimiser.lr=5e-4
  stad train --auto dataset.yaml output=runs/mine
  stad train --resume runs/a
  stad train --resume runs/a loop.max_steps=20000     (a run with loop.until=plateau)
  torchrun --nproc_per_node=4 -m stadet.tools.train configs/restaurant_yolov3.yaml
  stad train configs/restaurant_yolov3.yaml --print-config

Any key of the configuration can be overridden as key.path=value. The run's folder holds
config.yaml, metrics.jsonl, last.pt (to resume), best.pt (to use) and report/.

--auto chooses input size, grids, frame rate and lengths from the data, says why, trains a frame
detector and from its weights one with memory, and compares them on the validation side.
"""


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser("train", SUMMARY, EXAMPLES, "stadet.tools.training.config:TrainConfig")
    add_training_arguments(parser)
    parser.add_argument(
        "--auto",
        metavar="DATASET",
        help="a data set file: choose the settings, train both detectors",
    )
    return parser


def run(args: argparse.Namespace) -> int:
    from stadet.tools.training.config import TrainConfig
    from stadet.tools.training.inherit import load_train_config

    if args.auto:
        return _auto(args.auto, args.settings, args.resume or args.print_config)
    if not (args.settings or args.resume or args.print_config):
        print(EXAMPLES + "\nstad train --help lists every key", file=sys.stderr)
        return 2
    config = configured(TrainConfig, args.settings, args.resume, load_train_config)
    if args.print_config:
        print_config(config)
        return 0
    from stadet.tools.training.train import train

    return train(config, resume=bool(args.resume)).exit_status


def _auto(data: str, settings: list[str], more: object) -> int:
    from stadet.engine.errors import UserError
    from stadet.tools.training.auto_train import train_auto
    from stadet.tools.training.command import split_settings

    file, overrides = split_settings(settings)
    if file or more:
        raise UserError("--auto: expected key=value settings only beside it, found more")
    named = [word for word in overrides if word.startswith("output=")]
    rest = [word for word in overrides if word not in named]
    out = named[-1].partition("=")[2] if named else "runs/auto"
    return train_auto(data, out, rest).exit_status


if __name__ == "__main__":
    from stadet.tools.cli import run_verb

    raise SystemExit(run_verb(sys.modules[__name__]))
