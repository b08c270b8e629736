"""stad tubes: a detections file to a tube file."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from stadet.engine.signatures import checked
from stadet.tools.cli import add_overwrite, make_parser

if TYPE_CHECKING:
    from stadet.detect.clock import Clock
    from stadet.detect.detections.detection_set import DetectionSet, VideoDetections
    from stadet.detect.structures import AnnotationSet
    from stadet.detect.tubes.linking import LinkOptions
    from stadet.detect.tubes.tube_set import TubeSet, VideoTubes

_log = logging.getLogger("stadet.tools.tubes")

SUMMARY = "link detections through time into tubes"
EXAMPLES = """\
examples:
  stad tubes --detections kitchen.jsonl --out tubes.json --data dataset.yaml
  stad tubes --detections kitchen.jsonl --out tubes.json --fps 30 --min-score 0.1
  stad tubes --detections kitchen.jsonl --out tubes.json --max-gap 0.4 --min-length 0.5   # seconds
  stad tubes --detections kitchen.jsonl --out tubes.json --online   # as a live system would

--data or --ground-truth bring the classes' order, the frame rate and the length of each video.
Tubes of detections with actors (stad actors) say whose they are.
Read the tubes as a log with stad events, draw them with stad render --tubes.
"""


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser("tubes", SUMMARY, EXAMPLES)
    add = parser.add_argument
    add("--detections", required=True, help="a detections file (.jsonl)")
    add("--out", required=True, help="the tube file (.json)")
    add_truth(parser)
    add("--fps", type=float, help="frames a second of every video; overrules what files say")
    add("--online", action="store_true", help="greedy linking frame by frame, no look ahead")
    add("--min-score", type=float, default=0.01, help="boxes below it take no part (%(default)s)")
    add(
        "--min-overlap",
        type=float,
        default=0.2,
        help="IoU below which boxes are not linked (%(default)s)",
    )
    add(
        "--overlap-weight",
        type=float,
        default=1.0,
        help="weight of the IoU against the scores (%(default)s)",
    )
    add(
        "--max-gap",
        type=float,
        metavar="SECONDS",
        help="without a box to bridge (default: 5 frames, whatever the rate)",
    )
    add(
        "--min-length",
        type=float,
        metavar="SECONDS",
        help="shorter tubes go (default: 8 frames, whatever the rate)",
    )
    add(
        "--switch-cost",
        type=float,
        default=3.0,
        help="higher: fewer cuts in time (%(default)s; not with --online)",
    )
    add("--no-trim", action="store_true", help="keep tubes as long as they were linked")
    add(
        "--max-tube-overlap",
        type=float,
        default=0.5,
        help="tubes that overlap a better one by more go (%(default)s; not with --online)",
    )
    add("--strict", action="store_true", help="anything wrong in the detections file is an error")
    add_overwrite(parser)
    return parser


def add_truth(parser: argparse.ArgumentParser) -> None:
    """--data or --ground-truth, which `read_truth` reads."""
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--data", help="data set file (.yaml) of these videos")
    source.add_argument("--ground-truth", help="COCO-video JSON of these videos")


def run(args: argparse.Namespace) -> None:
    from stadet.detect.tubes.linking import LinkOptions
    from stadet.engine.files import expect_absent

    expect_absent(args.out, overwrite=args.overwrite)
    options = LinkOptions(
        min_score=args.min_score,
        min_overlap=args.min_overlap,
        overlap_weight=args.overlap_weight,
        max_gap_seconds=args.max_gap,
        switch_cost=None if args.no_trim else args.switch_cost,
        max_tube_overlap=args.max_tube_overlap,
        min_seconds=args.min_length,
    )
    tubes = link_tubes(
        args.detections,
        out=args.out,
        data=args.data,
        ground_truth=args.ground_truth,
        fps=args.fps,
        online=args.online,
        options=options,
        strict=args.strict,
    )
    print(f"{args.out}: {len(tubes):,} tubes in {len(tubes.videos):,} videos")
    if not len(tubes):
        least, gap = (
            f"{frames} frames" if seconds is None else f"{seconds:g} s"
            for frames, seconds in (
                (options.min_length, options.min_seconds),
                (options.max_gap, options.max_gap_seconds),
            )
        )
        print(
            f"no tube lasts {least}; boxes more than {gap} apart are not linked: try "
            "--min-length 0 or a longer --max-gap"
        )


@checked
def link_tubes(
    detections: str | Path | DetectionSet,
    *,
    out: str | Path | None = None,
    data: str | Path | None = None,
    ground_truth: str | Path | AnnotationSet | None = None,
    fps: float | None = None,
    online: bool = False,
    options: LinkOptions | None = None,
    strict: bool = False,
) -> TubeSet:
    """Link the detections of each video through time into tubes.

    Args:
        detections: a detection set, or a detections file.
        out: the tube file to write (None: no file).
        data: data set file of these videos; brings the order of classes, rates and lengths.
        ground_truth: COCO-video JSON of these videos or its content, instead of `data`.
        fps: frames a second of every video; overrules what the files say.
        online: greedy linking frame by frame without looking ahead.
        options: least scores, gaps and lengths of the linking.
        strict: anything wrong with the detections file is an error.

    Raises:
        UserError: for files that cannot be read or do not fit each other.
    """
    from dataclasses import asdict

    from stadet.detect.actors.tubes import tubes_with_actors
    from stadet.detect.detections.detection_set import DetectionSet
    from stadet.detect.detections.reader import read_detections
    from stadet.detect.tubes.file import write_tubes
    from stadet.detect.tubes.linking import LinkOptions, link_video
    from stadet.detect.tubes.online import link_video_online
    from stadet.detect.tubes.tube_set import TubeSet
    from stadet.engine.errors import UserError
    from stadet.engine.limits import expect_within
    from stadet.engine.progress import progress

    if fps is not None and fps <= 0:
        raise UserError(f"--fps: expected a rate above 0, found {fps}")
    options = options or LinkOptions()
    expect_within("--max-gap", options.max_gap_seconds, 0)
    expect_within("--min-length", options.min_seconds, 0)
    truth = read_truth(data, ground_truth)
    if not isinstance(detections, DetectionSet):
        detections = read_detections(detections, truth, strict=strict)
        for note in detections.notes:
            _log.warning(note)
    link = link_video_online if online else link_video
    videos = {}
    for video in progress(
        detections, description="linking", unit="video", total=len(detections.videos)
    ):
        clock = _clock(video, truth, fps)
        if clock is None and (options.max_gap_seconds, options.min_seconds) != (None, None):
            raise UserError(
                f"video {video.name}: expected a frame rate, as --max-gap and --min-length are in "
                "seconds, found none; say it with --fps, --data or --ground-truth"
            )
        found = tubes_with_actors(link(video, options, clock), video)
        videos[video.name] = _facts(video, truth, clock, found)
    linking = {"method": "online" if online else "offline", **asdict(options)}
    for frames, seconds in (("max_gap", "max_gap_seconds"), ("min_length", "min_seconds")):
        del linking[seconds if linking[seconds] is None else frames]
    tubes = TubeSet(detections.names, videos, linking)
    if out is not None:
        write_tubes(out, tubes)
    return tubes


def read_truth(
    data: str | Path | None, ground_truth: str | Path | AnnotationSet | None
) -> AnnotationSet | None:
    """The annotation set of a data set file or a COCO-video file; `None` without either."""
    from stadet.detect.structures import AnnotationSet

    if isinstance(ground_truth, AnnotationSet):
        return ground_truth
    if data is not None:
        from stadet.datasets.dataset import load_dataset

        dataset = load_dataset(data)
        dataset.findings.report()
        return dataset.annotations
    if ground_truth is not None:
        from stadet.datasets.formats.coco_video import read_coco_video
        from stadet.engine.findings import Findings

        findings = Findings()
        annotations = read_coco_video(Path(ground_truth), findings=findings)
        findings.report()
        return annotations
    return None


def _clock(video: VideoDetections, truth: AnnotationSet | None, fps: float | None) -> Clock | None:
    from stadet.detect.clock import Clock

    known = truth.videos.get(video.name) if truth is not None else None
    return Clock(fps) if fps is not None else (known or video).clock


def _facts(
    video: VideoDetections, truth: AnnotationSet | None, clock: Clock | None, tubes: list
) -> VideoTubes:
    from stadet.detect.tubes.tube_set import VideoTubes

    known = truth.videos.get(video.name) if truth is not None else None
    seen = int(video.processed[-1, 1]) + 1 if len(video.processed) else None
    return VideoTubes(
        video.name,
        tubes,
        clock.fps if clock is not None else None,
        known.num_frames if known is not None else seen,
        clock.times if clock is not None else None,
    )


if __name__ == "__main__":
    from stadet.tools.cli import run_verb

    raise SystemExit(run_verb(sys.modules[__name__]))
