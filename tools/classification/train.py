"""Training a clip classifier: from a configuration to a run folder with checkpoints, reports."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

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

    from stadet.tools.classification.config import ClassifierConfig
    from stadet.tools.classification.data import ClassFootage


@checked
def train_classifier(
    config: ClassifierConfig, *, resume: bool = False, device: torch.device | None = None
) -> TrainingResult:
    """Train a clip classifier as configured.

    Leaves `config.yaml`, `metrics.jsonl`, `last.pt` (to resume), `best.pt` (to use) and `report/`
    in the folder `config.output`. Under torchrun every process calls this alike.

    Args:
        config: `stadet.engine.config.load_config(ClassifierConfig, "file.yaml", ["seed=1"])`.
        resume: continue from `last.pt` of the folder exactly where it stopped.
        device: where to train (default: the GPU if there is one).

    Returns:
        The run's folder and how it ended; `stopped_by` a signal, when `last.pt`
        holds everything to resume.

    Raises:
        UserError: for a folder that holds a run already, settings that do not fit together, and
            videos that cannot be used (unless `config.input.skip_bad`).
    """
    from stadet.engine.distributed import process_group

    with process_group() as found, run_folder(Path(config.output), resume):
        return _train(config, device or found, resume)


def _train(config: ClassifierConfig, device: torch.device, resume: bool) -> TrainingResult:
    import torch

    from stadet.classify.training import ClassificationStep
    from stadet.datasets.clips.timing import timing_sentence
    from stadet.datasets.splits.overlap import refuse_duplicates
    from stadet.engine import distributed
    from stadet.engine.checkpoint import seed_everything
    from stadet.engine.config import to_dict
    from stadet.engine.loop import fit
    from stadet.engine.runlog import RunLog
    from stadet.tools.classification.checkpoint import build_classifier, checkpoint_description
    from stadet.tools.classification.data import (
        classification_identity,
        has_validation,
        open_footage,
        split_record,
        training_loader,
    )
    from stadet.tools.classification.reports import finish
    from stadet.tools.training.resume import expect_same_run

    folder = Path(config.output)
    leave_cores_to_loaders(device, config.input.workers)
    seed_everything(config.seed + distributed.rank())
    sources = [config.data] + ([config.second] if config.second else [])
    footage = []
    for head, source in enumerate(sources):  # all at the rate of the first
        timing = footage[0].timing if footage else None
        footage.append(open_footage(source, config.input, config.sampling, head, timing=timing))
    heads = [part.data.names for part in footage]
    split = split_record(footage)
    identity = classification_identity(footage, split)
    if resume:
        expect_same_run(folder, to_dict(config), identity)
    if not config.model.allow_overlap:
        refuse_duplicates(split, "or set model.allow_overlap: true")
    torch.manual_seed(config.seed)  # the same initial weights whatever was drawn before
    model = build_classifier(config, heads)
    weights = []
    if config.model.weights and not resume:
        weights = [_load_weights(model, config, split)]
        say(f"starting weights: {weights[0]}")
    _freeze(model, config.model.frozen)
    log = RunLog(folder, enabled=distributed.is_main(), tensorboard=config.loop.tensorboard)
    if not resume:
        write_start(config, log, split, weights)
    _say_start(config, model, footage, device)
    if footage[0].timing.rates:
        say(timing_sentence(footage[0].timing, config.input.fps, "input.fps"))
    loader, sampler = training_loader(footage, config, model.inputs, pin=device.type == "cuda")
    step = ClassificationStep(
        class_weights=_class_weights(config, footage),
        label_smoothing=config.loss.label_smoothing,
        rejects=bool(config.data.none),
    )
    validate = _validation(config, footage, model, device) if has_validation(footage) else None
    result = fit(
        model,
        step,
        loader,
        sampler,
        validate,
        config.loop,
        log,
        device,
        describe={
            **checkpoint_description(config, heads, split.record(), footage[0].timing),
            "data": identity,
        },
        resume=resume,
    )
    if result.interrupted:
        say_stopped(result, f"stad train-classifier --resume {folder}")
    elif distributed.is_main():
        with distributed.alone():
            finish(folder, footage, device)
    return TrainingResult(folder, result.steps, result.best, result.stopped_by)


def _validation(config, footage: Sequence[ClassFootage], model: nn.Module, device: torch.device):
    """Score every data set's validation side; with two, each figure is the mean of theirs and the
    second's own begin with `second_`."""
    import torch

    from stadet.classify.answers import classify
    from stadet.classify.figures import score
    from stadet.engine.distributed import unwrap
    from stadet.engine.precision import choose_precision

    loaders = [part.evaluation_loader("val", config, model.inputs) for part in footage]
    precision, told = choose_precision(config.loop.precision, device)
    if told:
        say(told)
    half = torch.bfloat16 if precision == "bf16" else None

    def validate(evaluated: nn.Module) -> dict[str, float]:
        found = []
        for part, loader in zip(footage, loaders, strict=True):
            answers = classify(
                unwrap(evaluated),
                loader,
                part.data.names,
                device,
                rejects=bool(config.data.none),
                precision=half,
            )
            found.append(score(answers))
        merged = {name: sum(f[name] for f in found) / len(found) for name in found[0]}
        for name, other in zip(("first", "second"), found if len(found) > 1 else (), strict=False):
            merged |= {f"{name}_{key}": value for key, value in other.items()}
        say("validation: " + ", ".join(f"{k} {v:.4f}" for k, v in merged.items()))
        return merged

    return validate


