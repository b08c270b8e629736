"""Detections as annotations, linked to tracks: a person corrects a few tracks, not every box."""

from __future__ import annotations

import numpy as np

from stadet.datasets.footage.info import VideoInfo
from stadet.detect.boxes import area, clip_boxes, pairwise_iou
from stadet.detect.detections.detection_set import VideoDetections
from stadet.detect.structures import NO_TRACK, VideoAnnotations


def annotations_from_detections(
    detections: VideoDetections,
    info: VideoInfo,
    threshold: float,
    *,
    min_iou: float = 0.3,
    min_frames: int = 1,
) -> VideoAnnotations:
    """Boxes of a class score of at least `threshold`; the processed frames are the looked-at ones.

    A box has every class that reaches the threshold; boxes are clipped to the frame. Where the
    detections say whose the boxes are, a track is an actor, with the best of its boxes on a frame
    and the classes of all of them. Tracks of fewer than `min_frames` boxes are left out (flicker).
    ValueError where detections are past the end of the video.
    """
    labels = detections.scores >= threshold
    boxes = clip_boxes(detections.boxes, info.size)
    keep = labels.any(axis=1) & (area(boxes) > 0)
    ids = detections.actor_ids
    if ids is not None:
        keep, labels = _best_of_actors(detections, ids, keep, labels)
    rows = np.flatnonzero(keep)
    frames, boxes, labels = detections.frames[rows], boxes[rows], labels[rows]
    looked_at = np.zeros(info.num_frames, dtype=bool)
    for first, last in detections.processed.tolist():
        looked_at[first : last + 1] = True
    if len(frames) and frames[-1] >= info.num_frames:
        raise ValueError(f"frame {frames[-1]} of {info.num_frames}")
    looked_at[frames] = True
    tracks = np.full(len(rows), NO_TRACK) if ids is None else ids[rows]
    loose = tracks == NO_TRACK
    tracks[loose] = (tracks.max(initial=NO_TRACK) + 1) + link_boxes(
        frames[loose], boxes[loose], labels[loose], np.flatnonzero(looked_at), min_iou
    )
    keep = np.bincount(tracks, minlength=1)[tracks] >= min_frames
    return VideoAnnotations.build(
        info.name,
        info.size,
        info.fps,
        looked_at,
        frames[keep],
        boxes[keep],
        labels[keep],
        np.unique(tracks[keep], return_inverse=True)[1],
        times=info.times,
    )


def _best_of_actors(
    detections: VideoDetections, ids: np.ndarray, keep: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """`keep` (M,) with one box of an actor on a frame, the best, and `labels` (M, C) with those of
    its other boxes."""
    keep, labels = keep.copy(), labels.copy()
    rows = np.flatnonzero(keep & (ids != NO_TRACK))
    strength = detections.scores.max(axis=1, initial=0)
    rows = rows[np.lexsort((-strength[rows], ids[rows], detections.frames[rows]))]
    same = np.diff(detections.frames[rows], prepend=-1) == 0
    same &= np.diff(ids[rows], prepend=NO_TRACK) == 0
    best = rows[np.maximum.accumulate(np.where(same, 0, np.arange(len(rows))))]
    np.logical_or.at(labels, best, labels[rows])
    keep[rows[same]] = False
    return keep, labels


def link_boxes(
    frames: np.ndarray, boxes: np.ndarray, labels: np.ndarray, seen: np.ndarray, min_iou: float
) -> np.ndarray:
    """Track number (M,) of each box: greedy one-to-one links between consecutive frames of `seen`,
    the largest IoU first, of at least `min_iou` and between boxes that share a class.

    frames (M,) sorted; boxes (M, 4) xyxy; labels (M, C) bool; seen (S,) sorted frame indices that
    hold all of `frames`.
    """
    tracks = np.full(len(frames), -1)
    count = 0
    before = slice(0, 0)
    for frame in seen.tolist():
        here = slice(*np.searchsorted(frames, [frame, frame + 1]).tolist())
        iou = pairwise_iou(boxes[before], boxes[here])
        shared = (labels[before].astype(np.int64) @ labels[here].T.astype(np.int64)) > 0
        iou[~shared] = 0
        linked = iou > 0
        for pair in np.argsort(-iou, axis=None, kind="stable"):
            old, new = divmod(int(pair), max(iou.shape[1], 1))
            if iou[old, new] < min_iou:
                break
            if linked[old, new]:
                tracks[here.start + new] = tracks[before.start + old]
                linked[old], linked[:, new] = False, False
        born = np.flatnonzero(tracks[here] < 0) + here.start
        tracks[born] = count + np.arange(len(born))
        count += len(born)
        before = here
    return tracks
