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
  stad train --resume runs/a
  torchrun --nproc_per_node=4 -m stadet.tools.train configs/restaurant_yolov3.yaml
  stad train configs/restaurant_yolov3.yaml --print-config

Any key of the configuration can be overridden as key.path=value. The run's folder holds
config.yaml, metrics.jsonl, last.pt (to resume), best.pt (to use) and report/.
"""


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser("train", SUMMARY, EXAMPLES, "stadet.tools.training.config:TrainConfig")
    add_training_arguments(parser)
    return parser


def run(args: argparse.Namespace) -> int:
    from stadet.tools.training.config import TrainConfig
    from stadet.tools.training.inherit import load_train_config

    if not (args.settings or args.resume or args.print_config):
        print(EXAMPLES + "\nstad train --help lists every key", file=sys.stderr)
        return 2
    config = configured(TrainConfig, args.settings, args.resume, load_train_config)
    if args.print_config:
        print_config(config)
        return 0
    from stadet.tools.training.train import train

    return train(config, resume=bool(args.resume)).exit_status


if __name__ == "__main__":
    from stadet.tools.cli import run_verb

    raise SystemExit(run_verb(sys.modules[__name__]))
