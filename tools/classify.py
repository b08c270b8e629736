"""stad classify: what a video shows, by a checkpoint; over long videos a timeline; checklists."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stadet.tools.cli import add_overwrite, make_parser

if TYPE_CHECKING:
    from stadet.classify.timeline import Timeline
    from stadet.tools.classification.classify import Classification

SUMMARY = "class and probability of videos; timelines of long ones; checklists of steps"
EXAMPLES = """\
examples:
  stad classify clip.mp4 other.mp4 --checkpoint runs/handwash/best.pt
  stad classify clips/ --checkpoint runs/handwash/best.pt --out answers --skip-bad
  stad classify clips/ --checkpoint handwash_int8.onnx --runtime openvino
  stad classify HandWash/test --checkpoint runs/handwash/best.pt --out test_report
  stad classify long.mp4 --sliding 3 --checkpoint runs/handwash/best.pt --out timeline
  stad classify step1.mp4 step2.mp4 --checklist --checkpoint runs/handwash/best.pt
  stad classify long.mp4 --sliding 3 --checklist --checkpoint runs/handwash/best.pt

An answer is "none of these" below the threshold that training learnt on its validation side (of a
binary head where it was trained with data.none); --threshold sets another, 0 = never. --out gets
predictions.csv, or timeline.csv and a picture of each video. Videos in folders named like the
classes (a test side) are scored: accuracy, and report.html in --out.
"""


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser("classify", SUMMARY, EXAMPLES)
    add = parser.add_argument
    add("sources", nargs="+", help="video files, frame folders, or folders of videos")
    add_options(parser)
    add("--checklist", action="store_true", help="which classes (steps) were done, which not")
    add(
        "--min-seconds",
        type=float,
        default=1.0,
        help="with --sliding: a step is done if it lasts so long (default 1)",
    )
    add("--top", type=int, default=3, help="classes printed for each video (default 3)")
    add("--out", metavar="DIR", help="folder for tables and pictures")
    add("--skip-bad", action="store_true", help="continue without videos that cannot be used")
    add_overwrite(parser)
    return parser


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of each video, which `stad fleet` has, too."""
    from stadet.tools.inference.runtimes import add_runtime_arguments

    add = parser.add_argument
    add(
        "--checkpoint", required=True, help="best.pt of stad train-classifier, .onnx of stad export"
    )
    add("--head", type=int, default=0, help="of a model of two data sets: whose classes")
    add("--sliding", type=float, metavar="SECONDS", help="answer for windows of so many seconds")
    add("--stride", type=float, metavar="SECONDS", help="between windows (default: a quarter)")
    add("--threshold", type=float, help="least probability of the best class; 0 = always a class")
    add(
        "--fps",
        help="frames a second shown to the model (default: those of its training; native: every "
        "frame)",
    )
    add("--device", help="cpu, cuda or cuda:N (default: the GPU if there is one)")
    add_runtime_arguments(parser, detectors=False)


def options(given: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of `classify` and `classify_windows` that `add_options` stands for, but for the
    checkpoint; the latter's `window` is called "sliding"."""
    from stadet.tools.inference.runtimes import RuntimeOptions

    names = ("head", "sliding", "stride", "threshold", "device", "fps")
    return {**{name: given[name] for name in names}, "runtime": RuntimeOptions.of(given)}


def run(args: argparse.Namespace) -> None:
    from stadet.classify.checklist import check_timelines, describe
    from stadet.classify.timeline import segments
    from stadet.tools.classification.classify import (
        classify,
        classify_windows,
        write_checklist,
    )

    chosen = options(vars(args))
    sliding, stride = chosen.pop("sliding"), chosen.pop("stride")
    chosen |= {"out": args.out, "skip_bad": args.skip_bad, "overwrite": args.overwrite}
    if sliding is None:
        found = classify(args.sources, args.checkpoint, **chosen)
        _print_answers(found, args.top)
        if args.out:
            print(f"table: {Path(args.out) / 'predictions.csv'}")
        _print_scores(found)
        steps = found.checklist() if args.checklist else []
    else:
        timelines = classify_windows(
            args.sources, args.checkpoint, sliding, stride=stride, **chosen
        )
        for timeline in timelines:
            _print_segments(timeline, segments(timeline))
        if args.out:
            print(f"table and pictures: {args.out}")
        steps = check_timelines(timelines, args.min_seconds) if args.checklist else []
    for line in describe(steps) if steps else ():
        print(line)
    if steps and args.out:
        write_checklist(Path(args.out) / "checklist.json", steps)


def _print_answers(found: Classification, top: int) -> None:
    import numpy as np

    from stadet.classify.report import NONE

    answers = found.answers
    none = found.rejection.rejects(answers)
    width = max(len(video) for video in answers.videos)
    for video, row, rejected in zip(answers.videos, answers.probabilities, none, strict=True):
        best = np.argsort(-row, kind="stable")[:top]
        words = ", ".join(f"{answers.names[c]} {row[c]:.3f}" for c in best)
        print(f"{video:<{width}}  {f'{NONE} (nearest: {words})' if rejected else words}")


def _print_scores(found: Classification) -> None:
    if (scores := found.scores) is None:
        return
    right = int((found.answers.predicted == found.answers.labels).sum())
    print(
        f"accuracy by the folders' names: {right:,} of {len(found.answers):,}, top-1 "
        f"{scores['top1']:.4f}, top-5 {scores['top5']:.4f}, mean of classes "
        f"{scores['mean_class']:.4f}"
    )
    if found.trained_on:
        print(
            f"the checkpoint was trained on {found.trained_on:,} of these videos; the accuracy is "
            "optimistic",
            file=sys.stderr,
        )


def _print_segments(timeline: Timeline, found) -> None:
    print(f"{timeline.video}: {len(timeline)} windows")
    for segment in found:
        print(
            f"  {segment.start:8.1f} - {segment.stop:8.1f} s  {timeline.names[segment.label]} "
            f"{segment.score:.3f}"
        )


if __name__ == "__main__":
    from stadet.tools.cli import run_verb

    raise SystemExit(run_verb(sys.modules[__name__]))
