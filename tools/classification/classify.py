"""A classifier's checkpoint over videos: classes, timelines, checklists."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from stadet.classify.answers import Answers
from stadet.classify.checklist import Step, check_videos
from stadet.classify.figures import score
from stadet.classify.rejection import Rejection
from stadet.classify.report import write_predictions, write_report
from stadet.classify.timeline import Timeline, plot_timeline, write_timeline
from stadet.datasets.clips.timing import Rate
from stadet.datasets.footage.video import Video
from stadet.datasets.splits.split import Split
from stadet.detect.classification_batch import UNKNOWN
from stadet.engine.errors import UserError
from stadet.engine.files import atomic_write, expect_absent, file_names, path_list
from stadet.tools.classification.video_answers import (
    VideoClassifier,
    open_classifier,
    open_sources,
)
from stadet.tools.inference.runtimes import RuntimeOptions
from stadet.tools.inference.sources import expand_sources

_log = logging.getLogger(__name__)

CHECKLIST = ("name", "seen", "seconds", "done")  # of a step, in a checklist's file


@dataclass(frozen=True, eq=False)
class Classification:
    """A classifier's answers to whole videos.

    Attributes:
        answers: probabilities of each video, its clips averaged.
        rejection: when an answer is "none of these"; `rejection.rejects(answers)`.
        trained_on: how many of the videos the checkpoint was trained on.
    """

    answers: Answers
    rejection: Rejection
    trained_on: int = 0

    @property
    def scores(self) -> dict[str, float] | None:
        """top1, top5, mean_class and loss; None unless every video's class is known."""
        if not len(self.answers) or (self.answers.labels == UNKNOWN).any():
            return None
        return score(self.answers)

    def checklist(self) -> list[Step]:
        """For each class (step) whether a video shows it."""
        return check_videos(self.answers, self.rejection)


def classify(
    sources: str | Path | Sequence[str | Path],
    checkpoint: str | Path,
    *,
    out: str | Path | None = None,
    head: int = 0,
    threshold: float | None = None,
    skip_bad: bool = False,
    device: str | None = None,
    fps: Rate = None,
    runtime: RuntimeOptions | None = None,
    overwrite: bool = False,
) -> Classification:
    """Say which class each video shows.

    Where every video lies in a folder named like one of the classes, the answers are scored.

    Args:
        sources: video files, frame folders, or folders of videos.
        checkpoint: `best.pt` of a run of `train_classifier`, or an `.onnx` file of `export`.
        out: folder for `predictions.csv`, and where the answers are scored for `report.html` and
            `metrics.json` (None: no files).
        head: of a model of two data sets: whose classes.
        threshold: least probability of the best class, below it the answer is "none of these";
            0 = always a class (default: what training learnt).
        skip_bad: continue without videos that cannot be used.
        device: "cpu", "cuda" or "cuda:N" (default: the GPU if there is one).
        fps: frames a second that the model is shown (default: those of its training); "native":
            every frame as it comes.
        runtime: how the checkpoint is run (default: plain torch in fp32, an exported file by
            onnxruntime).
        overwrite: replace files in `out`.

    Raises:
        UserError: for unusable videos (unless `skip_bad`), what is not a classifier, and files in
            `out` (unless `overwrite`).
    """
    if out is not None:
        names = ("predictions.csv", "report.html", "metrics.json")
        expect_absent(*(Path(out) / name for name in names), overwrite=overwrite)
    classifier = open_verb_classifier(
        checkpoint, head=head, threshold=threshold, device=device, fps=fps, runtime=runtime
    )
    videos = _open_videos(sources, classifier, skip_bad=skip_bad, whole=True)
    answers = classifier.answer(videos)
    labels = folder_labels([Path(video.path) for video in videos], answers.names)
    if labels is not None:
        answers = replace(answers, labels=labels)
    found = Classification(answers, classifier.rejection, _trained_on(classifier, videos))
    if out is not None and found.scores is not None:
        write_report(
            out,
            answers,
            title=f"{classifier.file.path.parent.resolve().name} on {len(videos):,} videos",
            rejection=classifier.rejection,
            facts=[("Checkpoint", str(checkpoint))],
            notes=_overlap_notes(found),
        )
    elif out is not None:
        write_predictions(Path(out) / "predictions.csv", answers, classifier.rejection)
    return found


def folder_labels(paths: Sequence[Path], names: Sequence[str]) -> np.ndarray | None:
    """(N,) class of each video by the name of its folder, or None unless all are classes."""
    folders = [path.absolute().parent.name for path in paths]
    if not folders or not set(folders) <= set(names):
        return None
    return np.array([list(names).index(folder) for folder in folders], dtype=np.int64)


