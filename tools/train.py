"""stad train: a configuration to a run folder with checkpoints, a log and a report."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import nn

    from tools.training_config import TrainConfig
    from tools.training_data import Footage

SUMMARY = "train a model from a configuration"
EXAMPLES = """\
examples:
  stad train configs/restaurant_yolov3_small.yaml data.dataset=my_footage/dataset.yaml
  stad train configs/restaurant_yolov3.yaml output=runs/a seed=1 loop.optimiser.lr=5e-4
  stad train --resume runs/a
  torchrun --nproc_per_node=4 -m tools.train configs/restaurant_yolov3.yaml
  stad train configs/restaurant_yolov3.yaml --print-config

Any key of the configuration can be overridden as key.path=value. The run's folder holds
config.yaml, metrics.jsonl, last.pt (to resume), best.pt (to use) and report/.
"""


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="stad train", description=SUMMARY, epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    add = parser.add_argument
    add("settings", nargs="*", help="a configuration file, then key.path=value overrides")
    add("--resume", metavar="RUN", help="continue a run folder exactly where it stopped")
    add("--print-config", action="store_true", help="print the resolved configuration and stop")
    return parser


def run(args: argparse.Namespace) -> int:
    from engine.config import load_config, to_dict
    from engine.distributed import process_group
    from engine.errors import UserError
    from tools.training_config import TrainConfig

    settings = list(args.settings)
    file = settings.pop(0) if settings and "=" not in settings[0] else None
    if args.resume:
        if file or settings:
            raise UserError("--resume takes the run's own configuration; give no other settings")
        if not (Path(args.resume) / "last.pt").is_file():
            raise UserError(
                f"{args.resume}: expected last.pt to resume from, found none; start the run again "
                "from its configuration"
            )
        file = str(Path(args.resume) / "config.yaml")
    config = load_config(TrainConfig, file, settings)
    if args.resume:  # the folder may have been moved
        config = replace(config, output=args.resume)
    if args.print_config:
        import yaml

        print(yaml.safe_dump(to_dict(config), sort_keys=False), end="")
        return 0
    with process_group() as device:
        interrupted = train(config, device, resume=bool(args.resume))
    return 130 if interrupted else 0


def train(config: TrainConfig, device: torch.device, *, resume: bool = False) -> bool:
    """Train as configured; True if the user stopped it (`last.pt` then holds everything)."""
    import torch

    from datasets.loader import build_loader
    from engine import distributed
    from engine.checkpoint import seed_everything
    from engine.errors import UserError
    from engine.loop import fit
    from engine.runlog import RunLog
    from tools.detectors import build_base, checkpoint_description, complete_detector
    from tools.recipes import training_sampler, training_step
    from tools.scoring import METRICS, score
    from tools.training_data import expect_boxes, open_footage

    folder = Path(config.output)
    if (folder / "last.pt").exists() and not resume:
        raise UserError(f"{folder} holds a run; continue it with --resume {folder}, or set output=")
    if config.loop.metric not in METRICS:
        raise UserError(
            f"loop.metric: expected one of {', '.join(METRICS)}, found {config.loop.metric!r}"
        )
    if device.type == "cpu":  # a thread that waits for a core a loading process holds stops all
        torch.set_num_threads(max(1, (os.cpu_count() or 1) - config.data.workers))
    seed_everything(config.seed + distributed.rank())
    footage = open_footage(config.data)
    train_side = footage.dataset.side("train")
    val_side = footage.dataset.side("val")
    expect_boxes(train_side, "train")
    expect_boxes(val_side, "val")
    anchors = _run_anchors(config, folder, train_side, resume)
    torch.manual_seed(config.seed)  # the same initial weights whatever was drawn before
    base = build_base(config, len(train_side.names), anchors)
    if not resume:
        _load_weights(config, base, footage)
    model = complete_detector(config, base)
    _freeze(config, model)
    log = RunLog(folder, enabled=distributed.is_main(), tensorboard=config.loop.tensorboard)
    if not resume:
        log.rewind(-1)  # what a run that was killed before its first checkpoint left
        _write_start(config, log, footage)
        if distributed.is_main():
            anchors.save(folder / "anchors.yaml")
    _say(
        f"{config.model}: {sum(p.numel() for p in model.parameters()):,} parameters, "
        f"{len(train_side.names)} classes, {device}; run folder {folder}"
    )
    sampler = training_sampler(config, footage, train_side)
    loader = build_loader(
        footage.clips(train_side, config.augment),
        sampler,
        workers=config.data.workers,
        pin_memory=device.type == "cuda",
    )
    evaluation = footage.evaluation_loader("val", model)
    half = torch.bfloat16 if config.loop.precision == "bf16" else None

    def validate(evaluated: nn.Module) -> dict[str, float]:
        found = score(evaluated, evaluation, val_side, config.inference, device, half)
        _say("validation: " + ", ".join(f"{k} {v:.4f}" for k, v in found.items()))
        return found

    names, split = train_side.names, footage.dataset.split.record()
    result = fit(
        model,
        training_step(config, anchors, train_side),
        loader,
        sampler,
        validate,
        config.loop,
        log,
        device,
        describe=checkpoint_description(config, names, anchors, split),
        resume=resume,
    )
    if result.interrupted:
        _say(f"stopped at step {result.steps}; continue with: stad train --resume {folder}")
    elif distributed.is_main():
        finish(folder)
    return result.interrupted


def finish(folder: Path) -> None:
    """Judge best.pt on the validation side, write report/ and put the learnt threshold into it."""
    from detect.report.figures import read_figures
    from engine.checkpoint import load_checkpoint, save_checkpoint
    from tools import evaluate

    best, report = folder / "best.pt", folder / "report"
    evaluate.run(
        evaluate.build_parser().parse_args(["--checkpoint", str(best), "--out", str(report)])
    )
    content = load_checkpoint(best)
    content["threshold"] = float(read_figures(report / "metrics.json")["threshold"])
    save_checkpoint(best, {key: value for key, value in content.items() if key != "schema"})


def _run_anchors(config: TrainConfig, folder: Path, train_side, resume: bool):
    from anchors.anchors import Anchors
    from tools.training_data import choose_anchors

    if resume:
        return Anchors.load(folder / "anchors.yaml")
    wanted = config.yowo if config.model == "yowo" else config.yolo
    strides = [32] if config.model == "yowo" else config.yolo.strides
    return choose_anchors(
        wanted.anchors, wanted.num_anchors, strides, train_side, config.data, config.seed
    )


def _load_weights(config: TrainConfig, base: nn.Module, footage: Footage) -> None:
    from tools.starting_weights import load_starting_weights, load_yowo_weights

    split, allow = footage.dataset.split, config.allow_overlap
    reports = []
    if config.model == "yowo":
        reports = load_yowo_weights(base, config.yowo, split, allow_overlap=allow)
    elif config.yolo.weights:
        weights = config.yolo.weights
        reports = [load_starting_weights(base, weights, split, allow_overlap=allow)]
    for report in reports:
        _say(f"starting weights: {report}")


def _freeze(config: TrainConfig, model: nn.Module) -> None:
    """Fix parts of the model: no gradients, no weight decay, fixed batch-norm statistics."""
    from engine.errors import UserError, neighbours
    from engine.optimise import set_batch_norm

    if config.model == "yowo":
        from yowo.freezing import freeze_branches

        freeze_branches(model, config.yowo.freeze)
        return
    if config.model == "recurrent-yolo":
        model.freeze(config.yolo.freeze)
        return
    children = dict(getattr(model, "detector", model).named_children())
    for part in config.yolo.freeze:
        if part not in children:
            raise UserError(f"yolo.freeze: no part {part!r}{neighbours(part, children)}")
        children[part].requires_grad_(False)
        set_batch_norm(children[part], "frozen")


def _write_start(config: TrainConfig, log, footage: Footage) -> None:
    import yaml

    from engine.config import to_dict
    from engine.files import atomic_write

    log.write_environment(seed=config.seed, split=footage.dataset.split.digest)
    if log.enabled:
        with atomic_write(log.folder / "config.yaml") as stream:
            yaml.safe_dump(to_dict(config), stream, sort_keys=False)


def _say(text: str) -> None:
    from engine.distributed import is_main

    if is_main():
        print(text, flush=True)


if __name__ == "__main__":
    from tools.cli import run_verb

    raise SystemExit(run_verb(sys.modules[__name__]))
