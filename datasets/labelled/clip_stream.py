"""Clips of a long video in one pass: every frame is decoded once, and kept only while needed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from stadet.datasets.footage.video import Video
from stadet.detect.view import View


def stream_clips(
    video: Video, clips: Sequence[np.ndarray], view: View
) -> Iterator[tuple[int, np.ndarray]]:
    """(number of the clip, its frames (T, H, W, 3) uint8 as `view` sees them), each as soon as its
    last frame is there.

    clips: frame indices (T,) of each, in any order and overlapping at will. Memory holds the frames
    between the first and the last that open clips need.
    """
    if not len(clips):
        return
    order = sorted(range(len(clips)), key=lambda number: int(clips[number].max()))
    firsts = np.array([int(clips[number].min()) for number in order])
    needed_from = np.minimum.accumulate(firsts[::-1])[::-1]  # by this clip and all later ones
    wanted = np.unique(np.concatenate(list(clips)))
    held: dict[int, np.ndarray] = {}
    done = 0
    for index, frame in video.read(wanted):
        held[index] = view.apply(frame)
        while done < len(order) and int(clips[order[done]].max()) <= index:
            number = order[done]
            yield number, np.stack([held[int(i)] for i in clips[number]])
            done += 1
            oldest = needed_from[done] if done < len(order) else index + 1
            for past in [i for i in held if i < oldest]:
                del held[past]
