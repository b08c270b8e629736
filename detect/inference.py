"""From clip batches to detections: the one path that validation, evaluation and prediction share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import nn

from detect.batch import ClipBatch
from detect.nms import suppress, to_detections
from detect.structures import Detections


@dataclass
class InferenceConfig:
    """score_floor: class scores below it are not kept; iou_threshold: of non-maximum suppression;
    max_detections: boxes a frame; class_agnostic: one box suppresses others of any class."""

    score_floor: float = 0.005
    iou_threshold: float = 0.5
    max_detections: int = 100
    class_agnostic: bool = False


@torch.inference_mode()
def detect(
    model: nn.Module,
    batches: Iterable[ClipBatch],
    config: InferenceConfig,
    device: torch.device,
    *,
    precision: torch.dtype | None = None,
) -> Iterator[tuple[str, int, Detections]]:
    """Yield (video, frame, detections in the video's pixels) for every frame that is answered for.

    Frame and recurrent detectors answer for each valid frame of a batch, key-frame detectors for
    the last frame of each clip. A recurrent state is carried from batch to batch, lane by lane,
    and reset where `starts_stream` says so. precision: autocast to bfloat16 or float16.
    """
    model = model.to(device).eval()
    state = None
    for batch in batches:
        moved = batch.to(device)
        with torch.autocast(device.type, precision, enabled=precision is not None):
            maps, state = model(moved.frames, state, moved.starts_stream, moved.valid)
        found = suppress(
            model.decode(maps),
            config.score_floor,
            config.iou_threshold,
            config.max_detections,
            config.class_agnostic,
        )
        lanes, steps = batch.valid.shape
        answered = range(steps) if model.predicts == "every_frame" else [steps - 1]
        for lane in range(lanes):
            for place, step in enumerate(answered):
                if batch.valid[lane, step]:
                    rows = found[lane * len(answered) + place]
                    frame = int(batch.frame_indices[lane, step])
                    yield batch.videos[lane], frame, to_detections(rows, batch.views[lane])
