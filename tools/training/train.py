"""Training a detector: from a configuration to a run folder with checkpoints and a report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from stadet.engine.signatures import checked
from stadet.tools.training.command import (
    TrainingResult,
    leave_cores_to_loaders,
    run_folder,
    say,
    say_stopped,
    write_start,
)

if TYPE_CHECKING:
    import torch
    from torch import nn

    from stadet.anchors.anchors import Anchors
    from stadet.detect.structures import AnnotationSet
    from stadet.tools.training.config import TrainConfig
    from stadet.tools.training.recipe import Recipe


@checked
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
        The run's folder and how it ended; `stopped_by` a signal, when `last.pt`
        holds everything to resume.

    Raises:
        UserError: for a folder that holds a run already, settings that do not fit together, and
            data that cannot be trained on.
    """
    from stadet.engine.distributed import process_group

    with process_group() as found, run_folder(Path(config.output), resume):
        return _train(config, device or found, resume)


def _train(config: TrainConfig, device: torch.device, resume: bool) -> TrainingResult:
    import torch

    from stadet.datasets.clips.loader import build_loader
    from stadet.datasets.clips.timing import timing_sentence
    from stadet.datasets.identity import dataset_identity
    from stadet.datasets.mirror import mirror_pairs
    from stadet.datasets.splits.overlap import refuse_duplicates
    from stadet.engine import distributed
    from stadet.engine.checkpoint import seed_everything
    from stadet.engine.config import to_dict
    from stadet.engine.errors import UserError
    from stadet.engine.loop import fit
    from stadet.engine.precision import choose_precision
    from stadet.engine.runlog import RunLog
    from stadet.tools.inference.detectors import checkpoint_description
    from stadet.tools.training.data import expect_boxes, open_footage
    from stadet.tools.training.resume import expect_same_run
    from stadet.tools.training.scoring import METRICS, score

    folder = Path(config.output)
    if config.loop.metric not in METRICS:
        raise UserError(
            f"loop.metric: expected one of {', '.join(METRICS)}, found {config.loop.metric!r}"
        )
    leave_cores_to_loaders(device, config.data.workers)
    seed_everything(config.seed + distributed.rank())
    recipe = config.recipe
    recipe.check()
    footage = open_footage(config.data, recipe.reach(), step=recipe.frame_step())
    train_side = footage.dataset.side("train")
    val_side = footage.dataset.side("val")
    identity = dataset_identity(footage.dataset)
    if resume:
        expect_same_run(folder, to_dict(config), identity)
    if not footage.dataset.config.split.allow_overlap:
        refuse_duplicates(footage.dataset.split)
    expect_boxes(train_side, "train")
    expect_boxes(val_side, "val")
    for side in ("train", "val"):
        say(f"{side}: {footage.coverage(side)}")
    if config.augment.flip > 0:
        data = footage.dataset
        for pair in mirror_pairs(train_side, data.reverses, data.flip_labels):
            say(
                f"note: augment.flip is {config.augment.flip:g}, but {pair}; set augment.flip=0, "
                "or flip_labels in the data set file",
                warning=True,
            )
    anchors = _run_anchors(recipe, folder, train_side, resume)
    torch.manual_seed(config.seed)  # the same initial weights whatever was drawn before
    base = recipe.build_base(len(train_side.names), anchors)
    weights = [] if resume else recipe.load_weights(base, footage.dataset.split)
    for report in weights:
        say(f"starting weights: {report}")
    model = recipe.complete(base)
    recipe.freeze(model)
    log = RunLog(folder, enabled=distributed.is_main(), tensorboard=config.loop.tensorboard)
    if not resume:
        log.rewind(-1)  # what a run that was killed before its first checkpoint left
        write_start(config, log, footage.dataset.split, weights)
        if anchors is not None and distributed.is_main():
            anchors.save(folder / "anchors.yaml")
    say(
        f"{config.model}: {sum(p.numel() for p in model.parameters()):,} parameters, "
        f"{len(train_side.names)} classes, {device}; run folder {folder}"
    )
    if model.context_frames != 0:
        say(timing_sentence(footage.timing, config.data.fps))
    shown = footage.training_side(model)
    sampler = recipe.sampler(footage, shown)
    loader = build_loader(
        footage.clips(shown, config.augment),
        sampler,
        workers=config.data.workers,
        pin_memory=device.type == "cuda",
    )
    evaluation = footage.evaluation_loader("val", model)
    precision, told = choose_precision(config.loop.precision, device)
    if told:
        say(told)
    half = torch.bfloat16 if precision == "bf16" else None

    def validate(evaluated: nn.Module) -> dict[str, float]:
        found = score(
            evaluated,
            evaluation,
            val_side,
            config.inference,
            device,
            half,
            frames_of=footage.frames_of,
        )
        say("validation: " + ", ".join(f"{k} {v:.4f}" for k, v in found.items()))
        return found

    names, split = train_side.names, footage.dataset.split.record()
    result = fit(
        model,
        recipe.step(anchors, train_side),
        loader,
        sampler,
        validate,
        config.loop,
        log,
        device,
        describe={
            **checkpoint_description(config, names, anchors, split, footage.timing),
            "data": identity,
        },
        resume=resume,
    )
    if result.interrupted:
        say_stopped(result, f"stad train --resume {folder}")
    elif distributed.is_main():
        with distributed.alone():
            finish(folder)
        if result.ending:
            say(result.ending.replace("RUN", str(folder)))
    return TrainingResult(folder, result.steps, result.best, result.stopped_by)


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


def _run_anchors(
    recipe: Recipe, folder: Path, train_side: AnnotationSet, resume: bool
) -> Anchors | None:
    from stadet.anchors.anchors import Anchors
    from stadet.tools.training.data import choose_anchors

    choice, config = recipe.anchors(), recipe.config
    if choice is None:
        return None
    if resume:
        return Anchors.load(folder / "anchors.yaml")
    return choose_anchors(
        choice.wanted, choice.count, choice.strides, train_side, config.data, config.seed
    )
