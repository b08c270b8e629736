"""stad classify: what a video shows, by a checkpoint; over long videos a timeline; checklists."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from stadet.tools.cli import make_parser

if TYPE_CHECKING:
    from stadet.classify.answers import Answers
    from stadet.classify.timeline import Timeline
    from stadet.datasets.footage.video import Video
    from stadet.tools.classification.video_answers import VideoClassifier

SUMMARY = "class and probability of videos; timelines of long ones; checklists of steps"
EXAMPLES = """\
examples:
  stad classify clip.mp4 other.mp4 --checkpoint runs/handwash/best.pt
  stad classify clips/ --checkpoint runs/handwash/best.pt --out answers --skip-bad
  stad classify long.mp4 --sliding 3 --checkpoint runs/handwash/best.pt --out timeline
  stad classify step1.mp4 step2.mp4 --checklist --checkpoint runs/handwash/best.pt
  stad classify long.mp4 --sliding 3 --checklist --checkpoint runs/handwash/best.pt

An answer is "none of these" below the threshold that training learnt on its validation side (of a
binary head where it was trained with data.none); --threshold sets another, 0 = never. --out gets
predictions.csv, or timeline.csv and a picture of each video.
"""


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser("classify", SUMMARY, EXAMPLES)
    add = parser.add_argument
    add("sources", nargs="+", help="video files, frame folders, or folders of videos")
    add("--checkpoint", required=True, help="best.pt of a run of stad train-classifier")
    add("--head", type=int, default=0, help="of a model of two data sets: whose classes")
    add("--sliding", type=float, metavar="SECONDS", help="answer for windows of so many seconds")
    add("--stride", type=float, metavar="SECONDS", help="between windows (default: a quarter)")
    add("--checklist", action="store_true", help="which classes (steps) were done, which not")
    add(
        "--min-seconds",
        type=float,
        default=1.0,
        help="with --sliding: a step is done if it lasts so long (default 1)",
    )
    add("--threshold", type=float, help="least probability of the best class; 0 = always a class")
    add("--top", type=int, default=3, help="classes printed for each video (default 3)")
    add("--out", metavar="DIR", help="folder for tables and pictures")
    add("--skip-bad", action="store_true", help="go on without videos that cannot be used")
    add("--device", help="cpu, cuda or cuda:N (default: the GPU if there is one)")
    return parser


def run(args: argparse.Namespace) -> None:
    import torch

    from stadet.classify.rejection import Rejection
    from stadet.engine.errors import UserError
    from stadet.tools.classification.checkpoint import open_classifier
    from stadet.tools.classification.video_answers import VideoClassifier, open_sources
    from stadet.tools.inference.sources import expand_sources

    if args.threshold is not None and not 0 <= args.threshold <= 1:
        raise UserError(f"--threshold: expected 0 to 1, found {args.threshold}")
    device = torch.device(args.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    file = open_classifier(args.checkpoint, device, args.head)
    rejection = None if args.threshold is None else Rejection(confidence=args.threshold)
    classifier = VideoClassifier(file, device, rejection)
    sources = expand_sources(args.sources, cameras=False)
    videos, bad = open_sources(sources, file, skip_bad=args.skip_bad, whole=args.sliding is None)
    for video in bad:
        print(f"left out: {video.name}: {video.reason}", file=sys.stderr)
    if not videos:
        raise UserError("no video is left to classify")
    if args.sliding is None:
        _answer_videos(args, classifier, videos)
    else:
        _watch_videos(args, classifier, videos)


def _answer_videos(
    args: argparse.Namespace, classifier: VideoClassifier, videos: list[Video]
) -> None:
    from stadet.classify.checklist import check_videos
    from stadet.classify.report import write_predictions

    answers = classifier.answer(videos)
    _print_answers(answers, classifier, args.top)
    if args.out:
        path = Path(args.out) / "predictions.csv"
        write_predictions(path, answers, classifier.rejection)
        print(f"table: {path}")
    if args.checklist:
        _print_steps(check_videos(answers, classifier.rejection), args.out)


def _watch_videos(
    args: argparse.Namespace, classifier: VideoClassifier, videos: list[Video]
) -> None:
    from stadet.classify.checklist import check_timelines
    from stadet.classify.timeline import plot_timeline, segments, write_timeline
    from stadet.tools.events import file_names

    stride = args.sliding / 4 if args.stride is None else args.stride
    timelines = [classifier.watch(video, args.sliding, stride) for video in videos]
    for timeline in timelines:
        _print_segments(timeline, segments(timeline))
    if args.out:
        folder = Path(args.out)
        write_timeline(folder / "timeline.csv", timelines)
        names = file_names([timeline.video for timeline in timelines])
        for timeline, name in zip(timelines, names, strict=True):
            plot_timeline(folder / f"{name}.png", timeline)
        print(f"table and pictures: {folder}")
    if args.checklist:
        _print_steps(check_timelines(timelines, args.min_seconds), args.out)


def _print_answers(answers: Answers, classifier: VideoClassifier, top: int) -> None:
    import numpy as np

    from stadet.classify.report import NONE

    none = classifier.rejection.rejects(answers)
    width = max(len(video) for video in answers.videos)
    for video, row, rejected in zip(answers.videos, answers.probabilities, none, strict=True):
        best = np.argsort(-row, kind="stable")[:top]
        words = ", ".join(f"{answers.names[c]} {row[c]:.3f}" for c in best)
        print(f"{video:<{width}}  {f'{NONE} (nearest: {words})' if rejected else words}")


def _print_segments(timeline: Timeline, found) -> None:
    print(f"{timeline.video}: {len(timeline)} windows")
    for segment in found:
        print(
            f"  {segment.start:8.1f} - {segment.stop:8.1f} s  {timeline.names[segment.label]} "
            f"{segment.score:.3f}"
        )


def _print_steps(steps, out: str | None) -> None:
    import json
    from dataclasses import asdict

    from stadet.classify.checklist import describe
    from stadet.engine.files import atomic_write

    for line in describe(steps):
        print(line)
    if out:
        with atomic_write(Path(out) / "checklist.json") as stream:
            json.dump([{**asdict(step), "done": step.done} for step in steps], stream, indent=1)


if __name__ == "__main__":
    from stadet.tools.cli import run_verb

    raise SystemExit(run_verb(sys.modules[__name__]))
