"""Writes the whole report of an evaluation into a folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stadet.detect.detections.detection_set import DetectionSet
from stadet.detect.metrics.evaluation import Evaluation
from stadet.detect.report.figures import figures, write_figures
from stadet.detect.report.gallery import choose_frames, example_frames, gallery_frames
from stadet.detect.report.markdown import markdown
from stadet.detect.report.page import report_page
from stadet.detect.structures import AnnotationSet
from stadet.engine.files import atomic_write

FrameReader = Callable[[str, int], "np.ndarray | None"]


def write_report(
    folder: str | os.PathLike,
    evaluation: Evaluation,
    annotations: AnnotationSet,
    detections: DetectionSet,
    *,
    title: str = "Evaluation",
    events: Sequence[dict[str, Any]] = (),
    frame_of: FrameReader | None = None,
    gallery: int = 6,
) -> Path:
    """Write `metrics.json`, `report.md`, `report.html` and `ranking.npz`; returns the page's path.

    events: of a run's metrics.jsonl, for learning curves. frame_of(video, frame) -> (H, W, 3) uint8
    RGB, or None where the video is not available; without it the page has no pictures. gallery:
    number of the worst and of the best frames; 0 = no pictures.
    """
    folder = Path(folder)
    numbers = figures(evaluation)
    pictures = {}
    if frame_of is not None and gallery:
        from stadet.detect.report.pictures import draw_frames

        worst, best = choose_frames(evaluation, gallery)
        shown = {frame.key for frame in [*worst, *best]}
        keys = [key for keys in example_frames(evaluation).values() for key in keys]
        examples = gallery_frames(evaluation, (key for key in keys if key not in shown))
        threshold = evaluation.thresholds.overall
        pictures = {
            name: draw_frames(frames, annotations, detections, threshold, frame_of)
            for name, frames in (("worst", worst), ("best", best), ("examples", examples))
        }
    write_figures(folder / "metrics.json", numbers)
    evaluation.units.save(folder / "ranking.npz")
    with atomic_write(folder / "report.md") as stream:
        stream.write(markdown(numbers, title))
    with atomic_write(folder / "report.html") as stream:
        stream.write(report_page(evaluation, numbers, title, events=events, **pictures))
    return folder / "report.html"
