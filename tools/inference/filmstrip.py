"""An action and its reversal as a detector with memory sees them, as a picture and a table."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor, nn

from stadet.datasets.footage.video import Video, open_video
from stadet.detect.drawing.filmstrip import Scene, ScoreLine, draw_filmstrip
from stadet.detect.drawing.render import draw_detections
from stadet.detect.structures import Detections
from stadet.engine.errors import UserError, neighbours
from stadet.engine.files import atomic_write, expect_absent
from stadet.recurrent_yolo.recurrence import ConvRecurrence
from stadet.tools.inference.video_detector import VideoDetector, open_detector

CLASSES = 4  # drawn where none are asked for
FLOOR = 0.001  # of the scores; what is below it is drawn as 0
WITH, WITHOUT = "memory", "against"
DIRECTIONS = ("as filmed", "backwards")


@dataclass(frozen=True, eq=False)
class Filmstrip:
    """Result of `filmstrip`.

    Attributes:
        picture, table: filmstrip.png and filmstrip.csv.
        scores: by direction ("as filmed", "backwards") and model ("memory", "against"), (T, C) best
            score of each class on each frame, in the order in which the frames were shown.
        names: of the C classes.
        lines: what each model answers on the last frame of each direction, in words.
    """

    picture: Path
    table: Path
    scores: dict[tuple[str, str], np.ndarray]
    names: tuple[str, ...]
    lines: list[str]


def filmstrip(
    video: str | Path | Video,
    checkpoint: str | Path,
    out: str | Path,
    *,
    against: str | Path | None = None,
    start: float = 0.0,
    seconds: float = 2.0,
    classes: Sequence[str] | None = None,
    threshold: float | None = None,
    device: str | None = None,
    overwrite: bool = False,
) -> Filmstrip:
    """Show a stretch to a detector as it was filmed and backwards, each from an empty memory.

    Args:
        video: a video file, a frame folder or a `Video`.
        checkpoint: `best.pt` of a detector with memory.
        out: folder of `filmstrip.png` and `filmstrip.csv`.
        against: a detector of the same classes to compare with, usually the frame detector.
        start: of the stretch, seconds since the video's first frame.
        seconds: its length.
        classes: whose scores are drawn (default: the four that reach the highest scores).
        threshold: least score of a box that is drawn (default: the checkpoint's, else 0.3).
        device: "cpu", "cuda" or "cuda:N" (default: the GPU if there is one).
        overwrite: replace the files of an earlier call.

    Raises:
        UserError: for a detector without memory, another one's classes, an unknown class, a stretch
            outside the video, and files that are there already (unless `overwrite`).
    """
    picture, table = Path(out) / "filmstrip.png", Path(out) / "filmstrip.csv"
    expect_absent(picture, table, overwrite=overwrite)
    detector = open_detector(checkpoint, device, score_floor=FLOOR)
    memory = _memory(detector)
    detectors = {WITH: detector}
    if against is not None:
        detectors[WITHOUT] = other = open_detector(against, device, score_floor=FLOOR)
        if other.names != detector.names:
            raise UserError(
                f"{against}: expected the classes of {checkpoint}, {', '.join(detector.names)}, "
                f"found {', '.join(other.names)}"
            )
    drawn = _chosen(classes, detector.names)
    footage = video if isinstance(video, Video) else open_video(video)
    indices, times = _shown(footage, detector, start, seconds)
    frames = np.stack([frame for _, frame in footage.read(indices)])
    least = threshold if threshold is not None else detector.threshold or 0.3

    scores: dict[tuple[str, str], np.ndarray] = {}
    scenes: list[Scene] = []
    for direction, step in zip(DIRECTIONS, (1, -1), strict=True):
        shown = frames[::step]
        with _activation(memory) as activation:
            found = list(detector(shown))
        scores[direction, WITH] = best_scores(found, len(detector.names))
        if WITHOUT in detectors:
            other_found = list(detectors[WITHOUT](shown))
            scores[direction, WITHOUT] = best_scores(other_found, len(detector.names))
        scenes.append(
            Scene(
                direction,
                abs(times[::step] - times[::step][0]),
                _boxed(shown, found, detector.names, least),
                np.concatenate(activation)[: len(shown)],
                [],
            )
        )
    drawn = drawn or _clearest(scores, detector.names)
    for scene in scenes:
        scene.lines.extend(_lines(scores, scene.title, drawn, detector.names))
    draw_filmstrip(picture, scenes, title=f"{footage.name}, {times[0]:.2f} to {times[-1]:.2f} s")
    _write_table(table, scores, indices, times, detector.names)
    return Filmstrip(picture, table, scores, detector.names, _words(scores, detector.names))


def best_scores(found: Sequence[Detections], num_classes: int) -> np.ndarray:
    """(T, C) highest score of each class among a frame's boxes; 0 where there is none."""
    return np.stack(
        [f.scores.max(axis=0) if len(f.scores) else np.zeros(num_classes) for f in found]
    )


def _memory(detector: VideoDetector) -> nn.Module:
    """Recurrence of the finest level that has one."""
    for module in detector._predictor.model.modules():
        if isinstance(module, ConvRecurrence):
            return module
    raise UserError(
        f"{detector.path}: expected a detector with memory (model: recurrent-yolo), found "
        f"{detector.config.model}"
    )


@contextmanager
def _activation(memory: nn.Module) -> Iterator[list[np.ndarray]]:
    """Collects (T, h, w) mean absolute value over the channels of what the memory puts out."""
    taken: list[np.ndarray] = []

    def take(module: nn.Module, inputs: tuple, output: tuple[Tensor, object]) -> None:
        taken.append(output[0][0].float().abs().mean(1).cpu().numpy())

    handle = memory.register_forward_hook(take)
    try:
        yield taken
    finally:
        handle.remove()


def _chosen(classes: Sequence[str] | None, names: tuple[str, ...]) -> list[int]:
    for name in classes or ():
        if name not in names:
            raise UserError(f"--class: expected a class{neighbours(name, names)}, found {name!r}")
    return [names.index(name) for name in classes or ()]


def _clearest(scores: dict[tuple[str, str], np.ndarray], names: tuple[str, ...]) -> list[int]:
    best = np.max([s.max(axis=0) for (_, model), s in scores.items() if model == WITH], axis=0)
    return sorted(np.argsort(-best, kind="stable")[:CLASSES].tolist())


def _shown(
    video: Video, detector: VideoDetector, start: float, seconds: float
) -> tuple[np.ndarray, np.ndarray]:
    """Indices and seconds of the frames of the stretch at the rate of the detector's training."""
    end, last = start + seconds, float(video.timestamps[-1])
    if not (seconds > 0 and 0 <= start <= last):
        raise UserError(
            f"{video.name}: expected a stretch within 0 to {last:.2f} s, found {start:g} to "
            f"{end:g} s"
        )
    fps = detector._predictor.shown_fps(video.clock)
    first, stop = np.searchsorted(video.timestamps, [start - 1e-9, end + 1e-9])
    indices = np.arange(first, stop)
    if fps is not None:
        ticks = np.arange(start, min(end, last) + 1e-9, 1 / fps)
        indices = np.unique(np.asarray(video.clock.frame_at(ticks), dtype=int))
    if len(indices) < 2:
        raise UserError(
            f"{video.name}: expected at least two frames from {start:g} to {end:g} s, found "
            f"{len(indices)}; take a longer stretch"
        )
    return indices, video.timestamps[indices]


def _boxed(
    frames: np.ndarray, found: Sequence[Detections], names: Sequence[str], threshold: float
) -> np.ndarray:
    pictures = np.ascontiguousarray(frames)
    if pictures is frames or np.shares_memory(pictures, frames):
        pictures = frames.copy()
    for picture, detections in zip(pictures, found, strict=True):
        draw_detections(picture, detections, names, threshold=threshold)
    return pictures


def _lines(
    scores: dict[tuple[str, str], np.ndarray],
    direction: str,
    drawn: Sequence[int],
    names: Sequence[str],
) -> list[ScoreLine]:
    return [
        ScoreLine(names[c], scores[direction, model][:, c], dashed=model == WITHOUT)
        for model in (WITH, WITHOUT)
        if (direction, model) in scores
        for c in drawn
    ]


def _words(scores: dict[tuple[str, str], np.ndarray], names: Sequence[str]) -> list[str]:
    words = {WITH: "with memory", WITHOUT: "without"}
    return [
        f"{direction}, {words[model]}: at the end {names[int(s[-1].argmax())]} {s[-1].max():.2f}"
        for (direction, model), s in scores.items()
    ]


def _write_table(
    path: Path,
    scores: dict[tuple[str, str], np.ndarray],
    indices: np.ndarray,
    times: np.ndarray,
    names: Sequence[str],
) -> None:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["direction", "model", "frame", "seconds", *names])
    for (direction, model), values in scores.items():
        step = 1 if direction == DIRECTIONS[0] else -1
        for frame, time, row in zip(indices[::step], times[::step], values, strict=True):
            numbers = [f"{value:.4f}" for value in row]
            rows.writerow([direction, model, int(frame), f"{time:.3f}", *numbers])
    with atomic_write(path) as stream:
        stream.write(text.getvalue())
