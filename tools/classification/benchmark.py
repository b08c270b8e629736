"""The side of `stad benchmark` that knows clip classifiers."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stadet.engine.errors import UserError
from stadet.engine.limits import expect_within
from stadet.tools.inference.sources import expand_sources

SAME_SCORE = 0.05  # within which two probabilities are the same answer
WARM_UP = 2  # clips before latency counts


@dataclass(frozen=True)
class ClipAnswers:
    """Probabilities (N, C) of the timed clips, and the share of videos answered right, if known."""

    probabilities: np.ndarray
    top1: float | None


class ClassifierSubject:
    """What classifiers are timed on: about `clips` clips of these videos.

    Videos in folders named like the classes are also judged: each is then answered for as a whole,
    by its clips of evaluation.
    """

    def __init__(self, videos: Sequence[str | Path], clips: int) -> None:
        expect_within("--clips", clips, 4)
        places = [str(video) for video in videos]
        found = expand_sources(places, cameras=False)
        if not found:
            raise UserError(f"--video: expected videos, found none in {', '.join(places)}")
        self.task = {"kind": "classifier", "videos": places, "clips": clips}
        names = list(found)
        shown = names[0] if len(names) == 1 else f"{len(names):,} videos"
        self.about = {"video": shown, "clips": clips}
        self.words = f"{shown}, about {clips} clips"

    def read(self, path: Path) -> ClipAnswers:
        """The answers that a process has written."""
        with np.load(path) as content:
            top1 = float(content["top1"])
            return ClipAnswers(content["probabilities"], None if np.isnan(top1) else top1)

    def compare(self, row: dict[str, Any], found: ClipAnswers, wanted: ClipAnswers) -> None:
        """Put what the answers are worth into a row."""
        if found.probabilities.shape != wanted.probabilities.shape:
            raise UserError(
                f"{row['checkpoint']}: expected as many clips and classes as of the first "
                f"checkpoint, {wanted.probabilities.shape}, found {found.probabilities.shape}; "
                "time it alone"
            )
        row["agreement"] = round(clip_agreement(found.probabilities, wanted.probabilities), 4)
        if found.top1 is not None:
            row["top1"] = round(found.top1, 4)


def clip_agreement(found: np.ndarray, wanted: np.ndarray) -> float:
    """Share of the clips (N, C) with the same best class, of nearly the same probability."""
    same = found.argmax(1) == wanted.argmax(1)
    return float((same & (np.abs(found.max(1) - wanted.max(1)) <= SAME_SCORE)).mean())


def measure_classifier(task: dict[str, Any]) -> dict[str, Any]:
    """Time a classifier on clips and write its answers.

    Clips are decoded and resized before: timed is the way from there to probabilities, flow and HOG
    images of models that take them included in neither. task: checkpoint, runtime, precision,
    device, videos, clips, answers (file to write) and started (time.time() when the process was
    asked for).
    """
    from stadet.classify.answers import average_clips
    from stadet.tools.classification.classify import folder_labels
    from stadet.tools.classification.spread import spread_clips
    from stadet.tools.classification.video_answers import open_classifier, videos_to_classify
    from stadet.tools.inference.benchmark_process import figures

    classifier = open_classifier(
        task["checkpoint"], task["device"], runtime=task["runtime"], precision=task["precision"]
    )
    videos = videos_to_classify(task["videos"], classifier)
    labels = folder_labels([Path(video.path) for video in videos], classifier.names)
    picked = list(spread_clips(classifier, videos, task["clips"], whole=labels is not None))
    clips = [clip for _, clip in picked]
    held = sum(x.numel() * x.element_size() for clip in clips for x in clip.inputs.values())
    classifier.answers_to(clips[:1])
    start = time.time() - task["started"]
    for clip in clips[1 : 1 + WARM_UP]:
        classifier.answers_to([clip])
    latency = []
    for clip in clips:
        began = time.perf_counter()
        classifier.answers_to([clip])
        latency.append(time.perf_counter() - began)
    classifier.answers_to(clips[: classifier.file.config.input.batch])  # prepared for that many
    began = time.perf_counter()
    rows = classifier.answers_to(clips)
    taken = time.perf_counter() - began
    top1 = np.nan
    if labels is not None:
        truth = {video.name: int(label) for video, label in zip(videos, labels, strict=True)}
        named = [(video.name, truth[video.name]) for video, _ in picked]
        answered = average_clips(
            [(*name, row) for name, row in zip(named, rows, strict=True)], classifier.names
        )
        top1 = float((answered.predicted == answered.labels).mean())
    np.savez(task["answers"], probabilities=rows[:, :-1], top1=top1)
    return {
        "start_s": round(start, 2),
        "clips_per_second": round(len(clips) / taken, 2),
        **figures(latency, held),
        "device": str(classifier.device),
    }
