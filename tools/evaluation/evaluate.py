"""Scoring detections and checkpoints, and writing the report."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from stadet.datasets.clips.timing import Rate
from stadet.datasets.dataset import Dataset, load_dataset
from stadet.datasets.formats.ava_evaluation import sets_of_columns
from stadet.detect.detections.detection_set import DetectionSet
from stadet.detect.detections.reader import read_detections
from stadet.detect.metrics import evaluation as metrics
from stadet.detect.metrics.evaluation import IN_SAMPLE, Evaluation, Thresholds
from stadet.detect.metrics.processed import only_processed as processed_frames
from stadet.detect.metrics.protocols import get_protocol
from stadet.detect.metrics.stillness import motionless_spans
from stadet.detect.report.build import write_report
from stadet.detect.report.figures import read_figures
from stadet.detect.structures import AnnotationSet
from stadet.engine.errors import UserError
from stadet.engine.reading import read_json, whole_number
from stadet.engine.runlog import read_events
from stadet.engine.signatures import checked
from stadet.tools.evaluation.ava import ava_columns, ava_detections, is_csv

EVALUATION_FLOOR = 0.02  # score floor of a detections file up to which mAP is hardly changed


@dataclass(frozen=True, eq=False)
class EvaluationResult:
    """Result of an evaluation.

    Attributes:
        evaluation: all figures.
        annotations: the truth that was scored against.
        detections: the detections that were scored.
        report: the page (None where no report was written).
    """

    evaluation: Evaluation
    annotations: AnnotationSet
    detections: DetectionSet
    report: Path | None

    @property
    def notes(self) -> list[str]:
        """Remarks on the figures, one sentence each."""
        return [n for n in (self.evaluation.unprocessed.sentence(), *self.evaluation.notes) if n]

    def summary(self) -> str:
        """The head of the written report, as text."""
        if self.report is None:
            return f"frame-mAP@0.5 {self.evaluation.frame_map.mean_at(0.5):.4f}"
        text = self.report.with_name("report.md").read_text(encoding="utf-8")
        return f"{text.split('## Classes')[0].strip()}\n\nreport: {self.report}"


@checked
def evaluate_checkpoint(
    checkpoint: str | Path,
    *,
    out: str | Path,
    data: str | Path | None = None,
    side: str = "val",
    allow_overlap: bool = False,
    fps: Rate = None,
    **options: Any,
) -> EvaluationResult:
    """Run a checkpoint over one side of a data set and score it.

    Args:
        checkpoint: `best.pt` of a run.
        out: folder of the report; gets `detections.jsonl` too.
        data: data set file (default: the one that the checkpoint was trained with).
        side: "train", "val" or "test".
        allow_overlap: score on frames that the checkpoint was trained on, too.
        fps: frames a second at which a model that uses earlier frames is shown the videos (default:
            those of its training); "native": every frame as it comes.
        options: further keywords of `evaluate_detections`.

    Raises:
        UserError: for a checkpoint of other classes, and for one trained on frames of this side.
    """
    from stadet.tools.inference.detectors import open_detector
    from stadet.tools.inference.predict import predict_dataset

    get_protocol(options.get("protocol", "voc"))  # a wrong name should not wait for predictions
    detector = open_detector(checkpoint)
    data = data or detector.config.data.dataset
    inference = detector.config.inference
    if options.get("protocol") == "yowo":  # its figures are made with its own suppression
        inference = detector.config.recipe.published_inference() or inference
    Path(out).mkdir(parents=True, exist_ok=True)
    detections = Path(out) / "detections.jsonl"
    predict_dataset(
        checkpoint,
        data,
        side,
        detections,
        allow_overlap=allow_overlap,
        fps=fps,
        inference=inference,
    )
    run = Path(checkpoint).parent
    return evaluate_detections(
        detections,
        data=data,
        side=side,
        out=out,
        **{"run_folder": run, "said": (inference.describe(),), **options},
    )


@checked
def evaluate_detections(
    detections: str | Path,
    *,
    ground_truth: str | Path | None = None,
    data: str | Path | None = None,
    side: str | None = None,
    out: str | Path | None = None,
    protocol: str = "voc",
    threshold: float | None = None,
    threshold_from: str | Path | None = None,
    video_map: bool = False,
    top: Sequence[int] = (5, 24),
    min_clips: int = 10,
    only_processed: bool = False,
    motionless: str | Path | None = "tracks",
    bootstrap: int = 1000,
    gallery: int = 6,
    title: str | None = None,
    strict: bool = False,
    run_folder: str | Path | None = None,
    label_map: str | Path | None = None,
    excluded: str | Path | None = None,
    said: Sequence[str] = (),
) -> EvaluationResult:
    """Score a detections file against truth.

    Args:
        detections: `stad-detections/1` JSON Lines, COCO results with their `ground_truth`, or
            AVA's csv of `video, second, x1, y1, x2, y2, action, score`.
        ground_truth: COCO-video JSON, or AVA's csv for such detections; may take the place of
            the data set's own annotations.
        data: data set file.
        side: score only this side of the data set's split ("train", "val", "test").
        out: folder of the report (None: no report is written).
        protocol: "voc", "yowo", "coco", "ava" or "multisports" (docs/protocols.md).
        threshold: score from which detections count for precision and recall (default: best F1
            on these frames).
        threshold_from: a `metrics.json` whose thresholds are applied instead.
        video_map: link tubes and score them too.
        top: means over the K most frequent classes, for each K.
        min_clips: of those with at least so many clips.
        only_processed: leave out frames that the model never reached.
        motionless: where hands rest, for direction accuracy there: "tracks" = measured from the
            truth's tracks; JSON `{"video": [[first, last], ..]}` (frames, inclusive), or
            `restaurant.json` of generated footage; None = nowhere.
        bootstrap: replicates of the intervals; 0 = no intervals.
        gallery: frames of each kind on the page; 0 = none.
        title: heading of the report (default: the run's folder and the side).
        strict: anything wrong with the detections is an error.
        run_folder: whose learning curves the report shows (default: the detections' folder).
        label_map: AVA's list of action ids and names, with csv truth (default: ids 1 to 80, of
            which AVA evaluates 60).
        said: what the report is to tell of how the detections were made, a sentence each.
        excluded: AVA's csv of `video, second` that do not count, with csv truth.

    Raises:
        UserError: for files that cannot be read or do not fit each other.
    """
    get_protocol(protocol)  # a wrong name should not wait for the reading
    if not (ground_truth or data):
        raise UserError("expected --ground-truth or --data to score against, found neither")
    run_folder = Path(run_folder or Path(detections).parent)
    dataset = load_dataset(data) if data else None
    columns = None
    with _no_collection():
        if is_csv(ground_truth):
            if side is not None:
                raise UserError("expected --data with --side, found AVA's csv as --ground-truth")
            columns = ava_columns(ground_truth, detections, label_map, excluded)
            annotations, found = sets_of_columns(columns)
        else:
            for flag, value in (("--label-map", label_map), ("--excluded", excluded)):
                if value is not None:
                    raise UserError(f"{flag}: expected AVA's csv as --ground-truth with it")
            everything, annotations = truth_of(ground_truth, dataset, side)
            if is_csv(detections):
                found = ava_detections(detections, everything, dataset)
            else:
                found = read_detections(
                    Path(detections), everything, ground_truth_json=ground_truth, strict=strict
                )
    if only_processed:
        annotations, columns = processed_frames(annotations, found), None
    reverses = dataset.reverses if dataset else None
    evaluation = metrics.evaluate(
        annotations,
        found,
        protocol,
        thresholds=_thresholds(threshold, threshold_from, annotations.names),
        top=top,
        min_clips=min_clips,
        reverses=reverses,
        spans=_spans(motionless, annotations, reverses or {}) if motionless else None,
        with_video_map=video_map,
        replicates=bootstrap,
        columns=columns,
    )
    if note := _floor_note(found):
        evaluation = replace(evaluation, notes=(note, *evaluation.notes))
    evaluation = replace(evaluation, notes=(*evaluation.notes, *said))
    page = None
    if out is not None:
        page = write_report(
            out,
            evaluation,
            annotations,
            found,
            title=title or " ".join(filter(None, (run_folder.resolve().name, side))),
            events=read_events(run_folder / "metrics.jsonl"),
            frame_of=_frame_reader(dataset) if dataset else None,
            gallery=gallery,
        )
    return EvaluationResult(evaluation, annotations, found, page)


def _floor_note(detections: DetectionSet) -> str | None:
    """Said of a file that was written for use: weak detections raise mAP, and are not in it."""
    if detections.score_floor <= EVALUATION_FLOOR:
        return None
    return (
        f"The file leaves out scores below {detections.score_floor:g}, so that mAP and recall are "
        "those of a ranking that is cut off there; stad predict --for-evaluation keeps all."
    )


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


def truth_of(
    ground_truth: str | Path | None, dataset: Dataset | None, side: str | None
) -> tuple[AnnotationSet, AnnotationSet]:
    """All that is annotated (the videos a detections file may name), and the side to score."""
    if ground_truth:
        from stadet.datasets.formats.coco_video import read_coco_video

        everything = read_coco_video(ground_truth)
    else:
        everything = dataset.annotations
    if side is None:
        return everything, everything
    if dataset is None:
        raise UserError("expected --data with --side: the split is in the data set file")
    return everything, dataset.split.select(everything, side)


def _thresholds(
    threshold: float | None, threshold_from: str | Path | None, names: tuple[str, ...]
) -> Thresholds | None:
    if threshold is not None and threshold_from:
        raise UserError("expected --threshold or --threshold-from, found both")
    if threshold is not None:
        return Thresholds(threshold, np.full(len(names), np.nan), "given")
    if not threshold_from:
        return None
    figures = read_figures(threshold_from)
    source = figures["threshold_source"]
    how = "best F1 on the frames of that report" if source == IN_SAMPLE else source
    learnt = [figures["per_class"].get(name, {}).get("threshold") for name in names]
    return Thresholds(
        float(figures["threshold"]),
        np.array([np.nan if value is None else value for value in learnt]),
        f"from {threshold_from} ({how})",
    )


def _spans(
    path: str | Path, truth: AnnotationSet, reverses: Mapping[str, str]
) -> dict[str, list[tuple[int, int]]] | None:
    """Where hands rest; None where tracks are asked for and no track rests."""
    if path == "tracks":
        measured = motionless_spans(truth, [name for name in truth.names if name in reverses])
        return measured if any(measured.values()) else None
    spans = read_json(path, 'JSON {"video": [[first, last], ..]}')
    try:
        if "schema" in spans:
            from stadet.datasets.restaurant.facts import read_facts

            stops = read_facts(path).stops
            return {name: [(s.first, s.last) for s in own] for name, own in stops.items()}
        return {
            video: [
                (whole_number(first, f"{path}: {video}"), whole_number(last, f"{path}: {video}"))
                for first, last in ranges
            ]
            for video, ranges in spans.items()
        }
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(
            f'{path}: expected JSON {{"video": [[first, last], ..]}}, found {error}'
        ) from error


def _frame_reader(dataset: Dataset) -> Callable[[str, int], np.ndarray | None]:
    """Frames of the data set's videos; None where a video is not available."""

    def frame_of(video: str, frame: int) -> np.ndarray | None:
        if video not in dataset.video_paths:
            return None
        return dataset.open_video(video).frame(frame)

    return frame_of
