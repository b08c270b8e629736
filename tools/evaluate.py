"""stad evaluate: detections against truth, to JSON, Markdown and an HTML page."""

from __future__ import annotations

import argparse
import contextlib
import gc
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from stadet.datasets.dataset import Dataset
    from stadet.detect.metrics.evaluation import Thresholds
    from stadet.detect.structures import AnnotationSet

SUMMARY = "score a checkpoint or a detections file; write the report"
EXAMPLES = """\
examples:
  stad evaluate --ground-truth gt.json --detections detections.jsonl --out report
  stad evaluate --data dataset.yaml --side val --detections detections.jsonl --out report
  stad evaluate --data dataset.yaml --side test --checkpoint runs/yolov3/best.pt \\
      --threshold-from runs/yolov3/report/metrics.json --out runs/yolov3/test
  stad evaluate --ground-truth gt.json --detections results.json --protocol coco --out coco

detections: stad-detections/1 JSON Lines, or COCO results (a list of image_id, category_id, bbox,
score) beside their --ground-truth. The report: metrics.json, report.md, report.html (one file, no
network) and ranking.npz, from which stad compare draws its intervals.
"""


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="stad evaluate",
        description=SUMMARY,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--detections", help="a detections file")
    what.add_argument("--checkpoint", help="best.pt of a run: predicts first")
    add("--ground-truth", help="COCO-video JSON; may stand in for the data set's own annotations")
    add("--data", help="data set file (default with --checkpoint: the one it was trained with)")
    add(
        "--side",
        choices=["train", "val", "test"],
        help="score only this side of the split (default with --checkpoint: val)",
    )
    add("--out", required=True, help="folder of the report")
    add("--protocol", default="voc", help="voc (default), yowo or coco")
    add("--threshold", type=float, help="score from which detections count for precision, recall")
    add(
        "--threshold-from",
        help="metrics.json whose thresholds are applied (learnt on another side)",
    )
    add("--video-map", action="store_true", help="link tubes and score them too")
    add(
        "--top", type=int, nargs="+", default=[5, 24], help="means over the K most frequent classes"
    )
    add("--min-clips", type=int, default=10, help="of those with at least so many clips")
    add(
        "--allow-overlap",
        action="store_true",
        help="score a checkpoint on frames it was trained on, too",
    )
    add("--only-processed", action="store_true", help="leave out frames the model never reached")
    add(
        "--motionless",
        help='JSON {"video": [[first, last], ..]}, or restaurant.json of generated footage: spans '
        "for direction accuracy",
    )
    add("--bootstrap", type=int, default=1000, help="replicates of the intervals; 0 = none")
    add("--gallery", type=int, default=6, help="frames of each kind on the page; 0 = none")
    add("--title", help="heading of the report")
    add("--strict", action="store_true", help="anything wrong with the detections is an error")
    return parser


