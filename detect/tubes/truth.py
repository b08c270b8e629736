"""Truth as tubes: which actor does what from when to when."""

from __future__ import annotations

import numpy as np

from stadet.detect.detections.detection_set import VideoDetections
from stadet.detect.structures import NO_TRACK, AnnotationSet, Tube, VideoAnnotations
from stadet.detect.tubes.linking import LinkOptions, in_order, link_video, make_tube
from stadet.detect.tubes.tube_set import TubeSet, VideoTubes
from stadet.engine.errors import UserError

UNTRACKED = LinkOptions(
    min_overlap=0.2, max_gap=0, switch_cost=None, max_tube_overlap=1.0, min_length=1
)


def truth_tubes(video: VideoAnnotations, max_gap: int = 5) -> list[Tube]:
    """Tubes of a video's annotations, sorted by start, then class; every score is 1.

    A track gives one tube for each run of frames in which it has a label: a looked-at frame
    without the track or without the label ends the run, and so do more than `max_gap` frames in a
    row that nobody looked at; fewer are bridged by linear boxes. Boxes without a track are linked
    by overlap: best paths through links of IoU >= 0.2 between neighbouring looked-at frames, as
    `link_video` with all scores 1. Ignored regions are no tubes.

    Raises `UserError` where one track has two boxes with one label on a frame.
    """
    video = video.objects()
    tracked = video.track_ids != NO_TRACK
    tubes = _tracked(video, np.flatnonzero(tracked), max_gap)
    tubes += _untracked(video, np.flatnonzero(~tracked), max_gap)
    return in_order(tubes)


def _tracked(video: VideoAnnotations, rows: np.ndarray, max_gap: int) -> list[Tube]:
    index, labels = np.nonzero(video.labels[rows])
    rows = rows[index]
    tracks, frames = video.track_ids[rows], video.frames[rows]
    order = np.lexsort((frames, tracks, labels))
    rows, labels, tracks, frames = rows[order], labels[order], tracks[order], frames[order]
    same = (np.diff(labels) == 0) & (np.diff(tracks) == 0)
    twice = np.flatnonzero(same & (np.diff(frames) == 0))
    if len(twice):
        raise UserError(
            f"{video.name}: expected one box a frame of a track and label, found two of track "
            f"{tracks[twice[0]]} on frame {frames[twice[0]]} (label {labels[twice[0]]}; "
            f"{len(twice)} such frames); give them different track ids"
        )
    goes_on = same & _neighbours(video, frames, max_gap)
    return [
        make_tube(frames[run], video.boxes[rows[run]], int(labels[run[0]]))
        for run in np.split(np.arange(len(rows)), np.flatnonzero(~goes_on) + 1)
        if len(run)
    ]


def _neighbours(video: VideoAnnotations, frames: np.ndarray, max_gap: int) -> np.ndarray:
    """Between frames[k] and frames[k + 1]: no looked-at frame, and at most `max_gap` frames."""
    seen = np.cumsum(video.looked_at)
    return (np.diff(seen[frames]) <= 1) & (np.diff(frames) <= max_gap + 1)


def _untracked(video: VideoAnnotations, rows: np.ndarray, max_gap: int) -> list[Tube]:
    """Linked over looked-at frames, numbered without the others between them."""
    looked = np.flatnonzero(video.looked_at)
    number = np.arange(len(looked))
    number += np.cumsum(np.diff(looked, prepend=looked[:1]) > max_gap + 1)  # no link across
    place = np.searchsorted(looked, video.frames[rows])
    linked = link_video(
        VideoDetections(
            video.name,
            number[place],
            video.boxes[rows],
            np.full(len(rows), np.nan),
            video.labels[rows].astype(np.float64),
            np.zeros((0, 2), dtype=np.int64),
        ),
        UNTRACKED,
    )
    frame_of = dict(zip(number.tolist(), looked.tolist(), strict=True))
    return [
        make_tube(
            np.array([frame_of[f] for f in range(tube.start, tube.stop)]),
            tube.boxes,
            tube.label,
        )
        for tube in linked
    ]


def truth_tube_set(annotations: AnnotationSet, max_gap: int = 5) -> TubeSet:
    """`truth_tubes` of every video, with its rate and length."""
    return TubeSet(
        annotations.names,
        {
            video.name: VideoTubes(
                video.name, truth_tubes(video, max_gap), video.fps, video.num_frames, video.times
            )
            for video in annotations
        },
    )
