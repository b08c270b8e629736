"""stad train-classifier: a configuration to a run folder with checkpoints, a log and a report."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

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

    from stadet.tools.classification.config import ClassifierConfig
    from stadet.tools.classification.data import ClassFootage

SUMMARY = "train a clip classifier from a configuration"
EXAMPLES = """\
examples:
  stad train-classifier configs/handwash.yaml data.root=HandWash output=runs/handwash
  stad train-classifier data.root=videos model.name=convlstm input.size="[128, 128]"
  stad train-classifier configs/handwash.yaml data.none=other_videos
  stad train-classifier configs/i3d.yaml second.root=hmdb51 second.format=hmdb51
  stad train-classifier --resume runs/handwash
  stad train-classifier configs/handwash.yaml --print-config

data.root holds a folder of videos a class (below train/, val/ and test/, or dealt by data.split),
or a public data set in its own form (data.format). Any key can be overridden as key.path=value. The
run's folder holds config.yaml, metrics.jsonl, last.pt (to resume), best.pt (to use) and report/.
Few videos and no pretrained weights: begin with configs/handwash.yaml, which learns from the
differences of frames in a minute, and set data.format=folders for other classes.
"""


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="stad train-classifier",
        description=SUMMARY,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_training_arguments(parser)
    parser.add_argument(
        "--skip-bad", action="store_true", help="go on without videos that cannot be used"
    )
    return parser


def run(args: argparse.Namespace) -> int:
    from stadet.tools.classification.config import ClassifierConfig

    further = ["input.skip_bad=true"] if args.skip_bad else []
    return run_training(args, ClassifierConfig, train, further)


def train(config: ClassifierConfig, device: torch.device, *, resume: bool = False) -> bool:
    """Train as configured; True if the user stopped it (`last.pt` then holds everything)."""
    import torch

    from stadet.classify.training import ClassificationStep
    from stadet.engine import distributed
    from stadet.engine.checkpoint import seed_everything
    from stadet.engine.loop import fit
    from stadet.engine.runlog import RunLog
    from stadet.tools.classification.checkpoint import build_classifier, checkpoint_description
    from stadet.tools.classification.data import (
        has_validation,
        open_footage,
        split_record,
        training_loader,
    )
    from stadet.tools.classification.reports import finish

    folder = Path(config.output)
    expect_new(folder, resume)
    leave_cores_to_loaders(device, config.input.workers)
    seed_everything(config.seed + distributed.rank())
    sources = [config.data] + ([config.second] if config.second else [])
    footage = [
        open_footage(source, config.input, config.sampling, head)
        for head, source in enumerate(sources)
    ]
    heads = [part.data.names for part in footage]
    split = split_record(footage)
    torch.manual_seed(config.seed)  # the same initial weights whatever was drawn before
    model = build_classifier(config, heads)
    if config.model.weights and not resume:
        say(f"starting weights: {_load_weights(model, config, split)}")
    _freeze(model, config.model.frozen)
    log = RunLog(folder, enabled=distributed.is_main(), tensorboard=config.loop.tensorboard)
    if not resume:
        write_start(config, log, split)
    _say_start(config, model, footage, device)
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
        describe=checkpoint_description(config, heads, split.record()),
        resume=resume,
    )
    if result.interrupted:
        say(f"stopped at step {result.steps}; continue: stad train-classifier --resume {folder}")
    elif distributed.is_main():
        finish(folder, footage, device)
    return result.interrupted


def _validation(config, footage: Sequence[ClassFootage], model: nn.Module, device: torch.device):
    """Score every data set's validation side; with two, each figure is the mean of theirs and the
    second's own stand under `second_`."""
    import torch

    from stadet.classify.answers import classify
    from stadet.classify.figures import score
    from stadet.engine.distributed import unwrap

    loaders = [part.evaluation_loader("val", config, model.inputs) for part in footage]
    half = torch.bfloat16 if config.loop.precision == "bf16" else None

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
    from stadet.engine.optimise import set_batch_norm

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
                set_batch_norm(module, "frozen")


def _class_weights(config: ClassifierConfig, footage: Sequence[ClassFootage]) -> list[float] | None:
    import numpy as np

    if not config.loss.balance:
        return None
    from stadet.engine.errors import UserError

    if len(footage) > 1:
        raise UserError("loss.balance: class weights are for one data set; use input.balance")
    counts = footage[0].data.side("train").counts()
    return ((counts.mean() / np.maximum(counts, 1)) ** config.loss.balance).tolist()


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
            say(f"left out: {bad.name}: {bad.reason}")


if __name__ == "__main__":
    from stadet.tools.cli import run_verb

    raise SystemExit(run_verb(sys.modules[__name__]))
