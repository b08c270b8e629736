"""The end of a classifier's run: thresholds in best.pt, and a report per side."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import torch

from stadet.classify.answers import Answers, classify
from stadet.classify.figures import score
from stadet.classify.rejection import learn_rejection
from stadet.classify.report import write_report
from stadet.engine.checkpoint import load_checkpoint, save_checkpoint
from stadet.engine.runlog import read_events
from stadet.tools.classification.checkpoint import open_classifier
from stadet.tools.classification.data import ClassFootage, has_validation

_log = logging.getLogger(__name__)


def finish(folder: Path, footage: Sequence[ClassFootage], device: torch.device) -> None:
    """Learn what best.pt rejects on the validation side, put it into the checkpoint and write a
    report of the first data set's validation and test sides (and of a second set's)."""
    best = folder / "best.pt"
    if not has_validation(footage):  # nothing to choose by: the last weights are the ones to use
        content = load_checkpoint(folder / "last.pt")
        kept = {k: v for k, v in content.items() if k not in ("schema", "training")}
        save_checkpoint(best, kept)
        _log.info(f"no validation side; the last weights are in {best}")
        return
    answers = answers_of(best, footage[0], "val", device)
    content = load_checkpoint(best)
    content["rejection"] = learn_rejection(answers).to_dict()
    save_checkpoint(best, {key: value for key, value in content.items() if key != "schema"})
    write_side_report(best, footage[0], "val", folder / "report", answers)
    if "test" in footage[0].data.sides:
        found = answers_of(best, footage[0], "test", device)
        write_side_report(best, footage[0], "test", folder / "report-test", found)
    for part in footage[1:]:
        for side in set(part.data.sides) - {"train"}:
            found = answers_of(best, part, side, device)
            write_side_report(best, part, side, folder / f"report-second-{side}", found)


def answers_of(checkpoint: Path, footage: ClassFootage, side: str, device: torch.device) -> Answers:
    """A checkpoint's answers to one side of its data."""
    file = open_classifier(checkpoint, device, head=footage.head)
    loader = footage.evaluation_loader(side, file.config, file.model.inputs)
    return classify(file.model, loader, file.names, device, rejects=file.rejects)


def write_side_report(
    checkpoint: Path, footage: ClassFootage, side: str, folder: Path, answers: Answers
) -> Path:
    """The report of a checkpoint's answers to one side; logs its headline."""
    file = open_classifier(checkpoint, head=footage.head)
    data, sampling = footage.data.side(side), file.config.sampling
    facts = [
        ("Model", f"{file.config.model.name} {file.config.model.options or ''}".strip()),
        (
            "Data",
            f"{footage.config.root} ({footage.config.format}), side {side}: "
            f"{len(data):,} videos of {len(set(data.groups)):,} groups",
        ),
        (
            "Clips",
            f"{sampling.policy}, {sampling.frames} frames, {file.config.input.size[1]}x"
            f"{file.config.input.size[0]} pixels",
        ),
        ("Checkpoint", str(checkpoint)),
    ]
    notes = []
    if side == "val":
        notes.append(
            "best.pt and the thresholds were chosen on this very side, so its figures are "
            "optimistic; a test side or stad cross-validate judges without choosing."
        )
    if footage.bad:
        listed = "; ".join(f"{bad.name}: {bad.reason}" for bad in footage.bad[:5])
        notes.append(f"{len(footage.bad)} videos were left out: {listed}")
    page = write_report(
        folder,
        answers,
        title=f"{checkpoint.parent.resolve().name} {side}",
        rejection=file.rejection,
        facts=facts,
        notes=notes,
        events=read_events(checkpoint.parent / "metrics.jsonl"),
    )
    found = score(answers)
    _log.info(f"{side}: top-1 {found['top1']:.4f}, top-5 {found['top5']:.4f}; report: {page}")
    return page
