"""stad actors: ids of hands and people in a detections file."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from stadet.engine.signatures import checked
from stadet.tools.cli import add_overwrite, make_parser

if TYPE_CHECKING:
    from stadet.detect.actors.tracker import ActorOptions
    from stadet.detect.detections.detection_set import DetectionSet

_log = logging.getLogger("stadet.tools.actors")

SUMMARY = "give each hand or person an id that survives changes of action, occlusion and gaps"
EXAMPLES = """\
examples:
  stad actors --detections kitchen.jsonl --out actors.jsonl
  stad actors --detections kitchen.jsonl --out actors.csv              # a table
  stad actors --detections old.jsonl --out actors.jsonl --fps 30       # no rate in the file
  stad actors --detections edited.jsonl --out actors.jsonl --videos footage/   # anew at cuts
  stad actors --detections kitchen.jsonl --out actors.jsonl --max-gap 2 --method bytetrack

The new file is a detections file whose boxes have an "actor": stad tubes, events, rules, render and
pre-annotate then tell whose they are. stad predict --actors and stad live --actors do the same as
they go. The methods cbiou and bytetrack need pip install 'stadet[actors]'.
"""
CSV_COLUMNS = ("video", "frame", "seconds", "actor", "x1", "y1", "x2", "y2", "class", "score")


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser("actors", SUMMARY, EXAMPLES)
    add = parser.add_argument
    add("--detections", required=True, help="a detections file (.jsonl)")
    add("--out", required=True, help="the new detections file (.jsonl), or a table (.csv)")
    add("--fps", type=float, help="frames a second of every video, where the file does not say it")
    add("--videos", help="the footage: ids begin anew at its scene cuts")
    add("--strict", action="store_true", help="anything wrong in the detections file is an error")
    add_actor_arguments(parser)
    add_overwrite(parser)
    return parser


def add_actor_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `actor_options`."""
    from stadet.detect.actors.methods import METHODS

    group = parser.add_argument_group("actors")
    group.add_argument("--method", choices=METHODS, default=METHODS[0], help="(%(default)s)")
    group.add_argument(
        "--min-score", type=float, default=0.1, help="weaker boxes are nobody's (%(default)s)"
    )
    group.add_argument(
        "--new-score", type=float, default=0.3, help="of the box that begins an actor (%(default)s)"
    )
    group.add_argument(
        "--max-gap",
        type=float,
        default=1.0,
        metavar="S",
        help="seconds unseen for which an id is kept (%(default)s)",
    )


def run(args: argparse.Namespace) -> None:
    from stadet.detect.actors.tracker import ActorOptions
    from stadet.engine.files import expect_absent

    expect_absent(args.out, overwrite=args.overwrite)
    found = add_actors(
        args.detections,
        out=args.out,
        fps=args.fps,
        videos=args.videos,
        strict=args.strict,
        options=ActorOptions(
            method=args.method,
            min_score=args.min_score,
            new_score=args.new_score,
            max_gap=args.max_gap,
        ),
    )
    print(f"{args.out}: {actors_text(found)}")


def actors_text(detections: DetectionSet) -> str:
    """How many actors there are, and whose boxes are not known."""
    from stadet.detect.structures import NO_TRACK

    ids = [video.actor_ids for video in detections if video.actor_ids is not None]
    count = sum(len(set(own[own != NO_TRACK].tolist())) for own in ids)
    known = sum(int((own != NO_TRACK).sum()) for own in ids)
    return (
        f"{count:,} actors in {len(detections.videos):,} videos; {known:,} of "
        f"{len(detections):,} boxes are theirs"
    )


