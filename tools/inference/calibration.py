"""Footage to calibrate an int8 file on: what the float32 file is fed with at places in it."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from torch import Tensor

from stadet.datasets.clips.live_batches import key_frame_batches, window_batches
from stadet.datasets.footage.video import Video, open_video
from stadet.detect.runtime.onnx_export import OUTPUTS
from stadet.detect.runtime.session_detector import SessionDetector
from stadet.detect.runtime.sessions import Arrays, Session
from stadet.detect.view import View
from stadet.engine.progress import progress
from stadet.tools.inference.exported import session_detector
from stadet.tools.training.config import DataConfig

_log = logging.getLogger(__name__)

STREAM_FRAMES = 16  # of the stretch that a model with a state is shown


def calibration_feeds(
    content: bytes, data: DataConfig, sources: Mapping[str, str | Path], clips: int
) -> Iterator[Arrays]:
    """Inputs of an exported file at `clips` places, evenly spread over all frames of the sources.

    A frame detector sees a frame at each, a key-frame detector the clip that ends there, a
    detector with a state the stretch of frames that ends there, with the states it comes to.
    """
    detector = session_detector(content, "onnx")
    recorder = detector.session = _Recorder(detector.session, bool(detector.states))
    videos = {name: open_video(path, name=name) for name, path in sources.items()}
    for name, video in videos.items():
        for note in video.notes:
            _log.warning(f"{name}: {note}")
    places = spread({name: len(video) for name, video in videos.items()}, clips)
    for name, frame in progress(places, description="calibrating", unit="clip"):
        detector(_clip(detector, data, videos[name], frame))
        yield from recorder.taken()


def spread(lengths: Mapping[str, int], count: int) -> list[tuple[str, int]]:
    """`count` (video, frame), evenly over videos of these lengths; at most all frames."""
    names, ends = list(lengths), np.cumsum(list(lengths.values()))
    total = int(ends[-1]) if names else 0
    count = min(count, total)
    found = []
    for n in range(count):
        place = (2 * n + 1) * total // (2 * count)
        video = int(np.searchsorted(ends, place, side="right"))
        found.append((names[video], place - int(ends[video]) + lengths[names[video]]))
    return found


class _Recorder:
    """A session that keeps what it was fed with. It only computes where its answers are needed:
    for states, which feed it again; else it answers with nothing."""

    def __init__(self, session: Session, computes: bool) -> None:
        self._session, self.inputs, self._computes = session, session.inputs, computes
        self._feeds: list[Arrays] = []

    def run(self, feeds: Arrays) -> Arrays:
        self._feeds.append(feeds)
        if self._computes:
            return self._session.run(feeds)
        return dict.fromkeys(OUTPUTS, np.zeros(0, np.float32))

    def taken(self) -> list[Arrays]:
        """The feeds since the last call."""
        feeds, self._feeds = self._feeds, []
        return feeds


def _clip(detector: SessionDetector, data: DataConfig, video: Video, frame: int) -> Tensor:
    """Frames (lanes, T, 3, H, W) uint8 that end with `frame`, as the detector takes them."""
    view = View.fit(video.size, data.size, data.resize)
    if detector.predicts == "last_frame":
        frames = video.frames(max(0, frame - detector.context_frames), frame + 1)
        batches = key_frame_batches(
            frames, video.name, view, detector.clip_length, 1, detector.clip_step
        )
        return deque(batches, maxlen=1).pop().frames
    steps = STREAM_FRAMES if detector.states else 1
    frames = video.frames(max(0, frame + 1 - steps), frame + 1)
    (batch,) = window_batches(frames, video.name, view, steps)
    lanes = detector.session.inputs["frames"][1][0] if detector.states else 1
    return batch.frames.expand(lanes, -1, -1, -1, -1)
