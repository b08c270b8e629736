"""The session that suits a checkpoint: of a detector or of a clip classifier."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from stadet.detect.actors.tracker import ActorTracker
from stadet.detect.scene.rules import RuleEngine
from stadet.detect.scene.scene import Scene
from stadet.engine.errors import UserError
from stadet.tools.classification.runtimes import open_for_runtime as open_classifier
from stadet.tools.classification.video_answers import VideoClassifier
from stadet.tools.inference.kinds import kind_of
from stadet.tools.inference.predictor import Predictor
from stadet.tools.inference.runtimes import (
    RuntimeOptions,
    choose_device,
    open_for_runtime,
)
from stadet.tools.inference.video_detector import VideoDetector
from stadet.tools.streams.counts_board import CountsBoard
from stadet.tools.streams.session import ClassifierSession, DetectorSession, LiveSession


def session_maker(
    checkpoint: Path,
    runtime: RuntimeOptions | None = None,
    *,
    device: str | None = None,
    threshold: float | None = None,
    fps: str | float | None = None,
    window_seconds: float = 2.0,
    stride_seconds: float = 0.5,
    area: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0),
    scene: Scene | None = None,
    actors: bool = False,
    counts: CountsBoard | None = None,
) -> Callable[[str], LiveSession]:
    """Open a checkpoint; the result makes a `LiveSession` for a stream's name.

    Each session has a model of its own, since a model with memory follows one stream.

    Args:
        checkpoint: of `stad train`, `stad train-classifier` or `stad export`.
        runtime: how the model runs (default: plain torch, an exported file by onnxruntime).
        device: where it runs (default: the GPU if there is one).
        threshold: score to draw and to tell (default: the checkpoint's own, else that of
            `run_videos`).
        fps: frames a second for the model: ``"native"`` for every frame, a number, or None for
            those of its training.
        window_seconds, stride_seconds, area: see `ClassifierSession`.
        scene: rules of the streams, for a detector.
        actors: give hands and people ids, for a detector.
        counts: counts what the streams show, by the same scene.

    Raises:
        UserError: for a file that is no checkpoint and for values out of their range.
    """
    runtime = runtime or RuntimeOptions.for_file(checkpoint)
    if threshold is not None and not 0 <= threshold <= 1:
        raise UserError(f"--threshold: expected a score from 0 to 1, found {threshold}")
    x1, y1, x2, y2 = area
    if not (0 <= x1 < x2 <= 1 and 0 <= y1 < y2 <= 1):
        raise UserError(
            "--area: expected X1 Y1 X2 Y2 from 0 to 1 with X1 < X2 and Y1 < Y2, found "
            + " ".join(f"{side:g}" for side in area)
        )
    if kind_of(checkpoint) == "classifier":
        if scene is not None:
            raise UserError("--scene: expected a detector, found a classifier, which has no boxes")
        if actors:
            raise UserError("--actors: expected a detector, found a classifier, which has no boxes")
        return _classifiers(checkpoint, runtime, device, fps, window_seconds, stride_seconds, area)
    where = choose_device(device, runtime)

    def make_detector(name: str | None = None) -> LiveSession:
        file = open_for_runtime(checkpoint, runtime)
        if scene is not None:
            scene.check_classes(file.names)
        predictor = Predictor(file, where, runtime=runtime, window=1, fps=fps)
        given = predictor.wanted_fps  # a model without memory is shown as much as is asked for
        uses_earlier = predictor.model.context_frames != 0
        rate = predictor.timing.stream_fps if uses_earlier else given
        counting: dict[str, Any] = {}
        if counts is not None and name:
            counter = counts.counter(name, file.names)
            counting = {"counter": counter, "time_of_day": counts.time_of_day}
        return DetectorSession(
            VideoDetector(predictor),
            threshold=file.shown_threshold if threshold is None else threshold,
            fps=rate,
            name=name or "check",
            rules=None if scene is None or not name else RuleEngine(scene, scene.camera_of(name)),
            actors=ActorTracker(fps=rate or 30.0) if actors else None,
            **counting,
        )

    make_detector()  # what is wrong with the file is told before any stream opens
    return make_detector


def _classifiers(
    checkpoint: Path,
    runtime: RuntimeOptions,
    device: str | None,
    fps: str | float | None,
    window_seconds: float,
    stride_seconds: float,
    area: tuple[float, float, float, float],
) -> Callable[[str], LiveSession]:
    where = choose_device(device, runtime)

    def make_classifier(name: str) -> LiveSession:
        file = open_classifier(checkpoint, runtime)
        classifier = VideoClassifier(file, where, rate=fps, runtime=runtime)
        return ClassifierSession(
            classifier,
            fps=classifier.fps,
            window_seconds=window_seconds,
            stride_seconds=stride_seconds,
            area=area,
        )

    make_classifier("check")
    return make_classifier
