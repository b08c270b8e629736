"""Effect of the choices of the YOLO loss: a small YOLOv3 on generated pictures, few steps.

    python benchmarks/yolo_loss.py                                       # the defaults
    python benchmarks/yolo_loss.py --match-iou 1 --objectness-gamma 0    # as published

Rectangles of 6 to 40 pixels in three colours on textured 128x128 pictures, a third of them empty;
400 for training, 150 for testing. A variant takes about a minute on one thread.
"""

from __future__ import annotations

import argparse
import platform
import time

import cv2
import numpy as np
import torch

from stadet.anchors.anchors import Anchors
from stadet.detect.batch import Targets
from stadet.detect.metrics.frame_map import FrameMAP
from stadet.detect.nms import suppress, to_detections
from stadet.detect.structures import FrameAnnotations
from stadet.detect.view import View
from stadet.detect.yolo.loss import YoloLoss
from stadet.detect.yolo.yolov3 import YOLOv3

SIDE = 128
COLOURS = np.array([[220, 40, 40], [40, 200, 40], [50, 50, 230]])
ANCHORS = Anchors(
    (
        np.array([(10, 10), (10, 20), (20, 10)]),
        np.array([(18, 18), (15, 32), (32, 15)]),
        np.array([(25, 25), (28, 38), (38, 28)]),
    ),
    (8, 16, 32),
    (SIDE, SIDE),
)


def main() -> None:
    args = _parse()
    torch.manual_seed(args.seed)
    training = [_picture(np.random.default_rng([args.seed, i])) for i in range(400)]
    testing = [_picture(np.random.default_rng([args.seed, 1, i])) for i in range(150)]
    model = YOLOv3(len(COLOURS), ANCHORS, width=0.25, depth=0.4)
    loss = YoloLoss(
        ANCHORS,
        box_weight=args.box_weight,
        match_iou=args.match_iou,
        objectness_gamma=args.objectness_gamma,
    )
    optimiser = torch.optim.AdamW(model.parameters(), lr=args.lr, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, args.lr, total_steps=args.steps, pct_start=0.15
    )
    start = time.perf_counter()
    for _ in range(args.steps):
        rows = torch.randint(len(training), (args.batch_size,)).tolist()
        frames, targets = _batch([training[row] for row in rows])
        total = sum(loss(model(frames)[0], targets).values())
        optimiser.zero_grad()
        total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 10.0)
        optimiser.step()
        schedule.step()
    seconds = time.perf_counter() - start
    print(f"{platform.machine()}, {torch.get_num_threads()} threads, {vars(args)}")
    print(f"AP@0.5 {_evaluate(model, testing):.3f} after {args.steps} steps, {seconds:.0f} s")


def _picture(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(128, 128, 3) uint8, boxes (M, 4) xyxy, labels (M,)."""
    coarse = rng.integers(0, 256, (8, 8, 3)).astype(np.float32)
    image = cv2.resize(coarse, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC) * 0.5 + 64
    image += rng.normal(0, 10, image.shape)
    boxes, labels = [], []
    for _ in range(rng.integers(1, 4) if rng.random() < 0.7 else 0):
        size = np.exp(rng.uniform(np.log(6), np.log(40), 2))
        corner = rng.uniform(0, SIDE - size)
        x1, y1, x2, y2 = np.concatenate([corner, corner + size])
        labels.append(int(rng.integers(len(COLOURS))))
        boxes.append((x1, y1, x2, y2))
        colour = COLOURS[labels[-1]] + rng.normal(0, 15, 3)
        image[round(y1) : round(y2), round(x1) : round(x2)] = colour
    image = image.clip(0, 255).astype(np.uint8)
    return image, np.array(boxes, dtype=float).reshape(-1, 4), np.array(labels, dtype=int)


def _batch(pictures: list) -> tuple[torch.Tensor, Targets]:
    """Frames (N, 1, 3, H, W) and their targets."""
    frames = torch.from_numpy(np.stack([image for image, *_ in pictures])).permute(0, 3, 1, 2)
    boxes = torch.from_numpy(np.concatenate([boxes for _, boxes, _ in pictures])).float()
    labels = torch.from_numpy(np.concatenate([labels for *_, labels in pictures]))
    item = torch.tensor([n for n, (_, boxes, _) in enumerate(pictures) for _ in boxes]).long()
    one_hot = torch.nn.functional.one_hot(labels, len(COLOURS)).float()
    looked_at = torch.ones(len(pictures), dtype=torch.bool)
    return frames[:, None], Targets(boxes, one_hot, item, looked_at)


@torch.inference_mode()
def _evaluate(model: YOLOv3, pictures: list) -> float:
    """Frame-mAP@0.5."""
    model.eval()
    metric = FrameMAP(("red", "green", "blue"))
    view = View.resize((SIDE, SIDE), (SIDE, SIDE))
    for frame, picture in enumerate(pictures):
        frames, targets = _batch([picture])
        (found,) = suppress(model.decode(model(frames)[0]), 0.01, 0.5, 50)
        truth = FrameAnnotations(
            picture[1], targets.labels.numpy() > 0, np.full(len(picture[1]), -1)
        )
        metric.update("test", frame, truth, to_detections(found, view))
    return metric.compute([0.5]).mean_at(0.5)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=240)
    parser.add_argument("--batch-size", type=int, default=12)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--match-iou", type=float, default=0.3)
    parser.add_argument("--objectness-gamma", type=float, default=1.5)
    parser.add_argument("--box-weight", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
