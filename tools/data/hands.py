"""Hands in videos by MediaPipe's palm detector (an optional extra), as detections of one class."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from stadet.classify.keypoints import INSTALL
from stadet.datasets.footage.catalog import VideoCatalog
from stadet.detect.boxes import clip_boxes
from stadet.detect.detections.detection_set import DetectionSet, VideoDetections
from stadet.engine.errors import UserError
from stadet.engine.progress import progress

HAND = "hand"
MOST_HANDS = 6
LEAST = 0.3  # score from which a palm is found
MARGIN = 0.15  # of the landmarks' extent: they lie on the joints, inside of the hand's outline


def open_hands() -> Any:
    """MediaPipe's Hands for single pictures, a context manager: its palm detector runs on each.
    UserError where it is not installed."""
    try:
        from mediapipe.python.solutions.hands import Hands
    except ImportError as error:
        raise UserError(
            f"--hands: MediaPipe is not installed ({error}); {INSTALL}; or give --checkpoint"
        ) from error
    return Hands(static_image_mode=True, max_num_hands=MOST_HANDS, min_detection_confidence=LEAST)


def detect_hands(catalog: VideoCatalog, hands: Any | None = None) -> DetectionSet:
    """Hands on every frame of every video.

    Args:
        catalog: the videos.
        hands: an open `mediapipe.python.solutions.hands.Hands` or anything with its `process`;
            None opens one.

    Raises:
        UserError: where MediaPipe is not installed.
    """
    if hands is None:
        with open_hands() as opened:
            return detect_hands(catalog, opened)
    videos = {name: _video(catalog, name, hands) for name in catalog}
    return DetectionSet((HAND,), LEAST, videos)


def _video(catalog: VideoCatalog, name: str, hands: Any) -> VideoDetections:
    info = catalog[name]
    frames, boxes, scores = [], [], []
    reading = catalog.open(name).read(range(info.num_frames))
    for index, image in progress(reading, description=name, unit="frame", total=info.num_frames):
        for box, score in hand_boxes(hands.process(np.ascontiguousarray(image)), info.size):
            frames.append(index)
            boxes.append(box)
            scores.append(score)
    return VideoDetections(
        name,
        np.array(frames, dtype=np.int64),
        np.array(boxes, dtype=np.float64).reshape(-1, 4),
        np.full(len(frames), np.nan),
        np.array(scores, dtype=np.float64).reshape(-1, 1),
        np.array([[0, info.num_frames - 1]]),
    )


def hand_boxes(result: Any, size: tuple[int, int]) -> Iterator[tuple[np.ndarray, float]]:
    """(box xyxy pixels, score) of each hand of a result of Hands: around its 21 landmarks, with a
    margin, clipped to the frame of `size` (height, width)."""
    found: Iterable[Any] = result.multi_hand_landmarks or ()
    for landmarks, handedness in zip(found, result.multi_handedness or (), strict=True):
        points = np.array([[point.x, point.y] for point in landmarks.landmark])
        points = points * [size[1], size[0]]
        low, high = points.min(axis=0), points.max(axis=0)
        margin = MARGIN * (high - low)
        (box,) = clip_boxes(np.concatenate([low - margin, high + margin])[None], size)
        if (box[2:] > box[:2]).all():
            yield box, float(handedness.classification[0].score)
