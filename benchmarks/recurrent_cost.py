"""Cost of recurrence: seconds per frame of a training step, over the same detector without it.

    python benchmarks/recurrent_cost.py                                  # 416 px, T 8, B 2, CPU
    python benchmarks/recurrent_cost.py --device cuda --dtype bf16 --lanes 1 4 16 32

Each row is a forward and backward pass of the full YOLOv3 with a memory on the neck of all three
scales, truth on every frame; rows take turns, so that a slow moment of the machine hits all alike,
and the median of the turns counts. `hidden` is a share of the neck's channels (1 = 128, 256, 512).
With --lanes: frames a second and peak memory of the chosen cell for each number of lanes.
"""

from __future__ import annotations

import argparse
import gc
import platform
import statistics
import time

import torch
from torch import nn

from stadet.anchors.presets import YOLOV3_COCO
from stadet.detect.batch import Targets
from stadet.detect.yolo.loss import YoloLoss
from stadet.detect.yolo.yolov3 import YOLOv3
from stadet.recurrent_yolo.model import RecurrentYOLO
from stadet.recurrent_yolo.stacked import StackedYOLO
from stadet.recurrent_yolo.state import detach
from stadet.recurrent_yolo.temporal import MemoryConfig

NUM_CLASSES = 24
ROWS = {
    "YOLOv3": None,
    "YOLOv3, 3 stacked frames": 3,
    "ConvLSTM, hidden 1": MemoryConfig(depthwise=False, hidden=1, differences=()),
    "ConvLSTM, hidden 1, differences": MemoryConfig(depthwise=False, hidden=1),
    "ConvLSTM, hidden 1/2, differences": MemoryConfig(depthwise=False, hidden=0.5),
    "ConvGRU, hidden 1, differences": MemoryConfig(cell="gru", depthwise=False, hidden=1),
    "depthwise ConvLSTM, hidden 1": MemoryConfig(hidden=1, differences=()),
    "depthwise ConvLSTM, hidden 1, differences": MemoryConfig(hidden=1),
    "depthwise ConvLSTM, hidden 1/2, differences": MemoryConfig(hidden=0.5),
    "depthwise ConvLSTM, hidden 24, differences": MemoryConfig(hidden=24),
    "minGRU, hidden 1, differences": MemoryConfig(cell="mingru", hidden=1),
    "the report: head, conv peepholes": MemoryConfig(
        depthwise=False, hidden=1, peepholes="conv", differences=(), residual=False
    ),
}
BASELINE = "YOLOv3"
REPORT = "the report: head, conv peepholes"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--size", type=int, default=416)
    add("--frames", type=int, default=8, help="frames of a window (T)")
    add("--batch", type=int, default=2, help="lanes of the comparison of cells (B)")
    add("--width", type=float, default=1.0)
    add("--turns", type=int, default=5)
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    add("--dtype", choices=["fp32", "bf16"], default="fp32")
    add("--compile", action="store_true")
    add("--only", nargs="+", metavar="ROW", choices=ROWS, help="and the baseline")
    add("--lanes", type=int, nargs="+", default=[], help="frames a second for these numbers")
    add("--lanes-row", default="depthwise ConvLSTM, hidden 1, differences", choices=list(ROWS))
    args = parser.parse_args()
    print(
        f"{machine(args.device)}, torch {torch.__version__}, {args.dtype}, seed 0, {args.size} px"
    )
    names = [n for n in ROWS if not args.only or n in (BASELINE, *args.only)]
    compare(names, args)
    if args.lanes:
        by_lanes(args)


def compare(names: list[str], args: argparse.Namespace) -> None:
    """Time of a training step of each row, over the baseline's."""
    steps = {name: TrainingPass(name, args.batch, args) for name in names}
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(args.turns + 1):
        for name, step in steps.items():
            spent = timed(step, args.device)
            if turn:  # the first turn warms up
                seconds[name].append(spent)
    frames = args.batch * args.frames
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    print(f"\n| T {args.frames}, B {args.batch} | ms a frame | over YOLOv3 |\n|---|---|---|")
    for name, median in medians.items():
        print(f"| {name} | {1e3 * median / frames:.2f} | {median / medians[BASELINE]:.3f} |")


def by_lanes(args: argparse.Namespace) -> None:
    """Frames a second and peak memory against lanes, and an epoch of 36,000 frames."""
    print(f"\n| {args.lanes_row}, lanes | frames/s | GiB | 36,000 frames, s |\n|---|---|---|---|")
    cuda = args.device.startswith("cuda")
    for lanes in args.lanes:
        gc.collect()
        if cuda:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        step = TrainingPass(args.lanes_row, lanes, args)
        times = [timed(step, args.device) for _ in range(args.turns + 1)][1:]
        rate = lanes * args.frames / statistics.median(times)
        memory = f"{torch.cuda.max_memory_allocated() / 2**30:.1f}" if cuda else "-"
        print(f"| {lanes} | {rate:.1f} | {memory} | {36_000 / rate:.0f} |")
        del step


class TrainingPass:
    """One forward and backward pass of a row, with the state of the last one carried on."""

    def __init__(self, name: str, lanes: int, args: argparse.Namespace) -> None:
        torch.manual_seed(0)
        self.device, self.autocast = torch.device(args.device), args.dtype == "bf16"
        self.model = build(name, args.width).to(self.device).train()
        self.run = torch.compile(self.model) if args.compile else self.model
        self.loss = YoloLoss(YOLOV3_COCO).to(self.device)
        shape = (lanes, args.frames, 3, args.size, args.size)
        self.frames = torch.randint(0, 256, shape, dtype=torch.uint8, device=self.device)
        self.targets = truth(lanes * args.frames, args.size).to(self.device)
        self.state = None

    def __call__(self) -> None:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.autocast):
            maps, state = self.run(self.frames, self.state)
        torch.stack(list(self.loss(maps, self.targets).values())).sum().backward()
        self.model.zero_grad(set_to_none=True)
        self.state = detach(state)


def build(name: str, width: float) -> nn.Module:
    detector, row = YOLOv3(NUM_CLASSES, YOLOV3_COCO, width=width), ROWS[name]
    if row is None:
        return detector
    if isinstance(row, int):
        return StackedYOLO(detector, row)
    return RecurrentYOLO(detector, row, placement="head" if name == REPORT else "neck")


def truth(images: int, size: int) -> Targets:
    """Two boxes an image."""
    corner = torch.rand(2 * images, 2) * 0.7 * size
    return Targets(
        torch.cat([corner, corner + 0.2 * size], dim=1),
        torch.eye(NUM_CLASSES)[torch.randint(NUM_CLASSES, (2 * images,))],
        torch.arange(images).repeat_interleave(2),
        torch.ones(images, dtype=torch.bool),
    )


def timed(work, device: str) -> float:
    """Seconds of the wall clock on a GPU; on a CPU those of the processor, which other programs
    disturb less."""
    cuda = device.startswith("cuda")
    clock = time.perf_counter if cuda else time.process_time
    started = clock()
    work()
    if cuda:
        torch.cuda.synchronize()
    return clock() - started


def machine(device: str) -> str:
    if device.startswith("cuda"):
        return torch.cuda.get_device_name()
    return f"{platform.machine()} CPU, {torch.get_num_threads()} threads"


if __name__ == "__main__":
    main()
