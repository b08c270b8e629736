"""Clip batches to detections: the one path that validation, evaluation and prediction share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import torch

from stadet.detect.batch import ClipBatch
from stadet.detect.detector import Detector
from stadet.detect.nms import suppress, to_detections
from stadet.detect.structures import Detections
from stadet.engine.errors import UserError
from stadet.engine.limits import INFINITE, expect_limits


@dataclass
class InferenceConfig:
    """From the network's output to boxes.

    Attributes:
        score_floor: class scores below it are dropped.
        iou_threshold: of non-maximum suppression.
        max_detections: boxes of a frame.
        class_agnostic: suppress across classes.
        rank: which of two overlapping boxes stays, that of higher "score" or "objectness"
            (YOWO as published, with `class_agnostic`).
    """

    score_floor: float = 0.005
    iou_threshold: float = 0.5
    max_detections: int = 100
    class_agnostic: bool = False
    rank: Literal["score", "objectness"] = "score"

    def __post_init__(self) -> None:
        expect_limits(
            self,
            "inference",
            score_floor=(0, 1),
            iou_threshold=(0, 1),
            max_detections=(1, INFINITE),
        )
        if self.rank not in ("score", "objectness"):
            raise UserError(f"inference.rank: expected score or objectness, found {self.rank!r}")
        if self.rank == "objectness" and not self.class_agnostic:
            raise UserError(
                "inference.rank: expected class_agnostic: true with objectness, which is one "
                "number for all classes of a box"
            )

    def describe(self) -> str:
        """One sentence for a report."""
        among = "all classes together" if self.class_agnostic else "each class by itself"
        return (
            f"suppression: {among}, ranked by {self.rank}, above IoU {self.iou_threshold:g}; "
            f"scores above {self.score_floor:g}, at most {self.max_detections} boxes a frame"
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
            answer = next(answers, None)
        if answer is None:
            return
        batch, maps = answer
        found = suppress(
            model.decode(maps),
            config.score_floor,
            config.iou_threshold,
            config.max_detections,
            config.class_agnostic,
            config.rank,
        )
        steps = batch.valid.shape[1]
        answered = range(steps) if model.predicts == "every_frame" else [steps - 1]
        for lane, valid in enumerate(batch.valid.tolist()):
            for place, step in enumerate(answered):
                if valid[step]:
                    rows = found[lane * len(answered) + place]
                    frame = int(batch.frame_indices[lane, step])
                    yield batch.videos[lane], frame, to_detections(rows, batch.views[lane])
