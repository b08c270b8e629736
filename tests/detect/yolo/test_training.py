import numpy as np
import torch

from stadet.anchors.anchors import Anchors
from stadet.detect.batch import ClipBatch, Targets
from stadet.detect.view import View
from stadet.detect.yolo.loss import YoloLoss
from stadet.detect.yolo.training import FrameTrainingStep
from stadet.detect.yolo.yolov3 import YOLOv3

ANCHORS = Anchors(
    tuple(np.array([[8.0, 8], [12, 16]]) * k for k in (1, 2, 4)), (8, 16, 32), (64, 64)
)


def clip_batch(clips=2, steps=2):
    images = clips * steps
    generator = torch.Generator().manual_seed(0)
    frames = torch.randint(
        0, 256, (clips, steps, 3, 64, 64), dtype=torch.uint8, generator=generator
    )
    boxes = torch.tensor([[4.0, 4, 20, 24], [30, 30, 60, 62], [10, 40, 18, 52]])
    targets = Targets(
        boxes, torch.eye(3), torch.tensor([0, 1, 3]), torch.ones(images, dtype=torch.bool)
    )
    return ClipBatch(
        frames,
        targets,
        torch.ones(clips, dtype=torch.bool),
        torch.ones(clips, steps, dtype=torch.bool),
        [View.resize((64, 64), (64, 64))] * clips,
        ["v"] * clips,
        torch.arange(images).view(clips, steps),
    )


def test_step_is_the_loss_of_the_models_maps():
    torch.manual_seed(0)
    model = YOLOv3(3, ANCHORS, width=0.125, depth=0.1).eval()
    batch, loss = clip_batch(), YoloLoss(ANCHORS)
    losses, state = FrameTrainingStep(loss)(model, batch, None)
    expected = loss(model(batch.frames)[0], batch.targets)
    assert state is None and losses.keys() == {"box", "objectness", "class"}
    for name, value in losses.items():
        torch.testing.assert_close(value, expected[name])


def test_a_few_steps_bring_the_loss_down():
    torch.manual_seed(0)
    model = YOLOv3(3, ANCHORS, width=0.125, depth=0.1)
    step, batch = FrameTrainingStep(YoloLoss(ANCHORS)), clip_batch()
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    totals = []
    for _ in range(40):
        losses, _ = step(model, batch, None)
        total = sum(losses.values())
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
        totals.append(float(total.detach()))
    assert totals[-1] < 0.4 * totals[0]
