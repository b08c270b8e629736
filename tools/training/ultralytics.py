"""One of ultralytics' detectors on the same data, split and report."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import numpy as np

from stadet.datasets.dataset import Dataset, load_dataset
from stadet.detect.detections.writer import DetectionsWriter
from stadet.detect.inference import InferenceConfig
from stadet.detect.yolo.ultralytics_adapter import (
    export_frames,
    predict_ultralytics,
)
from stadet.detect.yolo.ultralytics_adapter import train_ultralytics as run_training
from stadet.engine.errors import UserError
from stadet.engine.files import atomic_path
from stadet.tools.evaluation.evaluate import EvaluationResult, evaluate_detections
from stadet.tools.inference.predict import write_answers


def train_ultralytics(
    data: str | Path,
    out: str | Path,
    *,
    model: str = "yolov8n.yaml",
    epochs: int = 30,
    size: int = 416,
    batch: int = 16,
    workers: int = 0,
    device: str = "cpu",
    bf16: bool = False,
    seed: int = 0,
) -> EvaluationResult:
    """Train one of ultralytics' detectors on the training side and judge it on the validation side.

    From scratch, or from a checkpoint on this disk; nothing is downloaded.

    Args:
        data: data set file.
        out: a new folder for the run; gets `frames/`, `detections.jsonl` and `report/`.
        model: their configuration, or a checkpoint on this disk.
        epochs: passes over the training side.
        size: longer side of the network's input, pixels.
        batch: frames a step.
        workers: loading processes.
        device: "cpu", "cuda:0", ..
        bf16: mixed precision.
        seed: of the training.

    Returns:
        The evaluation on the validation side.

    Raises:
        UserError: where `out` holds files.
    """
    out = Path(out)
    if out.exists() and any(out.iterdir()):
        raise UserError(f"--out: expected a new folder, found files in {out}; name another")
    dataset = load_dataset(data)
    dataset.findings.report()
    train, val = dataset.side("train"), dataset.side("val")
    frames = export_frames(
        train, val, lambda video, frame: dataset.open_video(video).frame(frame), out / "frames"
    )
    best = run_training(
        frames,
        out / "ultralytics",
        model=model,
        epochs=epochs,
        image_size=size,
        batch_size=batch,
        device=device,
        seed=seed,
        workers=workers,
        bf16=bf16,
    )
    config, detections = InferenceConfig(), out / "detections.jsonl"
    answers = predict_ultralytics(
        best,
        _looked_at_frames(dataset, "val"),
        dataset.names,
        score_floor=config.score_floor,
        iou_threshold=config.iou_threshold,
        max_detections=config.max_detections,
        image_size=size,
        device=device,
    )
    with (
        atomic_path(detections) as temporary,
        DetectionsWriter(temporary, dataset.names, config.score_floor) as writer,
    ):
        for video, group in groupby(answers, key=lambda answer: answer[0]):
            clock = dataset.annotations.videos[video].clock
            write_answers(((frame, found) for _, frame, found in group), video, writer, clock)
    return evaluate_detections(
        detections,
        data=data,
        side="val",
        out=out / "report",
        title=f"{model} (ultralytics) val",
    )


def _looked_at_frames(dataset: Dataset, side: str) -> Iterator[tuple[str, int, np.ndarray]]:
    for video in dataset.side(side):
        wanted = np.flatnonzero(video.looked_at).tolist()
        for frame, image in dataset.open_video(video.name).read(wanted):
            yield video.name, frame, image
