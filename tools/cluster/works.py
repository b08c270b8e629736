"""What a worker does with one video: what `stad predict`, `run` and `classify` do with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from stadet.engine.errors import UserError

Work = Callable[[str, Path, Path], None]  # name, video, folder that gets the results


def open_predict(checkpoint: Path, label: str, options: Mapping[str, Any]) -> Work:
    """NAME.jsonl for each video."""
    from stadet.tools.inference.predict import open_predictor, predict_opened

    others = dict(options)
    frames, suffix = others.pop("max_frames", None), others.pop("suffix", ".jsonl")
    predictor = open_predictor(checkpoint, **others)

    def work(name: str, video: Path, folder: Path) -> None:
        out = folder / f"{name}{suffix}"
        predict_opened(predictor, {name: video}, out, max_frames=frames)

    return work


def open_run(checkpoint: Path, label: str, options: Mapping[str, Any]) -> Work:
    """A folder NAME for each video."""
    from stadet.tools.inference.run import open_run_predictor, run_opened

    others = dict(options)
    frames, threshold = others.pop("max_frames", None), others.get("threshold")
    predictor = open_run_predictor(checkpoint, **others)

    def work(name: str, video: Path, folder: Path) -> None:
        out = folder / name
        run_opened(predictor, {name: video}, out, label, threshold=threshold, max_frames=frames)

    return work


def open_classify(checkpoint: Path, label: str, options: Mapping[str, Any]) -> Work:
    """A folder NAME with predictions.csv, or a timeline and its picture, for each video."""
    from stadet.classify.report import write_predictions
    from stadet.datasets.footage.video import open_video
    from stadet.tools.classification.classify import (
        open_verb_classifier,
        tell_rates,
        watch_videos,
    )

    others = dict(options)
    window, stride = others.pop("sliding", None), others.pop("stride", None)
    classifier = open_verb_classifier(checkpoint, **others)

    def work(name: str, video: Path, folder: Path) -> None:
        opened, out = open_video(video, name=name), folder / name
        tell_rates(classifier, [opened])
        if window is not None:
            watch_videos(classifier, [opened], window, stride, out)
            return
        if bad := classifier.too_short({name: opened}):
            raise UserError(bad[0].reason)
        answers = classifier.answer([opened])
        write_predictions(out / "predictions.csv", answers, classifier.rejection)

    return work


WORKS: dict[str, Callable[[Path, str, Mapping[str, Any]], Work]] = {
    "predict": open_predict,
    "run": open_run,
    "classify": open_classify,
}
