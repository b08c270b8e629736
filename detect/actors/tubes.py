"""Whose tube is it?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from stadet.detect.boxes import rowwise_iou
from stadet.detect.detections.detection_set import VideoDetections
from stadet.detect.structures import NO_TRACK, Tube

SAME_PLACE = 0.5  # IoU from which a detection speaks of a tube's box


def tubes_with_actors(tubes: Iterable[Tube], video: VideoDetections) -> list[Tube]:
    """The same tubes, each with the actor of most of the detections of its class that lie on it;
    of two actors with as many, the earlier one. Without ids in the detections: as they are."""
    if video.actor_ids is None:
        return list(tubes)
    return [replace(tube, actor=_actor(tube, video, video.actor_ids)) for tube in tubes]


def _actor(tube: Tube, video: VideoDetections, actor_ids: np.ndarray) -> int | None:
    rows = np.arange(*np.searchsorted(video.frames, [tube.start, tube.stop]))
    rows = rows[(actor_ids[rows] != NO_TRACK) & (video.scores[rows, tube.label] > 0)]
    near = rowwise_iou(video.boxes[rows], tube.boxes[video.frames[rows] - tube.start])
    ids, counts = np.unique(actor_ids[rows[near >= SAME_PLACE]], return_counts=True)
    return int(ids[counts.argmax()]) if len(ids) else None
