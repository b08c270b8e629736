"""Speed of YOLOv3: parameters, forward and training step, next to ultralytics' yolov3.

    python benchmarks/yolov3.py --batch-size 1 --repeats 3
    python benchmarks/yolov3.py --device cuda --dtype bf16 --batch-size 64 --channels-last --compile

The same images and size for both, each with its own loss on the same boxes (four an image). Median
of `--repeats` after `--warmup`; a training step is forward, loss, backward and an SGD step.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from stadet.anchors.presets import preset
from stadet.detect.batch import Targets
from stadet.detect.boxes import xyxy_to_cxcywh
from stadet.detect.yolo.darknet53 import count_parameters
from stadet.detect.yolo.loss import YoloLoss
from stadet.detect.yolo.ultralytics_body import keep_offline
from stadet.detect.yolo.yolov3 import YOLOv3

CLASSES = 80
BOXES_AN_IMAGE = 4
DTYPES = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


def main() -> None:
    args = _parse()
    torch.manual_seed(args.seed)
    torch.backends.cudnn.benchmark = True
    device = torch.device(args.device)
    chip = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    print(
        f"{chip}, {torch.get_num_threads()} threads, torch {torch.__version__}, "
        f"{args.size}x{args.size}, batch {args.batch_size}, {args.dtype}"
        f"{', channels-last' if args.channels_last else ''}{', compiled' if args.compile else ''}"
        f", seed {args.seed}"
    )
    images = torch.rand(args.batch_size, 3, args.size, args.size, device=device)
    targets = _targets(args.batch_size, args.size, device)
    rows = [("ours, published", *_ours("published", images, targets))]
    rows.append(("ours, ultralytics body", *_ours("ultralytics", images, targets)))
    peer = _peer(images, targets)
    if peer is not None:
        rows.append(("ultralytics yolov3", *peer))
    print(f"{'':24}{'parameters':>12}{'forward':>20}{'training step':>20}")
    for name, model, loss in rows:
        print(f"{name:24}{count_parameters(model):>12,}", end="", flush=True)
        model = model.to(device)
        if args.channels_last:
            model = model.to(memory_format=torch.channels_last)
        for measure in (_forward, _training_step):
            seconds = _time(measure(model, loss, images, args), args, device)
            rate = args.batch_size / seconds
            print(f"{seconds * 1e3:9.1f} ms {rate:6.0f}/s", end="", flush=True)
        print()
        model.to("cpu")
    if device.type == "cuda":
        print(f"peak memory {torch.cuda.max_memory_allocated(device) / 2**30:.1f} GiB")


def _ours(body: str, images: Tensor, targets: Targets) -> tuple[nn.Module, Callable]:
    anchors = preset("yolov3-coco")
    loss = YoloLoss(anchors).to(images.device)
    model = YOLOv3(CLASSES, anchors, body=body)
    return _Maps(model), lambda maps: sum(loss(maps, targets).values())


class _Maps(nn.Module):
    """YOLOv3 on (N, 3, H, W), so that both peers are called alike."""

    def __init__(self, model: YOLOv3) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> list[Tensor]:
        return self.model.forward_head(self.model.forward_features(images))


def _peer(images: Tensor, targets: Targets) -> tuple[nn.Module, Callable] | None:
    """ultralytics' yolov3 and its own loss, or None, said, where the package is not installed."""
    keep_offline()
    try:
        from ultralytics.cfg import get_cfg
        from ultralytics.nn.tasks import DetectionModel
    except ImportError as error:
        print(f"ultralytics is left out: {error}")
        return None
    model = DetectionModel("yolov3.yaml", nc=CLASSES, verbose=False).to(images.device)
    model.args = get_cfg()
    criterion = model.init_criterion()
    height, width = images.shape[-2:]
    batch = {
        "batch_idx": targets.item.float(),
        "cls": targets.labels.argmax(1).float(),
        "bboxes": xyxy_to_cxcywh(targets.boxes) / targets.boxes.new_tensor([width, height] * 2),
        "img": images,
    }
    return model, lambda outputs: criterion(outputs, batch)[0].sum()


def _targets(images: int, size: int, device: torch.device) -> Targets:
    count = images * BOXES_AN_IMAGE
    corner = torch.rand(count, 2) * size * 0.7
    boxes = torch.cat([corner, corner + 10 + torch.rand(count, 2) * size * 0.25], dim=1)
    labels = torch.nn.functional.one_hot(torch.randint(CLASSES, (count,)), CLASSES).float()
    item = torch.arange(images).repeat_interleave(BOXES_AN_IMAGE)
    return Targets(boxes, labels, item, torch.ones(images, dtype=torch.bool)).to(device)


def _autocast(device: torch.device, args: argparse.Namespace) -> torch.autocast:
    dtype = DTYPES[args.dtype]
    return torch.autocast(device.type, dtype, enabled=dtype is not None)


def _forward(
    model: nn.Module, loss: Callable, images: Tensor, args: argparse.Namespace
) -> Callable:
    model.eval()
    run = torch.compile(model) if args.compile else model

    @torch.inference_mode()
    def step() -> None:
        with _autocast(images.device, args):
            run(images)

    return step


def _training_step(
    model: nn.Module, loss: Callable, images: Tensor, args: argparse.Namespace
) -> Callable:
    model.train()
    run = torch.compile(model) if args.compile else model
    optimiser = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9)
    scaler = torch.amp.GradScaler(images.device.type, enabled=args.dtype == "fp16")

    def step() -> None:
        with _autocast(images.device, args):
            total = loss(run(images))
        optimiser.zero_grad()
        scaler.scale(total).backward()
        scaler.step(optimiser)
        scaler.update()

    return step


def _time(step: Callable[[], None], args: argparse.Namespace, device: torch.device) -> float:
    """Median seconds of a step."""
    seconds = []
    for repeat in range(args.warmup + args.repeats):
        _wait(device)
        start = time.perf_counter()
        step()
        _wait(device)
        if repeat >= args.warmup:
            seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--dtype", choices=DTYPES, default="fp32", help="autocast type")
    parser.add_argument("--size", type=int, default=416, help="side of the images")
    parser.add_argument("--batch-size", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--warmup", type=int, default=2)
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--compile", action="store_true", help="torch.compile the networks")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
