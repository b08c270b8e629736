"""Requests that cover a side for evaluation: whole videos distributed over ranks, each frame
once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Literal

import numpy as np

from stadet.datasets.clips.samplers import ALONE, Share, key_frame_clip, padding_like
from stadet.datasets.clips.streams import stream_spans
from stadet.detect.batch import PADDING, ClipRequest
from stadet.detect.structures import AnnotationSet, VideoAnnotations
from stadet.engine.dealing import deal_longest_first


def evaluation_requests(
    annotations: AnnotationSet,
    clip_length: int = 1,
    *,
    clip_step: int = 1,
    predicts: Literal["every_frame", "last_frame"] = "every_frame",
    visible: Mapping[str, np.ndarray] | None = None,
    lead_in: float | None = None,
    places: Mapping[str, np.ndarray] | None = None,
    share: Share = ALONE,
) -> list[ClipRequest]:
    """This rank's requests, video by video and in time.

    A model that predicts the last frame gets a clip for each looked-at frame, its frames
    `clip_step` apart; one that predicts every frame gets windows of `clip_length` one after the
    other, padded at the end, along `stream_spans` (`clip_length` 1: looked-at frames only).
    visible: for each video the (F,) bool frames that may be shown, all by default. lead_in: of
    streams, in seconds, None = all. places: for videos at another rate than the model's, see
    `key_frame_clip`.
    """
    lengths = {video.name: int(video.looked_at.sum()) for video in annotations}
    requests: list[ClipRequest] = []
    for name in deal_videos(lengths, share.world)[share.rank]:
        video = annotations.videos[name]
        shown = np.ones(video.num_frames, dtype=bool) if visible is None else visible[name]
        if predicts == "last_frame":
            own = (places or {}).get(name)
            requests += [
                ClipRequest(name, key_frame_clip(frame, clip_length, clip_step, shown, own))
                for frame in np.flatnonzero(video.looked_at).tolist()
            ]
        elif clip_length == 1:
            looked_at = np.flatnonzero(video.looked_at).tolist()
            requests += [ClipRequest(name, (frame,)) for frame in looked_at]
        else:
            for span in stream_spans(video, shown, lead_in):
                requests += _windows(video, span, clip_length)
    return requests


def stream_lanes(requests: Sequence[ClipRequest], lanes: int) -> list[list[ClipRequest]]:
    """Batches of one window per lane from streams of windows that follow each other.

    A stream begins where `starts_stream` is set; it stays in one lane, its windows in successive
    batches, so that a recurrent state can be carried. Streams go longest first to the lane with
    the least to do; a lane with nothing left shows padding.
    """
    streams: list[list[ClipRequest]] = []
    for request in requests:
        if request.starts_stream or not streams:
            streams.append([])
        streams[-1].append(request)
    dealt = deal_longest_first(list(map(len, streams)), max(1, min(lanes, len(streams))))
    queues = [[window for place in hand for window in streams[place]] for hand in dealt]
    return [
        [window or padding_like(requests[0]) for window in batch] for batch in zip_longest(*queues)
    ]


def deal_videos(lengths: Mapping[str, int], world: int) -> list[list[str]]:
    """Whole videos to `world` ranks, loads as even as giving the longest first makes them."""
    names = sorted(lengths)
    dealt = deal_longest_first([lengths[name] for name in names], world)
    return [[names[place] for place in hand] for hand in dealt]


def _windows(video: VideoAnnotations, span: tuple[int, int], length: int) -> list[ClipRequest]:
    requests = []
    start, stop = span
    for first in range(start, stop, length):
        frames = list(range(first, min(first + length, stop)))
        frames += [PADDING] * (length - len(frames))
        requests.append(ClipRequest(video.name, tuple(frames), starts_stream=first == start))
    return requests