def run(args: argparse.Namespace) -> None:
    from stadet.detect.detections.reader import read_detections
    from stadet.detect.metrics.evaluation import evaluate
    from stadet.detect.metrics.processed import only_processed
    from stadet.detect.metrics.protocols import get_protocol
    from stadet.detect.report.build import write_report
    from stadet.engine.errors import UserError
    from stadet.engine.runlog import read_events

    get_protocol(args.protocol)  # a wrong name should not wait for the reading
    out = Path(args.out)
    if args.checkpoint:
        from stadet.tools.inference.detectors import open_detector

        args.side = args.side or "val"
        args.data = args.data or open_detector(args.checkpoint).config.data.dataset
    if not (args.ground_truth or args.data):
        raise UserError("expected --ground-truth or --data to score against, found neither")
    dataset = _open_dataset(args.data) if args.data else None
    with _no_collection():
        everything, annotations = _truth(args, dataset)
    if args.checkpoint:
        from stadet.tools.predict import predict_dataset

        out.mkdir(parents=True, exist_ok=True)
        detections_path = predict_dataset(
            args.checkpoint,
            args.data,
            args.side,
            out / "detections.jsonl",
            allow_overlap=args.allow_overlap,
        )
        run_folder = Path(args.checkpoint).parent
    else:
        detections_path, run_folder = Path(args.detections), Path(args.detections).parent
    with _no_collection():
        detections = read_detections(
            detections_path, everything, ground_truth_json=args.ground_truth, strict=args.strict
        )
    if args.only_processed:
        annotations = only_processed(annotations, detections)
    evaluation = evaluate(
        annotations,
        detections,
        args.protocol,
        thresholds=_thresholds(args, annotations.names),
        top=args.top,
        min_clips=args.min_clips,
        reverses=dataset.reverses if dataset else None,
        spans=_spans(args.motionless) if args.motionless else None,
        with_video_map=args.video_map,
        replicates=args.bootstrap,
    )
    title = args.title or " ".join(
        str(part) for part in (run_folder.resolve().name, args.side) if part
    )
    page = write_report(
        out,
        evaluation,
        annotations,
        detections,
        title=title,
        events=read_events(run_folder / "metrics.jsonl"),
        frame_of=_frame_reader(dataset) if dataset else None,
        gallery=args.gallery,
    )
    for note in [evaluation.unprocessed.sentence(), *evaluation.notes]:
        if note:
            print(f"note: {note}", file=sys.stderr)
    print((out / "report.md").read_text(encoding="utf-8").split("## Classes")[0].strip())
    print(f"\nreport: {page}")


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    """Hold the garbage collector: JSON makes a million objects without a single cycle, and looking
    for cycles among them takes a fifth of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _open_dataset(path: str) -> Dataset:
    from stadet.datasets.dataset import load_dataset

    return load_dataset(path)


def _truth(
    args: argparse.Namespace, dataset: Dataset | None
) -> tuple[AnnotationSet, AnnotationSet]:
    """All that is annotated (the videos a detections file may speak of), and the side to score."""
    from stadet.engine.errors import UserError

    if args.ground_truth:
        from stadet.datasets.formats.coco_video import read_coco_video

        everything = read_coco_video(args.ground_truth)
    else:
        everything = dataset.annotations
    if args.side is None:
        return everything, everything
    if dataset is None:
        raise UserError("expected --data beside --side: the split stands in the data set file")
    return everything, dataset.split.select(everything, args.side)


def _thresholds(args: argparse.Namespace, names: tuple[str, ...]) -> Thresholds | None:
    import numpy as np

    from stadet.detect.metrics.evaluation import Thresholds
    from stadet.detect.report.figures import read_figures
    from stadet.engine.errors import UserError

    if args.threshold is not None and args.threshold_from:
        raise UserError("expected --threshold or --threshold-from, found both")
    if args.threshold is not None:
        return Thresholds(args.threshold, np.full(len(names), np.nan), "given")
    if not args.threshold_from:
        return None
    figures = read_figures(args.threshold_from)
    learnt = [figures["per_class"].get(name, {}).get("threshold") for name in names]
    return Thresholds(
        float(figures["threshold"]),
        np.array([np.nan if value is None else value for value in learnt]),
        f"from {args.threshold_from}, there: {figures['threshold_source']}",
    )


def _spans(path: str) -> dict[str, list[tuple[int, int]]]:
    import json

    from stadet.engine.errors import UserError

    try:
        spans = json.loads(Path(path).read_text(encoding="utf-8"))
        if "schema" in spans:
            from stadet.datasets.restaurant.facts import read_facts

            stops = read_facts(path).stops
            return {name: [(s.first, s.last) for s in own] for name, own in stops.items()}
        return {
            video: [(int(first), int(last)) for first, last in ranges]
            for video, ranges in spans.items()
        }
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise UserError(
            f'{path}: expected JSON {{"video": [[first, last], ..]}}, found {error}'
        ) from error


def _frame_reader(dataset: Dataset) -> Callable[[str, int], np.ndarray | None]:
    """Frames of the data set's videos; None where a video is not at hand."""

    def frame_of(video: str, frame: int) -> np.ndarray | None:
        if video not in dataset.video_paths:
            return None
        return dataset.open_video(video).frame(frame)

    return frame_of


if __name__ == "__main__":
    from stadet.tools.cli import run_verb

    raise SystemExit(run_verb(sys.modules[__name__]))