def _load_weights(model: nn.Module, config: ClassifierConfig, split) -> Any:
    """Fill the model; a checkpoint trained on videos that this split judges on is refused."""
    from stadet.classify.models.multi_head import MultiHead
    from stadet.classify.models.weights import load_weights
    from stadet.datasets.splits.overlap import refuse_overlap
    from stadet.datasets.splits.split import Split
    from stadet.engine.checkpoint import is_checkpoint, load_checkpoint

    path = Path(config.model.weights)
    if path.is_file() and is_checkpoint(path) and not config.model.allow_overlap:
        content = load_checkpoint(path)
        refuse_overlap(Split.from_record(content["split"]), split, what=f"weights {path}")
    return load_weights(model.branch(0) if isinstance(model, MultiHead) else model, path)


def _freeze(model: nn.Module, prefixes: Sequence[str]) -> None:
    from stadet.engine.errors import UserError, neighbours
    from stadet.engine.optimise import freeze

    names = [name for name, _ in model.named_parameters()]
    for prefix in prefixes:
        if not any(name.startswith(prefix) for name in names):
            raise UserError(
                f"model.frozen: no parameter's name begins with {prefix!r}"
                f"{neighbours(prefix, {name.split('.')[0] for name in names})}"
            )
        for name, parameter in model.named_parameters():
            if name.startswith(prefix):
                parameter.requires_grad_(False)
        for name, module in model.named_modules():
            if f"{name}.".startswith(prefix) and name:
                freeze(module)


def _class_weights(config: ClassifierConfig, footage: Sequence[ClassFootage]) -> list[float] | None:
    if not config.loss.balance:
        return None
    from stadet.engine.errors import UserError
    from stadet.tools.training.class_weights import class_weights

    if len(footage) > 1:
        raise UserError("loss.balance: class weights are for one data set; use input.balance")
    return class_weights(footage[0].data.side("train").counts(), config.loss.balance)


def _say_start(config, model: nn.Module, footage: Sequence[ClassFootage], device) -> None:
    count = sum(parameter.numel() for parameter in model.parameters())
    say(f"{config.model.name}: {count:,} parameters, {device}; run folder {config.output}")
    for part in footage:
        sides = ", ".join(f"{len(part.data.side(s)):,} {s}" for s in part.data.sides)
        flips = sorted({"/".join(sorted(pair)) for pair in part.data.flip_labels.items()})
        say(
            f"{part.config.root}: {len(part.data.names)} classes, videos: {sides}"
            + (f"; swapped when mirrored: {', '.join(flips)}" if flips else "")
        )
        for bad in part.bad:
            say(f"left out: {bad.name}: {bad.reason}", warning=True)
