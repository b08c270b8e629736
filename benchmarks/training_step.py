"""What a training step's time goes into, and what `loop.compile` saves of it.

    OMP_NUM_THREADS=1 python benchmarks/training_step.py --out runs/training_step \\
        demo_frame demo_recurrent

Trains each configuration on generated footage for --steps steps in this process (no loading
processes, so that reading and augmentation show as what they cost) and tells each part's CPU
milliseconds a step over the second half of the steps: reading and augmentation, forward and loss,
of it the temporal blocks, backward, clipping, the optimiser, moving averages, the checks and marks
of the loop, and the rest. With --compile, everything again with `loop.compile=true`: its steady
steps, and after how many steps its first ones (which compile) are paid back.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from experiment import film
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader

from stadet.configs import find_config
from stadet.detect.yolo.training import FrameTrainingStep
from stadet.engine.config import load_config
from stadet.engine.run_state import RunState
from stadet.recurrent_yolo.temporal import TemporalBlock
from stadet.recurrent_yolo.training import RecurrentTrainingStep
from stadet.tools.training.config import TrainConfig
from stadet.tools.training.train import train

FOOTAGE = ["--minutes", "4", "--scenes", "8", "--seed", "0", "--size", "64", "112"]
INSIDE = "  of it temporal blocks"  # part of another part, so not summed
PARTS: dict[str, list[tuple[Any, str]]] = {
    "forward and loss": [(FrameTrainingStep, "__call__"), (RecurrentTrainingStep, "__call__")],
    INSIDE: [(TemporalBlock, "forward")],
    "backward": [(torch.Tensor, "backward")],
    "clipping": [(torch.nn.utils, "clip_grad_norm_")],
    "optimiser": [(torch.amp.GradScaler, "step")],
    "moving average": [(AveragedModel, "update_parameters")],
    "checks and marks": [
        (RunState, "mark"),
        (RunState, "check_finite"),
        (RunState, "observe"),
    ],
}
READING = "reading, augmentation"


class Clock:
    """CPU seconds of each part in every step; a step ends with the optimiser's."""

    def __init__(self) -> None:
        self.steps: list[dict[str, float]] = []
        self._now: dict[str, float] = defaultdict(float)
        self._began = time.process_time()

    def timed(self, part: str, call: Callable) -> Callable:
        def run(*args, **kwargs):
            began = time.process_time()
            try:
                return call(*args, **kwargs)
            finally:
                self._now[part] += time.process_time() - began
                if part == "optimiser":
                    self._end_step()

        return run

    def _end_step(self) -> None:
        now = time.process_time()
        self._now["whole"] = now - self._began
        self.steps.append(dict(self._now))
        self._now, self._began = defaultdict(float), now


def measure(name: str, data: Path, out: Path, settings: list[str]) -> Clock:
    """Train the configuration `name` on `data` in this process."""
    common = [f"data.dataset={data}", f"output={out}", "data.workers=0", "loop.log_every=1000000"]
    config = load_config(TrainConfig, find_config(name), [*common, *settings])
    clock = Clock()
    with ExitStack() as stack:
        for part, places in PARTS.items():
            for owner, attribute in places:
                call = clock.timed(part, getattr(owner, attribute))
                stack.enter_context(mock.patch.object(owner, attribute, call))
        iterate = DataLoader.__iter__

        def batches(loader):
            iterator = iterate(loader)
            following = clock.timed(READING, lambda: next(iterator, None))
            return itertools.takewhile(lambda batch: batch is not None, iter(following, clock))

        stack.enter_context(mock.patch.object(DataLoader, "__iter__", batches))
        train(config)
    return clock


def table(clock: Clock) -> float:
    """Prints milliseconds a step over the second half; returns the whole."""
    steady = clock.steps[len(clock.steps) // 2 :]
    mean = {
        part: 1e3 * sum(step.get(part, 0.0) for step in steady) / len(steady)
        for part in ("whole", READING, *PARTS)
    }
    whole = mean.pop("whole")
    rest = whole - sum(value for part, value in mean.items() if part != INSIDE)
    for part, value in {**mean, "rest": rest}.items():
        if value > 0.005:
            print(f"  {part:<24}{value:>9.2f} ms {value / whole:>6.1%}")
    print(f"  {'whole step':<24}{whole:>9.2f} ms", flush=True)
    return whole


def tell_saving(clocks: list[Clock], wholes: list[float]) -> None:
    """Of two runs, the second compiled: what its first steps cost, and when that is paid back."""
    saved = (wholes[0] - wholes[1]) / 1e3
    first, second = (sum(step["whole"] for step in clock.steps) for clock in clocks)
    compiling = second - first + saved * len(clocks[1].steps)
    paid = f"after {compiling / saved:,.0f} steps" if saved > 0 else "never"
    print(f"  compiling took {compiling:.0f} s, paid back {paid}")


def main() -> None:
    args = _parse()
    args.out = args.out.resolve()
    args.out.mkdir(parents=True, exist_ok=True)
    data = film(args.out, "footage", FOOTAGE, args.out / "footage.log") / "dataset.yaml"
    run = 0
    for name in args.configs:
        clocks, wholes = [], []
        for compiled in (False, True) if args.compile else (False,):
            while (out := args.out / f"run{run}").exists():
                run += 1
            settings = [f"loop.max_steps={args.steps}", f"loop.compile={str(compiled).lower()}"]
            settings += ["loop.schedule.name=constant", "loop.schedule.warmup=0", *args.set]
            clocks.append(measure(name, data, out, settings))
            print(f"{name}{', compiled' if compiled else ''}")
            wholes.append(table(clocks[-1]))
        if args.compile:
            tell_saving(clocks, wholes)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("configs", nargs="+", help="of the toolkit, or files")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--compile", action="store_true", help="once more with loop.compile")
    parser.add_argument("--set", nargs="*", default=[], help="further settings of every training")
    return parser.parse_args()


if __name__ == "__main__":
    main()
