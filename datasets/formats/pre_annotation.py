"""Detections as annotations, linked to tracks: a person corrects a few tracks, not every box."""

from __future__ import annotations

import numpy as np

from stadet.datasets.footage.info import VideoInfo
from stadet.detect.boxes import area, clip_boxes, pairwise_iou
from stadet.detect.detections.detection_set import VideoDetections
from stadet.detect.structures import VideoAnnotations


def annotations_from_detections(
    detections: VideoDetections,
    info: VideoInfo,
    threshold: float,
    *,
    min_iou: float = 0.3,
    min_frames: int = 1,
) -> VideoAnnotations:
    """Boxes of a class score of at least `threshold`; the processed frames are the looked-at ones.

    A box has every class that reaches the threshold; boxes are clipped to the frame. Tracks of
    fewer than `min_frames` boxes are left out (flicker). ValueError where detections are past the
    end of the video.
    """
    labels = detections.scores >= threshold
    boxes = clip_boxes(detections.boxes, info.size)
    rows = np.flatnonzero(labels.any(axis=1) & (area(boxes) > 0))
    frames, boxes, labels = detections.frames[rows], boxes[rows], labels[rows]
    looked_at = np.zeros(info.num_frames, dtype=bool)
    for first, last in detections.processed.tolist():
        looked_at[first : last + 1] = True
    if len(frames) and frames[-1] >= info.num_frames:
        raise ValueError(f"frame {frames[-1]} of {info.num_frames}")
    looked_at[frames] = True
    tracks = link_boxes(frames, boxes, labels, np.flatnonzero(looked_at), min_iou)
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
