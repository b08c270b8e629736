"""Body keypoints by MediaPipe Holistic (an optional extra), 1662 numbers a frame.

The order, which reports and public sets leave unsaid, is the one usual with this recipe: 33 pose
landmarks x (x, y, z, visibility), 468 of the face, 21 of the left and 21 of the right hand
x (x, y, z); x and y in [0, 1] of the frame's width and height. A part that was not found is zeros.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from stadet.engine.errors import UserError

# part: (landmarks, values each), in the order of a frame's vector
PARTS = {"pose": (33, 4), "face": (468, 3), "left_hand": (21, 3), "right_hand": (21, 3)}
NUM_KEYPOINTS = sum(count * values for count, values in PARTS.values())  # 1662
INSTALL = (
    "pip install --no-deps mediapipe==0.10.14 && "
    "pip install absl-py attrs flatbuffers 'protobuf<5' sounddevice"
)


@dataclass(frozen=True)
class Keypoints:
    """values (T, 1662) float32; found (T, 4) bool: which of `PARTS` each frame shows."""

    values: np.ndarray
    found: np.ndarray


def part_slice(part: str) -> slice:
    """Position of a part of `PARTS` in a frame's vector."""
    start = 0
    for name, (count, values) in PARTS.items():
        if name == part:
            return slice(start, start + count * values)
        start += count * values
    raise KeyError(part)


def flatten_landmarks(result: Any) -> tuple[np.ndarray, np.ndarray]:
    """A Holistic result to (values (1662,) float32, found (4,) bool)."""
    values, found = np.zeros(NUM_KEYPOINTS, dtype=np.float32), np.zeros(len(PARTS), dtype=bool)
    for index, (part, (count, width)) in enumerate(PARTS.items()):
        landmarks = getattr(result, f"{part}_landmarks")
        if landmarks is None:
            continue
        fields = ("x", "y", "z", "visibility")[:width]
        rows = [[getattr(point, name) for name in fields] for point in landmarks.landmark[:count]]
        values[part_slice(part)] = np.asarray(rows, dtype=np.float32).reshape(-1)
        found[index] = True
    return values, found


def extract_keypoints(frames: Iterable[np.ndarray], holistic: Any | None = None) -> Keypoints:
    """Keypoints of a clip's frames (H, W, 3) uint8 RGB in their order (Holistic tracks).

    holistic: an open `mediapipe.python.solutions.holistic.Holistic` or anything with its `process`;
    None opens one. UserError where MediaPipe is not installed.
    """
    if holistic is None:
        with open_holistic() as opened:
            return extract_keypoints(frames, opened)
    rows = [flatten_landmarks(holistic.process(frame)) for frame in frames]
    if not rows:
        return Keypoints(np.zeros((0, NUM_KEYPOINTS), np.float32), np.zeros((0, len(PARTS)), bool))
    values, found = zip(*rows, strict=True)
    return Keypoints(np.stack(values), np.stack(found))


def open_holistic() -> Any:
    """MediaPipe's Holistic for video, a context manager. UserError where it is not installed."""
    try:
        from mediapipe.python.solutions.holistic import Holistic
    except ImportError as error:
        raise UserError(
            f"keypoints: MediaPipe is not installed ({error}); {INSTALL}; "
            "or give keypoints computed before (X_*_keypoints.npy)"
        ) from error
    return Holistic(min_detection_confidence=0.5, min_tracking_confidence=0.5)
