"""Frames as they come (a video being decoded, a camera) as clip batches for prediction.

Constant memory however long the stream is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

import numpy as np
import torch

from stadet.datasets.clips.resample import clip_by_time
from stadet.detect.batch import ClipBatch, Targets
from stadet.detect.view import View
from stadet.engine.errors import UserError

Frames = Iterable[tuple[int, np.ndarray]]  # (frame index, (H, W, 3) uint8 RGB)


def window_batches(frames: Frames, video: str, view: View, window: int) -> Iterator[ClipBatch]:
    """Consecutive windows of one stream, B = 1 and T = window (the last may be shorter).

    For detectors that answer for every frame; `starts_stream` is set on the first window only.
    """
    images: list[np.ndarray] = []
    indices: list[int] = []
    first = True
    for index, image in frames:
        images.append(view.apply(image))
        indices.append(index)
        if len(images) == window:
            yield _batch([images], [indices], video, view, first)
            images, indices, first = [], [], False
    if images:
        yield _batch([images], [indices], video, view, first)


def key_frame_batches(
    frames: Frames, video: str, view: View, clip_length: int, batch: int, clip_step: int = 1
) -> Iterator[ClipBatch]:
    """For each frame the clip of `clip_length` frames, `clip_step` apart, that ends there, B =
    batch (the last fewer).

    Before the first frame, the first frame is repeated (edge replication).
    """
    span = (clip_length - 1) * clip_step + 1
    ring: deque[np.ndarray] = deque(maxlen=span)
    ring_indices: deque[int] = deque(maxlen=span)
    clips: list[list[np.ndarray]] = []
    indices: list[list[int]] = []
    for index, image in frames:
        seen = view.apply(image)
        repeats = span if not ring else 1
        ring.extend([seen] * repeats)
        ring_indices.extend([index] * repeats)
        clips.append(list(ring)[::clip_step])
        indices.append(list(ring_indices)[::clip_step])
        if len(clips) == batch:
            yield _batch(clips, indices, video, view, True)
            clips, indices = [], []
    if clips:
        yield _batch(clips, indices, video, view, True)


def timed_key_frame_batches(
    frames: Iterable[tuple[int, float, np.ndarray]],
    video: str,
    view: View,
    clip_length: int,
    batch: int,
    clip_step: int = 1,
) -> Iterator[ClipBatch]:
    """`key_frame_batches` of a stream at another rate than the model's: clips of the frames nearest
    to even steps of time (`samplers.key_frame_clip`).

    frames: (index, when it is shown, counted in frames of the model's, image).
    """
    span = (clip_length - 1) * clip_step
    ring: deque[tuple[int, float, np.ndarray]] = deque()
    clips: list[list[np.ndarray]] = []
    indices: list[list[int]] = []
    for index, place, image in frames:
        ring.append((index, place, view.apply(image)))
        while len(ring) > 2 and ring[2][1] <= place - span:
            ring.popleft()
        rows = clip_by_time(np.array([shown for _, shown, _ in ring]), clip_length, clip_step)
        clips.append([ring[row][2] for row in rows.tolist()])
        indices.append([ring[row][0] for row in rows.tolist()])
        if len(clips) == batch:
            yield _batch(clips, indices, video, view, True)
            clips, indices = [], []
    if clips:
        yield _batch(clips, indices, video, view, True)


def image_batch(image: np.ndarray, video: str, view: View) -> ClipBatch:
    """One image that `view` has made already (h, w, 3), as a batch of one clip of one frame."""
    return _batch([[image]], [[0]], video, view, True)


def camera_frames(device: int) -> tuple[Frames, tuple[int, int]]:
    """Frames of a camera until it stops, and their size (height, width).

    Raises UserError where there is no such camera.
    """
    import cv2

    camera = cv2.VideoCapture(device)
    opened, first = camera.read()
    if not opened:
        raise UserError(f"camera {device}: expected a camera that gives frames, found none")

    def frames() -> Iterator[tuple[int, np.ndarray]]:
        image, index, more = first, 0, True
        try:
            while more:
                yield index, cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
                more, image = camera.read()
                index += 1
        finally:
            camera.release()

    return frames(), first.shape[:2]


def _batch(
    clips: list[list[np.ndarray]],
    indices: list[list[int]],
    video: str,
    view: View,
    starts_stream: bool,
) -> ClipBatch:
    count, steps = len(clips), len(clips[0])
    pixels = torch.from_numpy(np.stack([np.stack(clip) for clip in clips]))  # (B, T, H, W, C)
    nothing = Targets(
        torch.zeros(0, 4),
        torch.zeros(0, 0),
        torch.zeros(0, dtype=torch.int64),
        torch.zeros(count * steps, dtype=torch.bool),
    )
    return ClipBatch(
        frames=pixels.permute(0, 1, 4, 2, 3),
        targets=nothing,
        starts_stream=torch.full((count,), starts_stream),
        valid=torch.ones(count, steps, dtype=torch.bool),
        views=[view] * count,
        videos=[video] * count,
        frame_indices=torch.tensor(indices),
    )
