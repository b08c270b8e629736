"""stad train: a configuration to a run folder with checkpoints, a log and a report."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from stadet.tools.training.command import (
    add_training_arguments,
    expect_new,
    leave_cores_to_loaders,
    run_training,
    say,
    write_start,
)

if TYPE_CHECKING:
    import torch
    from torch import nn

    from stadet.tools.training.config import TrainConfig
    from stadet.tools.training.data import Footage

SUMMARY = "train a model from a configuration"
EXAMPLES = """\
examples:
  stad train configs/restaurant_yolov3_small.yaml data.dataset=my_footage/dataset.yaml
  stad train configs/restaurant_yolov3.yaml output=runs/a seed=1 loop.optimiser.lr=5e-4
  stad train --resume runs/a
  torchrun --nproc_per_node=4 -m stadet.tools.train configs/restaurant_yolov3.yaml
  stad train configs/restaurant_yolov3.yaml --print-config

Any key of the configuration can be overridden as key.path=value. The run's folder holds
config.yaml, metrics.jsonl, last.pt (to resume), best.pt (to use) and report/.
"""


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="stad train",
        description=SUMMARY,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_training_arguments(parser)
    return parser


def run(args: argparse.Namespace) -> int:
    from stadet.tools.training.config import TrainConfig

    return run_training(args, TrainConfig, train)


def train(config: TrainConfig, device: torch.device, *, resume: bool = False) -> bool:
    """Train as configured; True if the user stopped it (`last.pt` then holds everything)."""
    import torch

    from stadet.datasets.clips.loader import build_loader
    from stadet.engine import distributed
    from stadet.engine.checkpoint import seed_everything
    from stadet.engine.errors import UserError
    from stadet.engine.loop import fit
    from stadet.engine.runlog import RunLog
    from stadet.tools.inference.detectors import (
        build_base,
        check_network,
        checkpoint_description,
        complete_detector,
    )
    from stadet.tools.training.data import expect_boxes, open_footage
    from stadet.tools.training.recipes import training_sampler, training_step
    from stadet.tools.training.scoring import METRICS, score

    folder = Path(config.output)
    expect_new(folder, resume)
    if config.loop.metric not in METRICS:
        raise UserError(
            f"loop.metric: expected one of {', '.join(METRICS)}, found {config.loop.metric!r}"
        )
    leave_cores_to_loaders(device, config.data.workers)
    seed_everything(config.seed + distributed.rank())
    check_network(config)
    footage = open_footage(config.data, config.reach)
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
        write_start(config, log, footage.dataset.split)
        if distributed.is_main():
            anchors.save(folder / "anchors.yaml")
    say(
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
        say("validation: " + ", ".join(f"{k} {v:.4f}" for k, v in found.items()))
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
        say(f"stopped at step {result.steps}; continue with: stad train --resume {folder}")
    elif distributed.is_main():
        finish(folder)
    return result.interrupted


def finish(folder: Path) -> None:
    """Judge best.pt on the validation side, write report/ and put the learnt threshold into it."""
    from stadet.detect.report.figures import read_figures
    from stadet.engine.checkpoint import load_checkpoint, save_checkpoint
    from stadet.tools import evaluate

    best, report = folder / "best.pt", folder / "report"
    evaluate.run(
        evaluate.build_parser().parse_args(["--checkpoint", str(best), "--out", str(report)])
    )
    content = load_checkpoint(best)
    content["threshold"] = float(read_figures(report / "metrics.json")["threshold"])
    save_checkpoint(best, {key: value for key, value in content.items() if key != "schema"})


def _run_anchors(config: TrainConfig, folder: Path, train_side, resume: bool):
    from stadet.anchors.anchors import Anchors
    from stadet.tools.training.data import choose_anchors

    if resume:
        return Anchors.load(folder / "anchors.yaml")
    wanted = config.yowo if config.model == "yowo" else config.yolo
    return choose_anchors(
        wanted.anchors, wanted.num_anchors, config.strides, train_side, config.data, config.seed
    )


def _load_weights(config: TrainConfig, base: nn.Module, footage: Footage) -> None:
    from stadet.tools.training.starting_weights import load_starting_weights, load_yowo_weights

    split, allow = footage.dataset.split, config.allow_overlap
    reports = []
    if config.model == "yowo":
        reports = load_yowo_weights(base, config.yowo, split, allow_overlap=allow)
    elif config.yolo.weights:
        weights = config.yolo.weights
        reports = [load_starting_weights(base, weights, split, allow_overlap=allow)]
    for report in reports:
        say(f"starting weights: {report}")


def _freeze(config: TrainConfig, model: nn.Module) -> None:
    """Fix parts of the model: no gradients, no weight decay, fixed batch-norm statistics."""
    from stadet.engine.errors import UserError, neighbours
    from stadet.engine.optimise import set_batch_norm

    if config.model == "yowo":
        from stadet.yowo.freezing import freeze_branches

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


if __name__ == "__main__":
    from stadet.tools.cli import run_verb

    raise SystemExit(run_verb(sys.modules[__name__]))