def _trained_on(classifier: VideoClassifier, videos: Sequence[Video]) -> int:
    split = Split.from_record(classifier.file.split)
    digests = {split.video_digests.get(name) for name in split.masks.get("train", {})} - {None}
    return sum(video.digest in digests for video in videos) if digests else 0


def _overlap_notes(found: Classification) -> list[str]:
    if not found.trained_on:
        return []
    return [
        f"The checkpoint was trained on {found.trained_on:,} of these videos, so the figures are "
        "optimistic."
    ]


def classify_windows(
    sources: str | Path | Sequence[str | Path],
    checkpoint: str | Path,
    window: float,
    *,
    stride: float | None = None,
    out: str | Path | None = None,
    head: int = 0,
    threshold: float | None = None,
    skip_bad: bool = False,
    device: str | None = None,
    fps: Rate = None,
    runtime: RuntimeOptions | None = None,
    overwrite: bool = False,
) -> list[Timeline]:
    """Classify overlapping windows of long videos.

    Args:
        window: seconds of a window.
        stride: seconds between windows (default: a quarter of `window`).
        out: folder for `timeline.csv` and a picture of each video (None: no files).
        sources, checkpoint, head, threshold, skip_bad, device, fps, runtime: as of `classify`.
        overwrite: replace files in `out`.

    Returns:
        A timeline for each video.
    """
    if out is not None:
        expect_absent(Path(out) / "timeline.csv", overwrite=overwrite)
    classifier = open_verb_classifier(
        checkpoint, head=head, threshold=threshold, device=device, fps=fps, runtime=runtime
    )
    videos = _open_videos(sources, classifier, skip_bad=skip_bad, whole=False)
    return watch_videos(classifier, videos, window, stride, out)


def watch_videos(
    classifier: VideoClassifier,
    videos: Sequence[Video],
    window: float,
    stride: float | None = None,
    out: str | Path | None = None,
) -> list[Timeline]:
    """What `classify_windows` does with an opened checkpoint and opened videos; files are
    replaced."""
    stride = window / 4 if stride is None else stride
    timelines = [classifier.watch(video, window, stride) for video in videos]
    if out is not None:
        folder = Path(out)
        write_timeline(folder / "timeline.csv", timelines)
        names = file_names([timeline.video for timeline in timelines])
        for timeline, name in zip(timelines, names, strict=True):
            plot_timeline(folder / f"{name}.png", timeline)
    return timelines


def write_checklist(path: str | Path, steps: Sequence[Step]) -> None:
    """Write a checklist as JSON."""
    with atomic_write(path) as stream:
        rows = [{key: getattr(step, key) for key in CHECKLIST} for step in steps]
        json.dump(rows, stream, indent=1)


def open_verb_classifier(
    checkpoint: str | Path,
    *,
    head: int = 0,
    threshold: float | None = None,
    device: str | None = None,
    fps: Rate = None,
    runtime: RuntimeOptions | None = None,
) -> VideoClassifier:
    """`open_classifier` with the verb's names of the arguments; tells an unknown rate."""
    chosen = runtime or RuntimeOptions.for_file(checkpoint)
    classifier = open_classifier(
        checkpoint,
        device,
        head=head,
        threshold=threshold,
        rate=fps,
        runtime=chosen.runtime,
        precision=chosen.precision,
    )
    if fps is None and classifier.file.timing is None:
        _log.warning(
            f"checkpoint {checkpoint}: does not say at what frame rate it was trained; frames are "
            "taken as they come (--fps says it)"
        )
    return classifier


def _open_videos(
    sources: str | Path | Sequence[str | Path],
    classifier: VideoClassifier,
    *,
    skip_bad: bool,
    whole: bool,
) -> list[Video]:
    given = path_list(sources)
    paths = expand_sources([str(source) for source in given], cameras=False)
    videos, bad = open_sources(paths, classifier, skip_bad=skip_bad, whole=whole)
    for video in bad:
        _log.warning(f"left out: {video.name}: {video.reason}")
    if not videos:
        raise UserError("no video is left to classify")
    tell_rates(classifier, videos)
    return videos


def tell_rates(classifier: VideoClassifier, videos: Sequence[Video]) -> None:
    """A line on the rate at which each video is shown, where that is not its own."""
    for video in videos:
        if note := classifier.rate_note(video):
            _log.warning(f"{video.name}: {note}")
