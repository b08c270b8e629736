"""Panels of `stad render`: one for each file that is compared."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from stadet.datasets.footage.info import find_video
from stadet.datasets.footage.video import Video
from stadet.detect.detections.detection_set import DetectionSet, VideoDetections
from stadet.detect.detections.reader import read_detections
from stadet.detect.drawing.render import Canvas, time_stamp
from stadet.detect.structures import VideoAnnotations
from stadet.detect.tubes.file import read_tubes
from stadet.detect.tubes.tube_set import TubeSet, VideoTubes
from stadet.engine.errors import UserError, neighbours

_log = logging.getLogger(__name__)

Found = TypeVar("Found", VideoDetections, VideoTubes)


@dataclass(frozen=True, eq=False)
class Panel:
    """One picture of those side by side; without either file it shows truth alone."""

    title: str
    detections: DetectionSet | None = None
    tubes: TubeSet | None = None


def make_panels(
    detections: Sequence[Path],
    tubes: Sequence[Path],
    titles: Sequence[str] | None,
    ground_truth_json: Path | None,
) -> list[Panel]:
    """A panel for each detections file with the tube file of the same place, where both are given.

    ground_truth_json: names the images of a COCO results file.
    UserError for numbers of files and titles that do not agree.
    """
    counts = {len(files) for files in (detections, tubes) if files} or {1}
    count = max(counts)
    if len(counts) > 1:
        raise UserError(
            f"expected as many --tubes as --detections, found {len(tubes)} and {len(detections)}"
        )
    if titles and len(titles) != count:
        raise UserError(f"expected {count} --titles, one a file, found {len(titles)}")
    if not titles:
        titles = [path.stem for path in detections or tubes] if count > 1 else [""]
    panels = []
    for place, title in enumerate(titles):
        found = None
        if detections:
            found = read_detections(detections[place], ground_truth_json=ground_truth_json)
            for note in found.notes:
                _log.warning(note)
        panels.append(Panel(title, found, read_tubes(tubes[place]) if tubes else None))
    return panels


class VideoOverlay:
    """A panel's drawing over one video.

    name: the video's, as the files call it; annotations: its truth, if any, under `truth_names`.
    UserError where a file knows no such video or continues after its end.
    """

    def __init__(
        self,
        panel: Panel,
        name: str,
        video: Video,
        annotations: VideoAnnotations | None,
        truth_names: Sequence[str],
        threshold: float,
    ):
        self._panel, self._threshold = panel, threshold
        self._annotations, self._truth_names = annotations, truth_names
        self._detections: VideoDetections | None = None
        self._tubes: VideoTubes | None = None
        if panel.detections is not None:
            self._detections = _of_video(panel.detections.videos, name, video, "detections")
            last = self._detections.frames[-1] if len(self._detections) else -1
            _expect_inside(int(last), video, "detections")
        if panel.tubes is not None:
            self._tubes = _of_video(panel.tubes.videos, name, video, "tubes")
            last = max((tube.stop - 1 for tube in self._tubes.tubes), default=-1)
            _expect_inside(last, video, "tubes")

    def draw(self, image: np.ndarray, frame: int, seconds: float) -> None:
        """Draw all that is known of `frame` into its image (H, W, 3) uint8 RGB."""
        remarks = [time_stamp(seconds, frame)]
        with Canvas(image, self._truth_names) as canvas:
            if self._annotations is not None:
                truth = self._annotations[frame]
                if truth is None:
                    remarks.append("not annotated")
                else:
                    canvas.annotations(truth)
            if self._detections is not None:
                found = self._detections[frame]
                if found is None:
                    remarks.append("not processed")
                else:
                    names = self._panel.detections.names
                    canvas.detections(found, self._threshold, names=names)
            if self._tubes is not None:
                tubes, names = self._tubes.at(frame), self._panel.tubes.names
                canvas.tubes(frame, tubes, self._threshold, names=names)
            canvas.corner("  ".join(remarks))
            if self._panel.title:
                canvas.corner(self._panel.title, bottom=False)


def _of_video(videos: Mapping[str, Found], name: str, video: Video, what: str) -> Found:
    known = find_video(name, videos)
    if known is None:
        raise UserError(
            f"{video.path}: expected {what} of {name!r}, found those of "
            f"{', '.join(sorted(videos)[:5]) or 'no video'}{neighbours(name, videos)}; "
            "give the file made from this video"
        )
    return videos[known]


def _expect_inside(last: int, video: Video, what: str) -> None:
    if last >= len(video):
        raise UserError(
            f"{video.path}: expected {what} of frames 0..{len(video) - 1}, found frame {last}; "
            "they belong to another cut of the video"
        )
