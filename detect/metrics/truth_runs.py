"""Runs of truth: the same action of the same track on consecutive looked-at frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from stadet.detect.boxes import area, xyxy_to_cxcywh
from stadet.detect.clock import Clock, seconds_in_videos
from stadet.detect.metrics.columns import EvaluationColumns
from stadet.detect.structures import NO_TRACK


@dataclass(frozen=True, eq=False)
class TruthRuns:
    """R runs over L truth labels (box, class).

    label_box, label_class (L,): the truth box and class of each label; run (L,) the run of each;
    first, last (R,): positions in `order` (L,), which sorts labels by run and frame; seconds (R,)
    from the first to the last frame, both counted; run_class, run_video (R,).
    """

    label_box: np.ndarray
    label_class: np.ndarray
    run: np.ndarray
    order: np.ndarray
    first: np.ndarray
    last: np.ndarray
    seconds: np.ndarray
    run_class: np.ndarray
    run_video: np.ndarray

    def clips_per_class(self, num_classes: int) -> np.ndarray:
        """(C,) number of runs of each class."""
        return np.bincount(self.run_class, minlength=num_classes)


def truth_runs(columns: EvaluationColumns, clocks: Mapping[str, Clock]) -> TruthRuns:
    """Cut truth into runs; `clocks` by video name.

    Boxes without a track id form one run by video and class as long as there is one on every frame.
    """
    box, label = np.nonzero(columns.truth_labels)
    image = columns.truth_image[box]
    video = columns.image_video[image]
    track = columns.truth_tracks[box]
    order = np.lexsort((image, track, label, video))
    same = np.ones(max(len(order) - 1, 0), dtype=bool)
    for key in (video, label, track):
        same &= np.diff(key[order]) == 0
    step = np.diff(image[order])
    loose = track[order][1:] == NO_TRACK
    same &= (step == 1) | (loose & (step == 0))
    starts = np.flatnonzero(np.r_[True, ~same][: len(order)])
    last = np.r_[starts[1:], len(order)][: len(starts)] - 1
    run = np.empty(len(order), dtype=np.int64)
    run[order] = np.repeat(np.arange(len(starts)), last - starts + 1)
    frame = columns.image_frame[image]
    own = [clocks[name] for name in columns.video_names]
    run_video = video[order[starts]]
    begin = seconds_in_videos(own, run_video, frame[order[starts]])
    seconds = seconds_in_videos(own, run_video, frame[order[last]] + 1) - begin
    return TruthRuns(box, label, run, order, starts, last, seconds, label[order[starts]], run_video)


def box_seconds(columns: EvaluationColumns, runs: TruthRuns) -> np.ndarray:
    """(T,) seconds that the action of each truth box lasts (its longest, with several labels)."""
    result = np.full(len(columns.truth_boxes), np.nan)
    np.fmax.at(result, runs.label_box, runs.seconds[runs.run])
    return result


def box_speed(
    columns: EvaluationColumns, runs: TruthRuns, clocks: Mapping[str, Clock]
) -> np.ndarray:
    """(T,) speed of each truth box in its own sizes (root of area) a second, over half a second
    around the frame (less at the ends of a run); NaN for runs of one frame and without track id."""
    order = runs.order
    run = runs.run[order]
    own = [clocks[name] for name in columns.video_names]
    box = runs.label_box[order]
    video, frame = runs.run_video[run], columns.image_frame[columns.truth_image[box]]
    time = seconds_in_videos(own, video, frame)
    place = np.arange(len(order))
    before = np.maximum(place - _reach(own, video, frame, time, -0.25), runs.first[run])
    after = np.minimum(place + _reach(own, video, frame, time, 0.25), runs.last[run])
    centre = xyxy_to_cxcywh(columns.truth_boxes)[:, :2]
    seconds = time[after] - time[before]
    distance = np.hypot(*(centre[box[after]] - centre[box[before]]).T)
    size = np.sqrt(area(columns.truth_boxes))[box]
    speed = np.full(len(columns.truth_boxes), np.nan)
    known = (seconds > 0) & (size > 0) & (columns.truth_tracks[box] != NO_TRACK)
    np.fmax.at(speed, box[known], distance[known] / seconds[known] / size[known])
    return speed


def _reach(
    clocks: Sequence[Clock],
    video: np.ndarray,
    frame: np.ndarray,
    time: np.ndarray,
    seconds: float,
) -> np.ndarray:
    """(L,) frames from `frame` to the one that is `seconds` away, at least 1."""
    reach = np.zeros(len(frame), dtype=np.int64)
    for number in np.unique(video):
        rows, clock = video == number, clocks[number]
        if clock.constant:
            reach[rows] = np.round(abs(seconds) * clock.fps)
        else:
            reach[rows] = np.abs(clock.nearest_frame(time[rows] + seconds) - frame[rows])
    return np.maximum(1, reach)
