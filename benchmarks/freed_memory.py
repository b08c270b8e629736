"""Cost of giving freed memory back to the system, on a CPU.

    taskset -c 0 python benchmarks/freed_memory.py

For a forward pass of 8 clips of ResNeXt-101, for a training step of the small YOWO and for one of
YOLOv3 at 416 pixels: seconds, page faults, and the process's peak memory, as glibc does it by
itself, with `stadet.engine.allocator.keep_freed_memory`, and with torch's large pages
(THP_MEM_ALLOC_ENABLE=1). One process a row. Needs Linux.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

WORK = ("forward", "yowo", "yolo")
WAYS = ("as it is", "large pages", "kept", "kept, large pages")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", nargs="+", choices=WORK, default=WORK)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--row", choices=WAYS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.row:
        _measure(args.work[0], args.row, args.repeats)
        return
    for work in args.work:
        for way in WAYS:
            command = [sys.executable, __file__, "--work", work, "--row", way]
            pages = {"THP_MEM_ALLOC_ENABLE": "1"} if "large" in way else {}
            subprocess.run(
                [*command, "--repeats", str(args.repeats)], check=True, env={**os.environ, **pages}
            )


def _measure(work: str, way: str, repeats: int) -> None:
    if "kept" in way:
        from stadet.engine.allocator import keep_freed_memory

        assert keep_freed_memory()
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)
    run = {"forward": _forward, "yowo": _yowo_step, "yolo": _yolo_step}[work]()
    run()
    seconds, before = [], resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(repeats):
        began = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - began)
    used = resource.getrusage(resource.RUSAGE_SELF)
    faults = (used.ru_minflt - before) / repeats
    print(
        f"{work:8} {way:18} {statistics.median(seconds):7.3f} s {faults:10.0f} faults a pass, "
        f"peak {used.ru_maxrss / 2**20:.2f} GiB",
        flush=True,
    )


def _forward() -> Callable[[], None]:
    import torch

    model = _yowo("resnext101", 1.0, 16).eval()
    clips = torch.randint(0, 256, (8, 16, 3, 224, 224), dtype=torch.uint8)

    def run() -> None:
        with torch.inference_mode():
            model(clips)

    return run


def _yowo_step() -> Callable[[], None]:
    import torch

    model = _yowo("resnet18", 0.25, 8)
    clips = torch.randint(0, 256, (32, 8, 3, 96, 160), dtype=torch.uint8)
    return _step(model, clips)


def _yolo_step() -> Callable[[], None]:
    import torch

    from stadet.anchors.presets import preset
    from stadet.detect.yolo.yolov3 import YOLOv3

    model = YOLOv3(24, preset("yolov3-coco"))
    return _step(model, torch.randint(0, 256, (4, 1, 3, 416, 416), dtype=torch.uint8))


def _step(model, frames) -> Callable[[], None]:
    import torch

    optimiser = torch.optim.SGD(model.parameters(), lr=1e-6)

    def run() -> None:
        optimiser.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            maps, _ = model(frames)
        sum(level.float().square().mean() for level in maps).backward()
        optimiser.step()

    return run


def _yowo(backbone: str, width: float, frames: int):
    from stadet.anchors.presets import preset
    from stadet.yowo.model import YOWO

    options = {"backbone": backbone, "width": width, "clip_length": frames}
    return YOWO(24, preset("yowo-ucf24"), **options)


if __name__ == "__main__":
    main()