@checked
def add_actors(
    detections: str | Path | DetectionSet,
    *,
    out: str | Path | None = None,
    fps: float | None = None,
    videos: str | Path | Mapping[str, Path] | None = None,
    scene_cuts: float = 0.5,
    options: ActorOptions | None = None,
    strict: bool = False,
) -> DetectionSet:
    """Find the actors of detections: whose each box is, through time.

    Args:
        detections: a detection set, or a detections file.
        out: detections file (.jsonl, .jsonl.gz, .jsonl.zst, .parquet) or table (.csv) to write
            (None: no file); it may be the file that was read.
        fps: frames a second of every video, where nothing else says it.
        videos: the footage, a path or the path of each video, at whose scene cuts ids begin anew
            (None: nothing is looked at).
        scene_cuts: share of the colours that changes at a cut.
        options: of the actors.
        strict: anything wrong with the detections file is an error.

    Returns:
        The detections with `actor_ids`. Ids count from 0 in each video.

    Raises:
        UserError: for files that cannot be read, a video whose frame rate is not known, and where
            the package of the method is missing.
    """
    from stadet.detect.actors.offline import find_actors
    from stadet.detect.clock import Clock
    from stadet.detect.detections.detection_set import DetectionSet
    from stadet.detect.detections.reader import read_detections
    from stadet.detect.detections.writer import write_detections
    from stadet.engine.errors import UserError
    from stadet.engine.progress import progress

    if fps is not None and not 0 < fps < float("inf"):
        raise UserError(f"--fps: expected a rate above 0, found {fps}")
    if not isinstance(detections, DetectionSet):
        detections = read_detections(detections, strict=strict)
        for note in detections.notes:
            _log.warning(note)
    found = {}
    for video in progress(
        detections, description="actors", unit="video", total=len(detections.videos)
    ):
        cuts = () if videos is None else scene_cuts_of(video.name, videos, scene_cuts)
        clock = video.clock if video.clock is not None or fps is None else Clock(fps)
        found[video.name] = find_actors(video, options, clock=clock, cuts=cuts)
    result = DetectionSet(detections.names, detections.score_floor, found, detections.notes)
    if out is not None and Path(out).suffix.lower() == ".csv":
        _write_table(Path(out), result)
    elif out is not None:
        write_detections(out, result)
    return result


def scene_cuts_of(
    video: str, footage: str | Path | Mapping[str, Path], share: float = 0.5
) -> tuple[int, ...]:
    """Frames of a video at which another scene begins.

    Args:
        video: its name in a detections file.
        footage: the video file, a frame folder, a folder of them, or the path of each.
        share: of the colours that changes at once.

    Raises:
        UserError: where the footage has no such video.
    """
    import torch

    from stadet.datasets.footage.catalog import find_video_paths
    from stadet.datasets.footage.info import find_video
    from stadet.datasets.footage.video import open_video
    from stadet.engine.errors import UserError, neighbours
    from stadet.engine.progress import progress
    from stadet.recurrent_yolo.streaming import SceneCuts

    paths = footage if isinstance(footage, Mapping) else find_video_paths(Path(footage))
    name = find_video(video, paths)
    if name is None:
        place = "the footage" if isinstance(footage, Mapping) else footage
        raise UserError(
            f"{place}: expected the video {video!r} of the detections, found none of that name"
            f"{neighbours(video, paths)}"
        )
    opened = open_video(paths[name])
    cuts, finder, last = [], SceneCuts(share), None
    frames = progress(opened.frames(), description=f"{name}: cuts", total=len(opened))
    for frame, image in frames:
        small = torch.from_numpy(image[::4, ::4].copy()).permute(2, 0, 1)[None, None]
        is_cut, last = finder(small, last)
        if bool(is_cut.any()):
            cuts.append(frame)
    return tuple(cuts)


def _write_table(path: Path, detections: DetectionSet) -> None:
    """csv, one box a row with its best class; the actor is empty where it is not known."""
    from stadet.detect.structures import NO_TRACK
    from stadet.engine.csv_files import CsvWriter
    from stadet.engine.files import atomic_write

    with atomic_write(path) as stream:
        rows = CsvWriter(stream)
        rows.writerow(CSV_COLUMNS)
        for video in detections:
            assert video.actor_ids is not None
            for row, (frame, actor) in enumerate(
                zip(video.frames.tolist(), video.actor_ids.tolist(), strict=True)
            ):
                best = int(video.scores[row].argmax())
                seconds = "" if video.clock is None else f"{float(video.clock.seconds(frame)):.3f}"
                rows.writerow(
                    [
                        video.name,
                        frame,
                        seconds,
                        "" if actor == NO_TRACK else actor,
                        *(f"{side:.1f}" for side in video.boxes[row]),
                        detections.names[best],
                        f"{video.scores[row, best]:.3f}",
                    ]
                )


if __name__ == "__main__":
    from stadet.tools.cli import run_verb

    raise SystemExit(run_verb(sys.modules[__name__]))
