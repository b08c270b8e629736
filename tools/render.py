"""stad render: detections, tubes and truth drawn into videos that a browser plays."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from stadet.tools.cli import make_parser

if TYPE_CHECKING:
    from stadet.datasets.footage.video import Video
    from stadet.detect.structures import AnnotationSet
    from stadet.tools.inference.render_panels import Panel

SUMMARY = "draw detections, tubes and truth into a video"
EXAMPLES = """\
examples:
  stad render --video kitchen.mp4 --detections kitchen.jsonl --out boxed.mp4
  stad render --video kitchen.mp4 --detections kitchen.jsonl --ground-truth gt.json --out boxed.mp4
  stad render --data dataset.yaml --detections val.jsonl --threshold 0.4 --out boxed/
  stad render --video kitchen.mp4 --detections a.jsonl b.jsonl --titles baseline recurrent \\
      --out both.mp4
  stad render --video kitchen.mp4 --tubes tubes.json --start 60 --seconds 10 --out boxed.mp4

Solid boxes are the model's, in the colour of the class; dashed white ones are the truth.
Several files of detections or tubes are drawn side by side. Size and frame rate are the video's.
"""


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser("render", SUMMARY, EXAMPLES)
    add = parser.add_argument
    add(
        "--video",
        type=Path,
        help="a video file, a frame folder, or a folder of them (default: the videos of --data)",
    )
    add("--detections", type=Path, nargs="+", default=[], metavar="FILE", help="from stad predict")
    add("--tubes", type=Path, nargs="+", default=[], metavar="FILE", help="tube files")
    add("--titles", nargs="+", metavar="TITLE", help="of the files drawn side by side")
    truth = parser.add_mutually_exclusive_group()
    truth.add_argument("--ground-truth", type=Path, metavar="JSON", help="truth, as COCO-video")
    truth.add_argument("--data", type=Path, metavar="YAML", help="truth, as a data set file")
    add("--threshold", type=float, default=0.25, help="least score drawn (default 0.25)")
    add("--start", type=float, default=0.0, metavar="SECONDS", help="where to begin")
    add("--seconds", type=float, metavar="SECONDS", help="how much to draw (default: to the end)")
    add("--out", type=Path, required=True, help="the mp4, or a folder where there are many videos")
    return parser


def run(args: argparse.Namespace) -> None:
    from stadet.engine.errors import UserError
    from stadet.tools.inference.render_panels import make_panels

    if not (args.detections or args.tubes or args.ground_truth or args.data):
        raise UserError("nothing to draw; give --detections, --tubes, --ground-truth or --data")
    if not (args.video or args.data):
        raise UserError("no video to draw into; give --video, or --data for all of a data set's")
    if args.start < 0 or (args.seconds is not None and args.seconds <= 0):
        raise UserError(
            f"expected --start from 0 on and --seconds above 0, found {args.start:g} and "
            f"{args.seconds if args.seconds is None else format(args.seconds, 'g')}"
        )
    videos, truth = _videos_and_truth(args)
    panels = make_panels(args.detections, args.tubes, args.titles, args.ground_truth)
    many = len(videos) > 1 or (args.video is None or _holds_videos(args.video))
    for name, video in videos.items():
        out = args.out / f"{name}.mp4" if many else args.out
        if out.resolve() == video.path.resolve():
            raise UserError(f"{out}: expected another name to write to than the video's own")
        _render(name, video, panels, truth, out, args)


def _videos_and_truth(args: argparse.Namespace) -> tuple[dict[str, Video], AnnotationSet | None]:
    from stadet.datasets.dataset import load_dataset
    from stadet.datasets.footage.info import VideoInfo
    from stadet.datasets.footage.video import open_video
    from stadet.datasets.formats.coco_video import read_coco_video
    from stadet.engine.findings import Findings
    from stadet.tools.inference.sources import expand_sources

    findings = Findings()
    truth = None
    dataset = load_dataset(args.data, findings=findings) if args.data else None
    if args.video:
        paths = expand_sources([str(args.video)])
        videos = {name: open_video(path, name=name) for name, path in paths.items()}
    else:
        videos = {name: dataset.open_video(name) for name in dataset.annotations.videos}
    if dataset is not None:
        truth = dataset.annotations
    elif args.ground_truth:
        facts = {n: VideoInfo(n, v.size, v.fps, len(v), v.clock.times) for n, v in videos.items()}
        truth = read_coco_video(args.ground_truth, videos=facts, findings=findings)
    findings.report()
    for video in videos.values():
        for note in video.notes:
            print(f"{video.path}: {note}", file=sys.stderr)
    return videos, truth


def _holds_videos(path: Path) -> bool:
    from stadet.datasets.footage.video import find_videos

    return path.is_dir() and bool(find_videos(path))


def _render(
    name: str,
    video: Video,
    panels: list[Panel],
    truth: AnnotationSet | None,
    out: Path,
    args: argparse.Namespace,
) -> None:
    import numpy as np

    from stadet.datasets.footage.info import find_video
    from stadet.datasets.footage.writer import VideoWriter
    from stadet.engine.errors import UserError
    from stadet.engine.progress import progress
    from stadet.tools.inference.render_panels import VideoOverlay

    times = video.timestamps
    stop_time = np.inf if args.seconds is None else args.start + args.seconds
    first, stop = (int(place) for place in np.searchsorted(times, [args.start, stop_time]))
    if first >= len(video):
        raise UserError(
            f"{video.path}: expected --start inside its {times[-1]:.2f} s, found {args.start:g}"
        )
    known = find_video(name, truth.videos) if truth else None
    annotations = truth.videos[known] if known else None
    if truth and annotations is None:
        print(f"{video.path}: no ground truth for this video", file=sys.stderr)
    overlays = [
        VideoOverlay(panel, name, video, annotations, truth.names if truth else (), args.threshold)
        for panel in panels
    ]
    height, width = video.size
    sheet = np.empty((height, width * len(overlays), 3), dtype=np.uint8)
    began = time.perf_counter()
    variable = not video.constant_rate
    with VideoWriter(out, sheet.shape[:2], video.rate, variable_rate=variable) as writer:
        frames = progress(
            video.frames(first, stop), description=name, unit="frame", total=stop - first
        )
        for frame, image in frames:
            for place, overlay in enumerate(overlays):
                part = sheet[:, place * width : (place + 1) * width]
                part[:] = image
                overlay.draw(part, frame, times[frame])
            writer.write(sheet, times[frame] - times[first] if variable else None)
    seconds = time.perf_counter() - began
    for note in writer.notes:
        print(f"{out}: {note}", file=sys.stderr)
    print(
        f"boxed video: {out} ({len(writer)} frames of {sheet.shape[1]}x{height} at "
        f"{video.fps:g} fps, {len(writer) / seconds:.0f} frames a second)"
    )


if __name__ == "__main__":
    from stadet.tools.cli import run_verb

    raise SystemExit(run_verb(sys.modules[__name__]))
