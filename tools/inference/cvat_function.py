"""A checkpoint as an auto-annotation function of CVAT (needs cvat-cli, the extra `cvat`).

    cvat-cli --server-host https://cvat.example.com task auto-annotate 12 \\
        --function-module stadet.tools.inference.cvat_function \\
        -p checkpoint=str:runs/yolov3/best.pt -p threshold=float:0.4 --allow-unmatched-labels

or `--function-file .../tools/inference/cvat_function.py`. CVAT takes the rectangles of each image
as shapes, without tracks, and only of tasks made of images; `stad pre-annotate` makes tracks of
videos. The interface is that of `cvat_sdk.auto_annotation`.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

from stadet.engine.errors import UserError

if TYPE_CHECKING:
    from cvat_sdk import auto_annotation, models
    from PIL import Image

    from stadet.detect.structures import Detections
    from stadet.tools.inference.video_detector import VideoDetector

DEFAULT_THRESHOLD = 0.3  # where neither CVAT, nor a parameter, nor the checkpoint says one
LARGEST_STEP = 30  # frames between two that are shown, beyond which a memory begins anew
_NUMBER = re.compile(r"(.*?)([0-9]+)$")


class DetectorFunction:
    """Detects on one image after another, as `cvat_sdk.auto_annotation.DetectionFunction` asks.

    A detector with memory remembers from frame to frame as long as the numbers in their names rise
    by the same step; it begins anew with another video, another size, or a jump.

    Attributes:
        spec: the labels: the checkpoint's classes, numbered as its columns, as rectangles.
    """

    def __init__(self, detector: VideoDetector, threshold: float | None = None) -> None:
        from cvat_sdk import auto_annotation

        self._api = auto_annotation
        self._detector = detector
        self._threshold = threshold
        self._stream = None if detector._predictor.model.needs_later_frames else detector.stream()
        self._last: tuple[str, int, tuple[int, int]] | None = None
        self._step: int | None = None
        self.spec = auto_annotation.DetectionFunctionSpec(
            labels=[
                auto_annotation.label_spec(name, number, type="rectangle")
                for number, name in enumerate(detector.names)
            ]
        )

    def detect(
        self, context: auto_annotation.DetectionFunctionContext, image: Image.Image
    ) -> list[models.LabeledShapeRequest]:
        """Rectangles of an image, one for each box and class of at least the threshold."""
        pixels = np.asarray(image.convert("RGB"))
        found = self._detections(context.frame_name, pixels).above(
            self._least(context.conf_threshold)
        )
        rows, classes, _ = found.pairs()
        return [
            self._api.rectangle(int(label), [float(side) for side in found.boxes[row]])
            for row, label in zip(rows, classes, strict=True)
        ]

    def _detections(self, name: str, pixels: np.ndarray) -> Detections:
        if self._stream is None:
            return self._detector.image(pixels)
        if not self._follows(name, (pixels.shape[0], pixels.shape[1])):
            self._stream.reset()
        return self._stream(pixels)

    def _follows(self, name: str, size: tuple[int, int]) -> bool:
        """Is this the frame after the last one? Remembers it."""
        match = _NUMBER.fullmatch(PurePosixPath(name).with_suffix("").as_posix())
        last, step = self._last, self._step
        if match is None:
            self._last = self._step = None
            return False
        here = (match[1], int(match[2]), size)
        self._last = here
        if last is None or (last[0], last[2]) != (here[0], here[2]):
            self._step = None
            return False
        self._step = here[1] - last[1]
        return 0 < self._step <= LARGEST_STEP and step in (None, self._step)

    def _least(self, asked: float | None) -> float:
        if asked is not None:
            return asked
        if self._threshold is not None:
            return self._threshold
        learnt = self._detector.threshold
        return DEFAULT_THRESHOLD if learnt is None else learnt


def create(
    checkpoint: str,
    threshold: float | None = None,
    device: str | None = None,
    score_floor: float | None = None,
) -> DetectorFunction:
    """The function of a checkpoint: what cvat-cli calls with its `-p NAME=TYPE:VALUE`.

    Args:
        checkpoint: `best.pt` of a run, or an exported `.onnx` file.
        threshold: least score (default: `--conf-threshold`, else the checkpoint's own, else 0.3).
        device: "cpu", "cuda" or "cuda:N".
        score_floor: scores below it are never returned, whatever `--conf-threshold` is.

    Raises:
        UserError: where cvat-sdk is not installed or the checkpoint cannot be opened.
    """
    try:
        import cvat_sdk.auto_annotation  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"CVAT's SDK is not installed ({error}); pip install 'stadet[cvat]'"
        ) from None
    from stadet.tools.inference.video_detector import open_detector

    # a model with memory is shown every frame of the task, whatever the rate of its training
    detector = open_detector(checkpoint, device, score_floor=score_floor, rate="native")
    return DetectorFunction(detector, threshold)
