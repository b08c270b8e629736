"""Statistics of a data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stadet.detect.structures import AnnotationSet, VideoAnnotations
from stadet.detect.tubes.truth import truth_tubes
from stadet.detect.view import View

QUANTILES = (0.0, 0.1, 0.5, 0.9, 1.0)


@dataclass(frozen=True)
class ClassStatistics:
    """One class.

    Attributes:
        clips: its tubes (an actor doing it from when to when).
        boxes: how many have it.
        frames: how many have it.
        seconds: `QUANTILES` of the clips' durations, None without clips.
        width: `QUANTILES` of its boxes in network pixels, None without boxes.
        height: `QUANTILES` of its boxes in network pixels, None without boxes.
    """

    name: str
    clips: int
    boxes: int
    frames: int
    seconds: list[float] | None
    width: list[float] | None
    height: list[float] | None


@dataclass(frozen=True)
class Statistics:
    """A set of annotations. frames: all; looked_at; without_action: looked-at frames without a box;
    imbalance: boxes of the most over boxes of the least frequent class that has any; network_size:
    (height, width) of the pixels that box sizes are in, None = each video's own; rates: frames a
    second, the mean where a video's rate varies; variable_rates: videos whose rate does."""

    videos: int
    frames: int
    looked_at: int
    without_action: int
    seconds: float
    boxes: int
    tracks: int
    boxes_of_several_classes: int
    imbalance: float | None
    network_size: tuple[int, int] | None
    sizes: list[tuple[int, int]]
    rates: list[float]
    variable_rates: int
    classes: list[ClassStatistics]

    @property
    def share_without_action(self) -> float | None:
        """Share of the looked-at frames without a box, None where nobody looked."""
        return self.without_action / self.looked_at if self.looked_at else None


def measure(
    annotations: AnnotationSet,
    network_size: tuple[int, int] | None = None,
    *,
    letterbox: bool = False,
) -> Statistics:
    """Count and measure; box sizes as they are after resizing (or letterboxing) to
    `network_size` (height, width)."""
    videos = list(annotations.objects())
    count = len(annotations.names)
    durations: list[list[float]] = [[] for _ in range(count)]
    sides: list[list[np.ndarray]] = [[] for _ in range(count)]
    boxes, frames = np.zeros(count, np.int64), np.zeros(count, np.int64)
    without = tracks = several = 0
    for video in videos:
        for tube in truth_tubes(video):
            durations[tube.label].append(video.clock.duration(tube.start, tube.stop))
        network = _sides(video, network_size, letterbox)
        for c in range(count):
            rows = video.labels[:, c]
            sides[c].append(network[rows])
            frames[c] += len(np.unique(video.frames[rows]))
        boxes += video.labels.sum(axis=0)
        several += int((video.labels.sum(axis=1) > 1).sum())
        tracks += len(np.unique(video.track_ids[video.track_ids >= 0]))
        without += int(video.looked_at.sum()) - len(np.unique(video.frames))
    present = boxes[boxes > 0]
    return Statistics(
        videos=len(videos),
        frames=sum(v.num_frames for v in videos),
        looked_at=sum(int(v.looked_at.sum()) for v in videos),
        without_action=without,
        seconds=sum(seconds_looked_at(v) for v in videos),
        boxes=sum(len(v.boxes) for v in videos),
        tracks=tracks,
        boxes_of_several_classes=several,
        imbalance=float(present.max() / present.min()) if len(present) else None,
        network_size=network_size,
        sizes=sorted({v.size for v in videos}),
        rates=sorted({round(v.fps, 3) for v in videos}),
        variable_rates=sum(not v.clock.constant for v in videos),
        classes=[
            ClassStatistics(
                name,
                len(durations[c]),
                int(boxes[c]),
                int(frames[c]),
                _quantiles(durations[c]),
                *(
                    _quantiles(np.concatenate(sides[c])[:, side]) if boxes[c] else None
                    for side in (0, 1)
                ),
            )
            for c, name in enumerate(annotations.names)
        ],
    )


def seconds_looked_at(video: VideoAnnotations) -> float:
    """Seconds that the looked-at frames are shown."""
    ends = video.clock.seconds(np.arange(video.num_frames + 1))
    return float(np.diff(ends)[video.looked_at].sum())


def _sides(
    video: VideoAnnotations, network_size: tuple[int, int] | None, letterbox: bool
) -> np.ndarray:
    """(M, 2) width and height of each box."""
    boxes = video.boxes
    if network_size is not None:
        view = (View.letterbox if letterbox else View.resize)(video.size, network_size)
        boxes = view.to_network(boxes)
    return boxes[:, 2:] - boxes[:, :2]


def _quantiles(values: Sequence[float] | np.ndarray) -> list[float] | None:
    return [round(float(q), 3) for q in np.quantile(values, QUANTILES)] if len(values) else None
