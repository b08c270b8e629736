"""stad counts: meals, stock and use of tools, from tubes, detections or truth and a scene file."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from stadet.engine.signatures import checked
from stadet.tools.cli import add_overwrite, make_parser
from stadet.tools.rules import add_size, frame_size
from stadet.tools.tubes import add_truth

if TYPE_CHECKING:
    import numpy as np

    from stadet.detect.detections.detection_set import DetectionSet
    from stadet.detect.metrics.count_errors import CountErrors
    from stadet.detect.scene.counted import SceneCounts
    from stadet.detect.scene.scene import Scene
    from stadet.detect.structures import AnnotationSet
    from stadet.detect.tubes.tube_set import TubeSet

_log = logging.getLogger("stadet.tools.counts")

SUMMARY = "meals and their items, stock by bin, use of tools; by hour and shift, with a page"
EXAMPLES = """\
examples:
  stad counts --scene scene.yaml --tubes tubes.json --data dataset.yaml --out counts/
  stad counts --scene scene.yaml --detections kitchen.jsonl --size 720 1280 --out counts/
  stad counts --scene scene.yaml --data dataset.yaml --out counts/        # of the truth's boxes
  stad counts --scene scene.yaml --tubes tubes.json --data dataset.yaml --truth --out counts/
  stad counts --scene scene.yaml --tubes tubes.json --data dataset.yaml --out counts/ \\
      --start 11:30                      # every video begins then
  stad counts --scene scene.yaml --tubes tubes.json --data dataset.yaml --out counts/ \\
      --start "monday-1*=11:30" --start "monday-2*=12:30:05"

