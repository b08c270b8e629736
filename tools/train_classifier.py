"""stad train-classifier: a configuration to a run folder with checkpoints, a log and a report."""

from __future__ import annotations

import argparse
import sys

from stadet.tools.cli import make_parser
from stadet.tools.training.command import add_training_arguments, configured, print_config

SUMMARY = "train a clip classifier from a configuration"
EXAMPLES = """\
examples:
  stad train-classifier configs/handwash.yaml data.root=HandWash output=runs/handwash
  stad train-classifier data.root=videos model.name=convlstm input.size="[128, 128]"
  stad train-classifier configs/handwash.yaml data.none=other_videos
  stad train-classifier configs/i3d.yaml second.root=hmdb51 second.format=hmdb51
  stad train-classifier --resume runs/handwash
  stad train-classifier configs/handwash.yaml --print-config

data.root holds a folder of videos a class (below train/, val/ and test/, or drawn by data.split),
or a public data set in its own form (data.format). Any key can be overridden as key.path=value. The
run's folder holds config.yaml, metrics.jsonl, last.pt (to resume), best.pt (to use) and report/.
Few videos and no pretrained weights: begin with configs/handwash.yaml, which learns from the
differences of frames in a minute, and set data.format=folders for other classes.
"""


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser(
        "train-classifier", SUMMARY, EXAMPLES, "stadet.tools.classification.config:ClassifierConfig"
    )
    add_training_arguments(parser)
    parser.add_argument(
        "--skip-bad", action="store_true", help="continue without videos that cannot be used"
    )
    return parser


def run(args: argparse.Namespace) -> int:
    from dataclasses import replace

    from stadet.tools.classification.config import ClassifierConfig

    if not (args.settings or args.resume or args.print_config):
        print(EXAMPLES + "\nstad train-classifier --help lists every key", file=sys.stderr)
        return 2
    config = configured(ClassifierConfig, args.settings, args.resume)
    if args.skip_bad:
        config = replace(config, input=replace(config.input, skip_bad=True))
    if args.print_config:
        print_config(config)
        return 0
    from stadet.tools.classification.train import train_classifier

    return train_classifier(config, resume=bool(args.resume)).exit_status


if __name__ == "__main__":
    from stadet.tools.cli import run_verb

    raise SystemExit(run_verb(sys.modules[__name__]))
