"""Training a detector: from a configuration to a run folder with checkpoints and a report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from stadet.tools.training.command import (
    TrainingResult,
    expect_new,
    leave_cores_to_loaders,
    say,
    write_start,
)

if TYPE_CHECKING:
    import torch
    from torch import nn

    from stadet.tools.training.config import TrainConfig
    from stadet.tools.training.data import Footage


def train(
    config: TrainConfig, *, resume: bool = False, device: torch.device | None = None
) -> TrainingResult:
    """Train a detector as configured.

    Leaves `config.yaml`, `metrics.jsonl`, `last.pt` (to resume), `best.pt` (to use) and `report/`
    (of best.pt on the validation side) in the folder `config.output`. Under torchrun every process
    calls this alike; the first one writes.

    Args:
        config: `stadet.engine.config.load_config(TrainConfig, "file.yaml", ["seed=1"])`.
        resume: continue from `last.pt` of the folder exactly where it stopped.
        device: where to train (default: the GPU if there is one).

    Returns:
        The run's folder and how it ended; `interrupted` after Ctrl-C or SIGTERM, when `last.pt`
        holds everything to resume.

    Raises:
        UserError: for a folder that holds a run already, settings that do not fit together, and
            data that cannot be trained on.
    """
    from stadet.engine.distributed import process_group

    with process_group() as found:
        return _train(config, device or found, resume)


def _train(config: TrainConfig, device: torch.device, resume: bool) -> TrainingResult:
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
    return TrainingResult(folder, result.steps, result.best, result.interrupted)


def finish(folder: Path) -> None:
    """Judge best.pt on the validation side, write report/ and put the learnt threshold into it."""
    from stadet.engine.checkpoint import load_checkpoint, save_checkpoint
    from stadet.tools.evaluation.evaluate import evaluate_checkpoint

    best = folder / "best.pt"
    result = evaluate_checkpoint(best, out=folder / "report")
    say(result.summary())
    content = load_checkpoint(best)
    content["threshold"] = float(result.evaluation.thresholds.overall)
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