Writes counts/meals.csv, stock.csv, use.csv, periods.csv (meals, items and pieces by hour and
shift), counts.json, and counts.html with plots. --truth counts the truth as well and writes
the errors. What is counted is said in the section counts of the scene file (docs/counts.md).
"""
FILES = ("meals.csv", "stock.csv", "use.csv", "periods.csv", "counts.json", "counts.html")


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser("counts", SUMMARY, EXAMPLES)
    add = parser.add_argument
    add("--scene", required=True, help="a scene file (.yaml) with a section counts")
    seen = parser.add_mutually_exclusive_group()
    seen.add_argument("--tubes", help="a tube file (.json, from stad tubes)")
    seen.add_argument("--detections", help="a detections file (.jsonl), linked as by stad tubes")
    add("--out", required=True, help="folder for the counts")
    add_truth(parser)
    add("--truth", action="store_true", help="count the truth as well and report the errors")
    add_size(parser)
    add("--fps", type=float, help="frames a second of every video, where nothing else says it")
    add(
        "--start",
        action="append",
        default=[],
        metavar="[VIDEO=]TIME",
        help="time of day when the videos begin, h:mm:ss; VIDEO may have * and ?",
    )
    add_overwrite(parser)
    return parser


def run(args: argparse.Namespace) -> None:
    from stadet.detect.report.counts import total_lines
    from stadet.engine.files import expect_absent

    expect_absent(*(Path(args.out) / name for name in FILES), overwrite=args.overwrite)
    result = take_counts(
        args.scene,
        args.tubes,
        detections=args.detections,
        out=args.out,
        data=args.data,
        ground_truth=args.ground_truth,
        truth=args.truth,
        size=tuple(args.size) if args.size else None,
        fps=args.fps,
        start=args.start,
    )
    print(f"{args.out}: {len(result.counts.videos):,} videos; look at counts.html")
    for line in total_lines(result.counts, result.errors):
        print(line)
    for note in result.notes:
        print(note, file=sys.stderr)


@dataclass(frozen=True, eq=False)
class CountResult:
    """What `take_counts` found.

    Attributes:
        counts: of the tubes, or of the truth where there are no tubes.
        truth: counts of the truth; None where they were not asked for.
        errors: of the counts against the truth's; None without these.
        notes: what a reader should know or doubt.
    """

    counts: SceneCounts
    truth: SceneCounts | None
    errors: CountErrors | None
    notes: list[str]


@checked
def take_counts(
    scene: str | Path | Scene,
    tubes: str | Path | TubeSet | None = None,
    *,
    detections: str | Path | DetectionSet | None = None,
    out: str | Path | None = None,
    data: str | Path | None = None,
    ground_truth: str | Path | AnnotationSet | None = None,
    truth: bool = False,
    size: tuple[int, int] | None = None,
    fps: float | None = None,
    start: str | Sequence[str] = (),
) -> CountResult:
    """Count meals, stock and use of tools.

    Args:
        scene: a scene file with a section `counts`, or its content.
        tubes: a tube set or a tube file.
        detections: a detection set or a detections file, linked with the defaults of `link_tubes`,
            instead of `tubes`. Without both the truth is counted, on frames that were looked at.
        out: folder for the files and the page (None: no files).
        data: data set file of these videos.
        ground_truth: COCO-video JSON of these videos or its content, instead of `data`.
        truth: count the truth as well, and both on those frames only that were looked at and, of
            detections, processed.
        size: (height, width) of every video's frames, where nothing else says it.
        fps: frames a second of every video, where nothing else says it.
        start: times of day when the videos begin: "h:mm:ss" for all, or "VIDEO=h:mm:ss" where
            VIDEO may have wildcards; the last that fits holds.

    Raises:
        UserError: for files that cannot be read or do not fit each other, a scene file without
            counts, a video without or with several cameras, unknown classes, and videos of one
            camera that overlap in time.
    """
    import numpy as np

    from stadet.detect.scene.file import read_scene
    from stadet.detect.scene.scene import Scene
    from stadet.detect.tubes.file import read_tubes
    from stadet.detect.tubes.truth import truth_tube_set
    from stadet.detect.tubes.tube_set import TubeSet
    from stadet.engine.errors import UserError
    from stadet.tools.tubes import read_truth

    if not isinstance(scene, Scene):
        scene = read_scene(scene)
    if scene.counts is None:
        raise UserError(
            f"{scene.source}: expected a section counts, found none; docs/counts.md shows one"
        )
    known = read_truth(data, ground_truth)
    predicted = tubes is not None or detections is not None
    if truth and (known is None or not predicted):
        raise UserError(
            "--truth: expected --data or --ground-truth, and --tubes or --detections to compare"
        )
    masks: dict[str, np.ndarray] = {}
    notes: list[str] = []
    if detections is not None:
        detections, found = _linked(detections, known)
        masks = {
            v.name: v.is_processed(np.arange(found.videos[v.name].length))
            for v in detections
            if len(v.processed)
        }
        if len(masks) < len(found.videos):
            left = len(found.videos) - len(masks)
            notes.append(f"{left:,} videos of which no frame was processed are left out.")
            found = _only(found, list(masks))
    elif tubes is not None:
        found = tubes if isinstance(tubes, TubeSet) else read_tubes(tubes)
    elif known is not None:
        found = truth_tube_set(known)
    else:
        raise UserError("expected --tubes, --detections, --data or --ground-truth, found none")
    found = _at_rate(found, fps)
    scene.check_classes(found.names)
    if known is not None and (truth or not predicted):
        names = [name for name in found.videos if name in known.videos]
        for name in names:
            looked_at = known.videos[name].looked_at
            masks[name] = _both(masks[name], looked_at) if name in masks else looked_at
        if len(names) < len(found.videos):
            notes.append(f"{len(found.videos) - len(names):,} videos without truth are left out.")
            found = _only(found, names)
    counts = _counted(scene, found, known, masks, size, start, notes)
    other = errors = None
    if truth:
        from stadet.detect.metrics.count_errors import count_errors

        assert known is not None
        scene.check_classes(known.names)
        right = _only(truth_tube_set(known), list(found.videos))
        other = _counted(scene, right, known, masks, size, start, [])
        errors = count_errors(counts, other)
    result = CountResult(counts, other, errors, [*notes, *counts.notes()])
    if out is not None:
        write_counts(Path(out), result, "predictions" if predicted else "the truth's boxes")
    return result


def _linked(
    detections: str | Path | DetectionSet, known: AnnotationSet | None
) -> tuple[DetectionSet, TubeSet]:
    from stadet.detect.detections.detection_set import DetectionSet
    from stadet.detect.detections.reader import read_detections
    from stadet.tools.tubes import link_tubes

    if not isinstance(detections, DetectionSet):
        detections = read_detections(detections, known)
        for note in detections.notes:
            _log.warning(note)
    return detections, link_tubes(detections, ground_truth=known)


def _at_rate(tubes: TubeSet, fps: float | None) -> TubeSet:
    """The tubes, with a rate for videos that have none."""
    from dataclasses import replace

    from stadet.engine.limits import POSITIVE, expect_within

    expect_within("--fps", fps, POSITIVE)
    videos = {v.name: v if v.fps or fps is None else replace(v, fps=fps) for v in tubes}
    return replace(tubes, videos=videos)


def _only(tubes: TubeSet, names: Sequence[str]) -> TubeSet:
    from dataclasses import replace

    return replace(tubes, videos={name: tubes.videos[name] for name in names})


def _both(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Frames in both; beyond the shorter one there is none."""
    length = min(len(one), len(other))
    return one[:length] & other[:length]


