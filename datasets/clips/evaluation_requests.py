"""Requests that cover a side for evaluation: whole videos distributed over ranks, each frame
once."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Literal

import numpy as np

from stadet.datasets.clips.samplers import ALONE, Share, key_frame_clip, padding_like
from stadet.datasets.splits.ranges import mask_to_ranges
from stadet.detect.batch import PADDING, ClipRequest
from stadet.detect.structures import AnnotationSet, VideoAnnotations


def evaluation_requests(
    annotations: AnnotationSet,
    clip_length: int = 1,
    *,
    clip_step: int = 1,
    predicts: Literal["every_frame", "last_frame"] = "every_frame",
    usable: Mapping[str, np.ndarray] | None = None,
    share: Share = ALONE,
) -> list[ClipRequest]:
    """This rank's requests, video by video and in time.

    A model that predicts the last frame gets a clip for each looked-at frame, its frames
    `clip_step` apart; one that predicts
    every frame gets windows of `clip_length` one after the other, padded at the end, through the
    usable frames up to the last looked-at one (`clip_length` 1: looked-at frames only).
    usable: for each video the (F,) bool frames that may be shown, all by default; a stream starts
    afresh behind a gap.
    """
    lengths = {video.name: int(video.looked_at.sum()) for video in annotations}
    requests: list[ClipRequest] = []
    for name in deal_videos(lengths, share.world)[share.rank]:
        video = annotations.videos[name]
        shown = np.ones(video.num_frames, dtype=bool) if usable is None else usable[name]
        if predicts == "last_frame":
            requests += [
                ClipRequest(name, key_frame_clip(frame, clip_length, clip_step, shown))
                for frame in np.flatnonzero(video.looked_at).tolist()
            ]
        elif clip_length == 1:
            looked_at = np.flatnonzero(video.looked_at).tolist()
            requests += [ClipRequest(name, (frame,)) for frame in looked_at]
        else:
            requests += _windows(video, shown, clip_length)
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
    queues: list[list[ClipRequest]] = [[] for _ in range(max(1, min(lanes, len(streams))))]
    for stream in sorted(streams, key=len, reverse=True):
        min(queues, key=len).extend(stream)
    return [
        [window or padding_like(requests[0]) for window in batch] for batch in zip_longest(*queues)
    ]


def deal_videos(lengths: Mapping[str, int], world: int) -> list[list[str]]:
    """Whole videos to `world` ranks, loads as even as giving the longest first makes them."""
    hands: list[list[str]] = [[] for _ in range(world)]
    loads = [(0, rank) for rank in range(world)]
    for name in sorted(lengths, key=lambda name: (-lengths[name], name)):
        load, rank = heapq.heappop(loads)
        hands[rank].append(name)
        heapq.heappush(loads, (load + lengths[name], rank))
    return hands


def _windows(video: VideoAnnotations, shown: np.ndarray, clip_length: int) -> list[ClipRequest]:
    requests = []
    for begin, end in mask_to_ranges(shown | video.looked_at):
        looked_at = np.flatnonzero(video.looked_at[begin : end + 1])
        if not len(looked_at):
            continue
        stop = begin + int(looked_at[-1]) + 1
        for first in range(begin, stop, clip_length):
            frames = list(range(first, min(first + clip_length, stop)))
            frames += [PADDING] * (clip_length - len(frames))
            requests.append(ClipRequest(video.name, tuple(frames), starts_stream=first == begin))
    return requests
