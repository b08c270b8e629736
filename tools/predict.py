"""stad predict: a checkpoint over videos, folders or a camera, to a detections file."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby, islice
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stadet.detect.detections.writer import DetectionsWriter
    from stadet.detect.structures import Detections
    from stadet.tools.inference.detectors import DetectorFile
    from stadet.tools.inference.predictor import Predictor

SUMMARY = "run a checkpoint over videos; write a detections file"
EXAMPLES = """\
examples:
  stad predict kitchen.mp4 --checkpoint runs/yolov3/best.pt --out kitchen.jsonl
  stad predict footage/ --checkpoint runs/yolov3/best.pt --out footage.jsonl --resume
  stad predict camera:0 --checkpoint runs/yolov3/best.pt --out live.jsonl
  stad predict kitchen.mp4 --checkpoint runs/yolov3/best.pt --out kitchen.jsonl --tiles 2 2
  stad predict edited.mp4 --checkpoint runs/recurrent/best.pt --out edited.jsonl --scene-cuts
  stad predict footage/ --checkpoint runs/yowo/best.pt --out footage.jsonl --runtime openvino

The file grows as frames are done; what was reached before a kill stays, and --resume goes on.
Draw it with stad render, score it with stad evaluate.
"""
RANGE_FRAMES = 16  # frames between two range rows of the detections file


def build_parser() -> argparse.ArgumentParser:
    from stadet.tools.inference.runtimes import add_runtime_arguments

    parser = argparse.ArgumentParser(
        prog="stad predict",
        description=SUMMARY,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("sources", nargs="+", help="video files, frame folders, folders of videos, or camera:N")
    add("--checkpoint", required=True, help="best.pt of a run")
    add("--out", required=True, help="the detections file (.jsonl)")
    add("--resume", action="store_true", help="continue the file where it ends")
    add("--score-floor", type=float, help="keep class scores above this (default: the run's)")
    add("--window", type=int, default=8, help="frames a step; changes speed, not results")
    add(
        "--tiles",
        type=int,
        nargs=2,
        metavar=("ROWS", "COLUMNS"),
        help="look at overlapping tiles of each frame, for small objects",
    )
    add("--forget", action="store_true", help="a diagnostic: zero the memory at every frame")
    add(
        "--scene-cuts",
        type=float,
        nargs="?",
        const=0.5,
        metavar="SHARE",
        help="a model with memory forgets where this share of the colours changes at once "
        "(without a value: 0.5)",
    )
    add_runtime_arguments(parser)
    add("--device", help="cpu, cuda or cuda:N (default: the GPU if there is one)")
    add("--max-frames", type=int, help="stop after so many frames of each source")
    return parser


def run(args: argparse.Namespace) -> None:
    from stadet.detect.detections.reader import read_detections
    from stadet.detect.detections.writer import DetectionsWriter
    from stadet.engine.errors import UserError
    from stadet.engine.limits import INFINITE, expect_limits
    from stadet.tools.inference.predictor import Predictor
    from stadet.tools.inference.runtimes import choose_device, open_for_runtime, runtime_options
    from stadet.tools.inference.sources import expand_sources

    expect_limits(args, "", window=(1, INFINITE), max_frames=(1, INFINITE))
    out = Path(args.out)
    if out.exists() and not args.resume:
        raise UserError(f"{out} exists; give --resume to continue it, or another --out")
    sources = expand_sources(args.sources)
    runtime = runtime_options(args)
    device = choose_device(args.device, runtime)
    predictor = Predictor(
        open_for_runtime(args.checkpoint, runtime),
        device,
        runtime=runtime,
        window=args.window,
        score_floor=args.score_floor,
        tiles=tuple(args.tiles) if args.tiles else None,
        forget=args.forget,
        scene_cuts=args.scene_cuts,
    )
    names, floor = predictor.detector.names, predictor.config.score_floor
    with DetectionsWriter(out, names, floor, resume=args.resume) as writer:
        reached = {
            video.name: int(video.processed[-1, 1]) + 1
            for video in read_detections(out, names)
            if len(video.processed)
        }
        for name, source in sources.items():
            _predict_source(predictor, name, source, writer, reached.get(name, 0), args.max_frames)
    print(f"detections: {out}")


def _predict_source(
    predictor: Predictor,
    name: str,
    source: str | Path,
    writer: DetectionsWriter,
    reached: int,
    max_frames: int | None,
) -> None:
    """One source to the writer, from frame number `reached` on."""
    from stadet.datasets.clips.live_batches import camera_frames
    from stadet.datasets.footage.video import open_video
    from stadet.engine.progress import progress_bar
    from stadet.tools.inference.sources import CAMERA

    total, first = None, 0
    if str(source).startswith(CAMERA):
        frames, size = camera_frames(int(str(source).removeprefix(CAMERA)))
    else:
        video = open_video(source, name=name)
        for note in video.notes:
            print(f"{name}: {note}", file=sys.stderr)
        size, total, first = video.size, len(video), predictor.frames_before(reached)
        frames = video.frames(first)
    if max_frames is not None:
        total = min(total or max_frames, max_frames)
        frames = islice(frames, max(0, max_frames - first))
    with progress_bar(description=name, total=total, unit="frame") as bar:
        bar.update(first)
        answers = predictor(frames, name, size)
        write_answers(
            (answer for answer in _ticking(answers, bar) if answer[0] >= reached), name, writer
        )


def predict_dataset(
    checkpoint: str | Path,
    data: str | Path | None,
    side: str,
    out: str | Path,
    *,
    allow_overlap: bool = False,
) -> Path:
    """A checkpoint over one side ("train", "val", "test") of a data set, to a detections file.

    data: the data set file (None: the one it was trained with). Frames come through the cache of
    reduced frames, streams break where the side does, and every looked-at frame is answered for
    once. The file is whole or absent.

    UserError for a checkpoint of other classes, and for one that was trained on frames of a side
    that judges (unless `allow_overlap`, here or in the data set file).
    """
    import torch

    from stadet.datasets.splits.overlap import refuse_overlap
    from stadet.datasets.splits.split import Split
    from stadet.detect.detections.writer import DetectionsWriter
    from stadet.detect.inference import detect
    from stadet.engine.files import atomic_path
    from stadet.engine.progress import progress
    from stadet.tools.inference.detectors import open_detector
    from stadet.tools.training.data import open_footage

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    detector = open_detector(checkpoint, device)
    settings = detector.config.data
    if data is not None:
        settings = replace(settings, dataset=str(data))
    footage = open_footage(settings, detector.config.reach)
    expect_classes(footage.dataset.names, detector)
    if side != "train" and not (allow_overlap or footage.dataset.config.split.allow_overlap):
        refuse_overlap(
            Split.from_record(detector.split),
            footage.dataset.split,
            what=f"checkpoint {checkpoint}",
            sides=[side],
            allow="give --allow-overlap",
        )
    loader = footage.evaluation_loader(side, detector.model)
    batches = progress(loader, description=side, unit="batch", total=len(loader))
    config = detector.config.inference
    with (
        atomic_path(out) as temporary,
        DetectionsWriter(temporary, detector.names, config.score_floor) as writer,
    ):
        answers = detect(detector.model, batches, config, device)
        for video, group in groupby(answers, key=lambda answer: answer[0]):
            write_answers(((frame, found) for _, frame, found in group), video, writer)
    return Path(out)


def expect_classes(names: Sequence[str], detector: DetectorFile) -> None:
    """UserError unless a data set's classes are the checkpoint's (in any order)."""
    from stadet.engine.errors import UserError

    if set(names) != set(detector.names):
        differing = sorted(set(names) ^ set(detector.names))
        raise UserError(
            f"checkpoint {detector.path}: expected the data set's {len(names)} classes, found "
            f"{len(detector.names)} (differing: {', '.join(map(repr, differing[:5]))}); train on "
            "this data set, or give the one that the checkpoint was trained on"
        )


def write_answers(
    answers: Iterable[tuple[int, Detections]], video: str, writer: DetectionsWriter
) -> None:
    """Rows as they come, and a range row every few frames, at a gap and at the end, also where
    Ctrl-C is the end."""
    first = last = None
    try:
        for frame, detections in answers:
            if first is not None and (frame != last + 1 or frame - first >= RANGE_FRAMES):
                writer.processed(video, first, last)
                first = None
            writer.write(video, frame, detections)
            first, last = frame if first is None else first, frame
    finally:
        if first is not None:
            writer.processed(video, first, last)


def _ticking(answers: Iterable, bar) -> Iterator:
    for answer in answers:
        yield answer
        bar.update()


if __name__ == "__main__":
    from stadet.tools.cli import run_verb

    raise SystemExit(run_verb(sys.modules[__name__]))