def _counted(
    scene: Scene,
    found: TubeSet,
    known: AnnotationSet | None,
    masks: Mapping[str, np.ndarray],
    size: tuple[int, int] | None,
    start: str | Sequence[str],
    notes: list[str],
) -> SceneCounts:
    from stadet.detect.scene.counted import SceneCounts, in_order
    from stadet.detect.scene.counting import count_video
    from stadet.engine.errors import UserError
    from stadet.engine.progress import progress

    assert scene.counts is not None
    cameras = {video.name: scene.camera_of(video.name) for video in found}
    wanted = [v for v in found if cameras[v.name].name in scene.counts.cameras]
    if len(wanted) < len(found.videos):
        left = len(found.videos) - len(wanted)
        notes.append(f"{left:,} videos of cameras that are not counted are left out.")
    if not wanted:
        raise UserError("expected a video of a camera that is counted, found none")
    begins = starts_of([start] if isinstance(start, str) else start, [v.name for v in wanted])
    videos = []
    for video in progress(wanted, description="counting", unit="video"):
        own = known.videos.get(video.name) if known is not None else None
        camera = cameras[video.name]
        counted = count_video(
            scene,
            camera,
            video,
            found.names,
            frame_size(video.name, camera, own, size),
            watched=masks.get(video.name),
            begins=begins.get(video.name),
        )
        videos.append(counted)
    return SceneCounts(scene, in_order(videos, list(scene.cameras)))


def starts_of(texts: Sequence[str], names: Sequence[str]) -> dict[str, float]:
    """Seconds after midnight at which videos begin, by name; {} without texts.

    Args:
        texts: "h:mm:ss" for all videos, or "PATTERN=h:mm:ss"; the last that fits holds.
        names: of the videos.

    Raises:
        UserError: for a text that is none of these, that fits no video, and for a video that none
            fits.
    """
    from fnmatch import fnmatchcase

    from stadet.detect.clock import time_of_day
    from stadet.engine.errors import UserError, neighbours

    found: dict[str, float] = {}
    for text in texts:
        pattern, sign, time = text.rpartition("=")
        fitting = [name for name in names if not sign or fnmatchcase(name, pattern)]
        if not fitting:
            raise UserError(
                f"--start: {pattern!r} fits no video{neighbours(pattern, names)}; expected "
                f"{', '.join(names[:5])}"
            )
        found |= dict.fromkeys(fitting, time_of_day(time, "--start"))
    missing = [name for name in names if name not in found]
    if found and missing:
        raise UserError(
            f"--start: expected the time of every video or of none, found none of {missing[0]!r} "
            f"({len(missing)} such videos)"
        )
    return found


def write_counts(folder: Path, result: CountResult, source: str) -> str:
    """Write the files of counts, `FILES`, into a folder.

    Args:
        folder: is made where it is missing.
        result: the counts.
        source: what was counted, in words for the page.

    Returns:
        The page.

    Raises:
        UserError: for a full disk and places that cannot be written.
    """
    import json

    from stadet.detect.report.counts import counts_dict, counts_page
    from stadet.detect.scene import count_files
    from stadet.engine.files import atomic_write

    counts = result.counts
    count_files.write_meals(folder / "meals.csv", counts)
    count_files.write_stock(folder / "stock.csv", counts)
    count_files.write_use(folder / "use.csv", counts)
    count_files.write_periods(folder / "periods.csv", counts)
    with atomic_write(folder / "counts.json") as stream:
        json.dump(counts_dict(counts, result.errors, result.notes), stream, indent=1)
    page = counts_page(
        counts,
        result.truth,
        result.errors,
        notes=result.notes,
        source=source,
    )
    with atomic_write(folder / "counts.html") as stream:
        stream.write(page)
    return page


if __name__ == "__main__":
    from stadet.tools.cli import run_verb

    raise SystemExit(run_verb(sys.modules[__name__]))
