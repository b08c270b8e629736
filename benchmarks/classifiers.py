"""Speed of every clip classifier: parameters, clips a second, time of a training step and epoch.

    python benchmarks/classifiers.py --threads 2
    python benchmarks/classifiers.py --models i3d resnet3d --epoch-clips 711
    python benchmarks/classifiers.py --device cuda --dtype bf16 --batch-size 16

Every model has the clip of its report (frames and size) unless it is told another. Medians of
`--repeats` after one that is not counted; a training step is forward, cross entropy, backward and
an Adam step. `--epoch-clips N` adds the minutes of an epoch of N clips.
"""

from __future__ import annotations

import argparse
import contextlib
import platform
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from stadet.classify.models.classifier import ClipClassifier
from stadet.classify.models.registry import MODELS, build_model
from stadet.detect.yolo.darknet53 import count_parameters

# Frames and size (height, width) of the reports; the hand-washing report's for what is not named.
CLIPS = {
    "fused_keypoints": (20, (64, 64)),
    "late_fusion_average": (5, (224, 224)),
    "late_fusion_concatenation": (5, (224, 224)),
    "lrcn": (5, (224, 224)),
    "c3d": (16, (112, 112)),
    "i3d_resnet": (16, (224, 224)),
    "nonlocal_i3d_resnet": (16, (224, 224)),
    "i3d": (40, (100, 100)),
    "nl_i3d": (40, (100, 100)),
    "g_i3d": (40, (100, 100)),
    "dilate_i3d": (40, (100, 100)),
    "modified_i3d": (40, (100, 100)),
    "compact": (3, (64, 96)),
    "resnet3d": (16, (112, 112)),
}
REPORT_000 = (16, (128, 128))
DTYPES = {"fp32": None, "bf16": torch.bfloat16}


def main() -> None:
    args = _parse()
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    device = torch.device(args.device)
    chip = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    print(
        f"{chip}, {torch.get_num_threads()} threads, torch {torch.__version__}, {args.dtype}, "
        f"batch {args.batch_size}, {args.classes} classes, seed {args.seed}"
    )
    epoch = f"{'epoch':>12}" if args.epoch_clips else ""
    print(f"{'':28}{'clip':>14}{'parameters':>13}{'prediction':>16}{'training step':>16}{epoch}")
    for name in args.models:
        length, size = CLIPS.get(name, REPORT_000)
        length, size = args.frames or length, tuple(args.size or size)
        model = build_model(name, args.classes, **_shape_options(name, length, size)).to(device)
        inputs = _inputs(model, args.batch_size, length, size, device)
        clip = f"{length}x{size[0]}x{size[1]}"
        print(f"{name:28}{clip:>14}{count_parameters(model):>13,}", end="", flush=True)
        seconds = _time(_prediction(model.eval(), inputs, args), args.repeats, device)
        print(f"{args.batch_size / seconds:9.2f} clips/s", end="", flush=True)
        seconds = _time(_training_step(model.train(), inputs, args), args.repeats, device)
        print(f"{seconds:14.3f} s", end="", flush=True)
        if args.epoch_clips:
            print(f"{seconds * args.epoch_clips / args.batch_size / 60:8.1f} min", end="")
        print(flush=True)


def _shape_options(name: str, length: int, size: tuple[int, int]) -> dict:
    """Options of the models whose layers depend on the size or length of a clip."""
    options = {}
    if name in ("c3d", "fused_keypoints"):
        options["size"] = list(size)
    if name in ("c3d", "late_fusion_concatenation"):
        options["clip_length"] = length
    return options


def _inputs(
    model: ClipClassifier, batch: int, length: int, size: tuple[int, int], device: torch.device
) -> list[Tensor]:
    shape = (batch, length, 3, *size)
    return [
        torch.rand(batch, length, 1662, device=device)
        if name == "keypoints"
        else torch.randint(0, 256, shape, dtype=torch.uint8, device=device)
        for name in model.inputs
    ]


def _autocast(args: argparse.Namespace) -> contextlib.AbstractContextManager:
    dtype = DTYPES[args.dtype]
    return torch.autocast(args.device, dtype) if dtype else contextlib.nullcontext()


def _prediction(
    model: ClipClassifier, inputs: list[Tensor], args: argparse.Namespace
) -> Callable[[], None]:
    def predict() -> None:
        with torch.inference_mode(), _autocast(args):
            model(*inputs)

    return predict


def _training_step(
    model: ClipClassifier, inputs: list[Tensor], args: argparse.Namespace
) -> Callable[[], None]:
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimiser = torch.optim.Adam(trained, 1e-4)
    labels = torch.zeros(len(inputs[0]), dtype=torch.long, device=inputs[0].device)

    def step() -> None:
        with _autocast(args):
            loss = cross_entropy(model(*inputs).float(), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    return step


def _time(run: Callable[[], None], repeats: int, device: torch.device) -> float:
    """Median seconds of a run; the first is not counted."""
    seconds = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        run()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:])


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS), metavar="NAME")
    parser.add_argument("--frames", type=int, help="frames a clip, for every model")
    parser.add_argument("--size", type=int, nargs=2, metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--batch-size", type=int, default=2)
    parser.add_argument("--classes", type=int, default=12)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--epoch-clips", type=int, help="clips of an epoch, to give its time")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", choices=DTYPES, default="fp32")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
