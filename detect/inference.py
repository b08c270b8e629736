"""Clip batches to detections: the one path that validation, evaluation and prediction share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch

from stadet.detect.batch import ClipBatch
from stadet.detect.detector import Detector
from stadet.detect.nms import suppress, to_detections
from stadet.detect.structures import Detections
from stadet.engine.limits import INFINITE, expect_limits


@dataclass
class InferenceConfig:
    """From the network's output to boxes.

    Attributes:
        score_floor: class scores below it are dropped.
        iou_threshold: of non-maximum suppression.
        max_detections: boxes of a frame.
        class_agnostic: suppress across classes.
    """

    score_floor: float = 0.005
    iou_threshold: float = 0.5
    max_detections: int = 100
    class_agnostic: bool = False

    def __post_init__(self) -> None:
        expect_limits(
            self,
            "inference",
            score_floor=(0, 1),
            iou_threshold=(0, 1),
            max_detections=(1, INFINITE),
        )


@torch.inference_mode()
def detect(
    model: Detector,
    batches: Iterable[ClipBatch],
    config: InferenceConfig,
    device: torch.device,
    *,
    precision: torch.dtype | None = None,
) -> Iterator[tuple[str, int, Detections]]:
    """Yield (video, frame, detections in the video's pixels) for every frame that is answered for.

    Frame and recurrent detectors answer for each valid frame of a batch, key-frame detectors for
    the last frame of each clip. A recurrent state is carried from batch to batch, lane by lane,
    and reset where `starts_stream` says so.
    precision: autocast to bfloat16 or float16.
    """
    model = model.to(device).eval()
    moved = (batch.to(device) for batch in batches)
    answers = model.answers(moved)
    while True:
        with torch.autocast(device.type, precision, enabled=precision is not None):
            batch, maps = next(answers, (None, None))
        if batch is None:
            return
        found = suppress(
            model.decode(maps),
            config.score_floor,
            config.iou_threshold,
            config.max_detections,
            config.class_agnostic,
        )
        steps = batch.valid.shape[1]
        answered = range(steps) if model.predicts == "every_frame" else [steps - 1]
        for lane, valid in enumerate(batch.valid.tolist()):
            for place, step in enumerate(answered):
                if valid[step]:
                    rows = found[lane * len(answered) + place]
                    frame = int(batch.frame_indices[lane, step])
                    yield batch.videos[lane], frame, to_detections(rows, batch.views[lane])
