"""An off-the-shelf baseline: ultralytics' own detectors, trained and run on the same frames and
split as ours, so that their detections land in the same report.

Their loops, losses, augmentation and suppression are left as they are; what reaches for the network
(downloads, fonts, mixed-precision check, telemetry) is switched off.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stadet.detect.boxes import clip_boxes, xyxy_to_cxcywh
from stadet.detect.structures import AnnotationSet, Detections
from stadet.detect.yolo.ultralytics_body import checkpoint_classes, keep_offline
from stadet.engine.errors import UserError
from stadet.engine.host import import_albumentations
from stadet.engine.progress import progress

if TYPE_CHECKING:
    from ultralytics import YOLO

ReadFrame = Callable[[str, int], np.ndarray]


@dataclass(frozen=True)
class ExportedFrames:
    """A folder in ultralytics' layout: images/{train,val}/*.jpg, labels/{train,val}/*.txt."""

    folder: Path
    names: tuple[str, ...]


def export_frames(
    train: AnnotationSet, val: AnnotationSet, read_frame: ReadFrame, folder: str | os.PathLike
) -> ExportedFrames:
    """Write every looked-at frame of both sides as a JPEG with a YOLO label file.

    read_frame(video, frame) gives (h, w, 3) uint8 RGB, at any size. A frame without boxes gets an
    empty file (a negative); a box with several labels one line for each, since their format holds
    one label a line; frames with an ignored region are left out, as it has none. Raises UserError
    where a side has no frame or the sides' classes differ.
    """
    folder = Path(folder)
    if train.names != val.names:
        raise UserError(f"expected one list of classes, found {train.names} and {val.names}")
    for side, truths in (("train", train), ("val", val)):
        images, labels = folder / "images" / side, folder / "labels" / side
        images.mkdir(parents=True, exist_ok=True)
        labels.mkdir(parents=True, exist_ok=True)
        frames = [
            (number, video, int(frame))
            for number, video in enumerate(truths)
            for frame in np.flatnonzero(video.without_ignored_frames().looked_at)
        ]
        if not frames:
            raise UserError(f"expected frames on the {side} side, found none; change the split")
        for number, video, frame in progress(frames, description=f"export {side}", unit="frame"):
            stem = f"{number:04d}_{frame:07d}"
            _write_jpeg(images / f"{stem}.jpg", read_frame(video.name, frame))
            truth = video[frame]
            assert truth is not None  # the frame is looked at
            lines = _label_lines(truth.boxes, truth.labels, video.size)
            (labels / f"{stem}.txt").write_text("".join(lines), encoding="utf-8")
    return ExportedFrames(folder, train.names)


def _label_lines(boxes: np.ndarray, labels: np.ndarray, size: tuple[int, int]) -> list[str]:
    """`class cx cy w h`, normalised, one line for each box (N, 4) and each of its labels (N, C)."""
    height, width = size
    centred = xyxy_to_cxcywh(clip_boxes(boxes, size)) / [width, height, width, height]
    return [
        f"{label} " + " ".join(f"{value:.6f}" for value in centred[row]) + "\n"
        for row, label in np.argwhere(labels)
    ]


def _write_jpeg(path: Path, rgb: np.ndarray) -> None:
    import cv2

    done, encoded = cv2.imencode(".jpg", rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])
    if not done:
        raise ValueError(f"{path.name}: expected (h, w, 3) uint8 RGB, found {rgb.shape}")
    path.write_bytes(encoded.tobytes())


def train_ultralytics(
    data: ExportedFrames,
    run_folder: str | os.PathLike,
    *,
    model: str = "yolov8n.yaml",
    epochs: int = 30,
    image_size: int = 416,
    batch_size: int = 16,
    device: str = "cpu",
    seed: int = 0,
    workers: int = 0,
    bf16: bool = False,
) -> Path:
    """Train one of ultralytics' detectors from scratch; returns `run_folder`/weights/best.pt.

    model: one of their configurations (`yolov3.yaml`, `yolov8n.yaml`, ..) or a checkpoint that lies
    on this disk; their names of pretrained checkpoints are refused, as they would be downloaded.
    """
    yolo = _open(model)
    import_albumentations()  # which ultralytics would import as it is
    run_folder = Path(run_folder).resolve()
    yolo.train(
        trainer=_offline_trainer(data),
        data=str(data.folder),
        project=str(run_folder.parent),
        name=run_folder.name,
        exist_ok=True,
        epochs=epochs,
        imgsz=image_size,
        batch=batch_size,
        device=device,
        seed=seed,
        workers=workers,
        amp="bf16" if bf16 else False,  # True would download a model to try it on
        plots=False,
        pretrained=False,
        verbose=False,
    )
    return run_folder / "weights" / "best.pt"


