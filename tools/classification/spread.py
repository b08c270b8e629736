"""Clips spread over videos, to measure on: of a calibration, of a benchmark."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch

from stadet.datasets.footage.video import Video, open_video
from stadet.detect.classification_batch import LabelledClip
from stadet.detect.runtime.sessions import Arrays
from stadet.engine.progress import progress
from stadet.tools.classification.checkpoint import ClassifierFile
from stadet.tools.classification.data import shown_frames
from stadet.tools.classification.video_answers import VideoClassifier, videos_to_classify


def spread_clips(
    classifier: VideoClassifier, videos: Sequence[Video], count: int, *, whole: bool = False
) -> Iterator[tuple[Video, LabelledClip]]:
    """About `count` clips, as the model takes them, evenly from these videos.

    whole: those of whole videos in evaluation; otherwise long videos give the middle clips of
    several equal parts, each long enough for one. Of more than `count` videos every so many gives
    clips.
    """
    chosen = np.unique(np.linspace(0, len(videos) - 1, min(count, len(videos))).round().astype(int))
    for index in chosen:
        video = videos[index]
        clips = (
            classifier.clips_of(video, 0, len(video))
            if whole
            else _middle_clips(classifier, video, -(-count // len(chosen)))
        )
        for _, clip in classifier.inputs_of(video, clips):
            yield video, clip


def _middle_clips(classifier: VideoClassifier, video: Video, parts: int) -> list[np.ndarray]:
    shown = shown_frames(video, classifier.fps)
    length = len(video) if shown is None else len(shown)
    sampling = classifier.file.config.sampling
    parts = max(1, min(parts, length // max(sampling.frames, sampling.least_frames)))
    edges = np.linspace(0, len(video), parts + 1).round().astype(int)
    found = [classifier.clips_of(video, int(a), int(b)) for a, b in pairwise(edges)]
    return [clips[len(clips) // 2] for clips in found]


def classifier_feeds(
    file: ClassifierFile, sources: Mapping[str, str | Path], count: int, batch: int | None
) -> Iterator[Arrays]:
    """Inputs of an exported classifier for about `count` clips of the sources, one by one.

    batch: the file's fixed number of clips, which are then alike. UserError for videos that are
    shorter than a clip.
    """
    classifier = VideoClassifier(file, torch.device("cpu"))
    opened = [open_video(path, name=name) for name, path in sources.items()]
    videos = videos_to_classify(opened, classifier)
    clips = list(spread_clips(classifier, videos, count))
    for _, clip in progress(clips, description="calibrating", unit="clip"):
        yield {
            name: np.repeat(x.numpy()[None], batch or 1, axis=0) for name, x in clip.inputs.items()
        }
