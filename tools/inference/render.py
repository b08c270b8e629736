"""Detections, tubes and truth drawn into videos that a browser plays."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stadet.datasets.dataset import load_dataset
from stadet.datasets.footage.info import VideoInfo, find_video
from stadet.datasets.footage.video import Video, find_videos, open_video
from stadet.datasets.footage.writer import VideoWriter
from stadet.datasets.formats.coco_video import read_coco_video
from stadet.detect.structures import AnnotationSet
from stadet.engine.errors import UserError
from stadet.engine.files import expect_absent
from stadet.engine.findings import Findings
from stadet.engine.progress import progress
from stadet.engine.reading import path_below
from stadet.engine.signatures import checked
from stadet.tools.inference.render_panels import Panel, VideoOverlay, make_panels
from stadet.tools.inference.sources import expand_sources

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RenderedVideo:
    """A boxed video.

    Attributes:
        path: the mp4.
        frames: number of frames.
        size: (height, width) in pixels.
        fps: mean frames a second of the video.
        seconds: that drawing and encoding took.
    """

    path: Path
    frames: int
    size: tuple[int, int]
    fps: float
    seconds: float


@checked
def render(
    out: str | Path,
    *,
    video: str | Path | None = None,
    detections: Sequence[str | Path] = (),
    tubes: Sequence[str | Path] = (),
    titles: Sequence[str] | None = None,
    ground_truth: str | Path | None = None,
    data: str | Path | None = None,
    threshold: float = 0.25,
    start: float = 0.0,
    seconds: float | None = None,
    overwrite: bool = False,
) -> list[RenderedVideo]:
    """Draw detections, tubes and truth into videos.

    Args:
        out: the mp4, or a folder where there are many videos.
        video: a video file, a frame folder, or a folder of them (default: the videos of `data`).
        detections: detections files; several are drawn side by side.
        tubes: tube files, as many as `detections` where both are given.
        titles: of the files drawn side by side.
        ground_truth: truth as COCO-video JSON.
        data: truth as a data set file.
        threshold: least score drawn.
        start: where to begin, seconds.
        seconds: how much to draw (default: to the end).
        overwrite: replace videos that are there.

    Returns:
        What was written.

    Raises:
        UserError: where there is nothing to draw or nothing to draw into, and for files of other
            videos.
    """
    if not (detections or tubes or ground_truth or data):
        raise UserError("nothing to draw; give --detections, --tubes, --ground-truth or --data")
    if not (video or data):
        raise UserError("no video to draw into; give --video, or --data for all of a data set's")
    if start < 0 or (seconds is not None and seconds <= 0):
        raise UserError(
            f"expected --start from 0 on and --seconds above 0, found {start:g} and "
            f"{seconds if seconds is None else format(seconds, 'g')}"
        )
    out = Path(out)
    videos, truth = _videos_and_truth(video, data, ground_truth)
    panels = make_panels(
        [Path(path) for path in detections],
        [Path(path) for path in tubes],
        titles,
        Path(ground_truth) if ground_truth else None,
    )
    many = len(videos) > 1 or (
        out.suffix.lower() != ".mp4" and (video is None or _holds_videos(Path(video)))
    )
    if many and out.suffix.lower() == ".mp4":
        raise UserError(f"--out: expected a folder for {len(videos)} videos, found {out}")
    places = {name: path_below(out, f"{name}.mp4") if many else out for name in videos}
    for name, opened in videos.items():
        place = places[name]
        if place.resolve() == opened.path.resolve():
            raise UserError(f"{place}: expected another name to write to than the video's own")
    expect_absent(*places.values(), overwrite=overwrite)
    return [
        _render(name, opened, panels, truth, places[name], threshold, start, seconds)
        for name, opened in videos.items()
    ]


def _videos_and_truth(
    video: str | Path | None, data: str | Path | None, ground_truth: str | Path | None
) -> tuple[dict[str, Video], AnnotationSet | None]:
    findings = Findings()
    truth = None
    dataset = load_dataset(data, findings=findings) if data else None
    if video:
        paths = expand_sources([str(video)])
        videos = {name: open_video(path, name=name) for name, path in paths.items()}
    else:
        videos = {name: dataset.open_video(name) for name in dataset.annotations.videos}
    if dataset is not None:
        truth = dataset.annotations
    elif ground_truth:
        facts = {n: VideoInfo(n, v.size, v.fps, len(v), v.clock.times) for n, v in videos.items()}
        truth = read_coco_video(ground_truth, videos=facts, findings=findings)
    findings.report()
    for opened in videos.values():
        for note in opened.notes:
            _log.warning(f"{opened.path}: {note}")
    return videos, truth


def _holds_videos(path: Path) -> bool:
    return path.is_dir() and bool(find_videos(path))


def _render(
    name: str,
    video: Video,
    panels: list[Panel],
    truth: AnnotationSet | None,
    out: Path,
    threshold: float,
    start: float,
    seconds: float | None,
) -> RenderedVideo:
    times = video.timestamps
    stop_time = np.inf if seconds is None else start + seconds
    first, stop = (int(place) for place in np.searchsorted(times, [start, stop_time]))
    if first >= len(video):
        raise UserError(
            f"{video.path}: expected --start inside its {times[-1]:.2f} s, found {start:g}"
        )
    known = find_video(name, truth.videos) if truth else None
    annotations = truth.videos[known] if known else None
    if truth and annotations is None:
        _log.warning(f"{video.path}: no ground truth for this video")
    overlays = [
        VideoOverlay(panel, name, video, annotations, truth.names if truth else (), threshold)
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
    took = time.perf_counter() - began
    for note in writer.notes:
        _log.warning(f"{out}: {note}")
    return RenderedVideo(out, len(writer), (height, sheet.shape[1]), video.fps, took)