def _offline_trainer(data: ExportedFrames) -> type:
    """A DetectionTrainer that takes `data` as it is (theirs would look for fonts to download)."""
    from ultralytics.models.yolo.detect import DetectionTrainer
    from ultralytics.utils.torch_utils import strip_optimizer

    class OfflineTrainer(DetectionTrainer):
        def get_dataset(self) -> dict:
            images = data.folder.resolve() / "images"
            return {
                "path": data.folder,
                "train": str(images / "train"),
                "val": str(images / "val"),
                "names": dict(enumerate(data.names)),
                "nc": len(data.names),
                "channels": 3,
            }

        def final_eval(self) -> None:  # our report scores the checkpoint
            for checkpoint in (self.last, self.best):
                if checkpoint.exists():
                    strip_optimizer(checkpoint)

    return OfflineTrainer


def predict_ultralytics(
    weights: str | os.PathLike,
    frames: Iterable[tuple[str, int, np.ndarray]],
    names: Sequence[str],
    *,
    score_floor: float = 0.005,
    iou_threshold: float = 0.5,
    max_detections: int = 100,
    image_size: int = 416,
    batch_size: int = 16,
    device: str = "cpu",
) -> Iterator[tuple[str, int, Detections]]:
    """Run a checkpoint over (video, frame, (H, W, 3) uint8 RGB at the video's size), in order.

    Yields (video, frame, detections in the video's pixels). Their suppression leaves one class a
    box; objectness is NaN, as their heads have none. UserError if the checkpoint's classes are not
    `names`, or if it holds anything but network modules.
    """
    yolo = _open(weights)
    found = tuple(yolo.names[label] for label in sorted(yolo.names))
    if found != tuple(names):
        raise UserError(f"{weights}: expected the classes {tuple(names)}, found {found}")
    waiting = iter(frames)
    while chunk := list(islice(waiting, batch_size)):
        results = yolo.predict(
            [np.ascontiguousarray(image[..., ::-1]) for _, _, image in chunk],  # BGR, as cv2 reads
            conf=score_floor,
            iou=iou_threshold,
            max_det=max_detections,
            imgsz=image_size,
            device=device,
            verbose=False,
            save=False,
        )
        for (video, frame, _), result in zip(chunk, results, strict=True):
            boxes = result.boxes.xyxy.double().cpu().numpy()
            scores = np.zeros((len(boxes), len(names)))
            labels = result.boxes.cls.long().cpu().numpy()
            scores[np.arange(len(boxes)), labels] = result.boxes.conf.double().cpu().numpy()
            yield video, frame, Detections(boxes, np.full(len(boxes), np.nan), scores)


def _open(model: str | os.PathLike) -> YOLO:
    """ultralytics' model of a configuration or a local checkpoint, without network access."""
    keep_offline()
    try:
        from ultralytics import YOLO, settings
    except ImportError as error:
        raise UserError(
            f"expected the package ultralytics, found none ({error}); install the toolkit again"
        ) from None
    if settings["sync"]:
        settings.update({"sync": False})
    if Path(model).suffix in {".yaml", ".yml"}:
        try:
            return YOLO(str(model), task="detect", verbose=False)
        except FileNotFoundError:
            raise UserError(
                f"expected one of ultralytics' detector configurations (yolov3.yaml, yolov8n.yaml, "
                f"yolo11n.yaml, ..), found {model}"
            ) from None
    checkpoint_classes(model)  # refuses what is not there, or would run code
    return YOLO(str(model), task="detect", verbose=False)
