"""Classifiers from configurations and from checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from stadet.classify.models.classifier import ClipClassifier
from stadet.classify.models.multi_head import MultiHead
from stadet.classify.models.registry import build_model, model_options
from stadet.classify.rejection import Rejection
from stadet.datasets.clips.timing import Timing, read_timing
from stadet.engine.checkpoint import UNFIT, building_to_load, load_checkpoint, load_state
from stadet.engine.config import from_dict, to_dict
from stadet.engine.errors import UserError
from stadet.tools.classification.config import ClassifierConfig


@dataclass(frozen=True)
class ClassifierFile:
    """A checkpoint opened for use: the model with its weights and everything stored with them.

    names: the classes of each data set it was trained on; model: answers for `head`; split: which
    videos were on which side; rejection: learnt on the validation side, no threshold before;
    timing: how far apart its frames were in training, None where the file does not say (it is older
    than that).
    """

    path: Path
    model: ClipClassifier
    heads: tuple[tuple[str, ...], ...]
    head: int
    config: ClassifierConfig
    split: dict[str, Any]
    rejection: Rejection
    timing: Timing | None = None

    @property
    def names(self) -> tuple[str, ...]:
        return self.heads[self.head]

    @property
    def rejects(self) -> bool:
        """The model has a binary head besides its classes."""
        return bool(self.config.data.none)


def build_classifier(
    config: ClassifierConfig, heads: Sequence[Sequence[str]]
) -> ClipClassifier | MultiHead:
    """The network of a configuration for these classes, with initial weights.

    One output more than classes where `data.none` teaches it to reject. `clip_length` and `size` of
    the model follow the sampling and the input unless its options say otherwise.
    """
    if len(heads) > 1 and config.data.none:
        raise UserError("data.none: a model of two data sets has no binary head; train on one")
    known = model_options(config.model.name) if config.model.name else {}
    implied = {"clip_length": config.sampling.frames, "size": tuple(config.input.size)}
    options = {k: v for k, v in implied.items() if k in known} | config.model.options
    counts = [len(names) + bool(config.data.none) for names in heads]

    def build(num_classes: int) -> ClipClassifier:
        return build_model(config.model.name, num_classes, **options)

    return MultiHead(build, counts) if len(counts) > 1 else build(counts[0])


def checkpoint_description(
    config: ClassifierConfig,
    heads: Sequence[Sequence[str]],
    split: dict[str, Any],
    timing: Timing | None = None,
) -> dict[str, Any]:
    """Description of a run in each of its checkpoints, as plain data; `open_classifier` reads
    it."""
    return {
        "kind": "classifier",
        "config": to_dict(config),
        "heads": [list(names) for names in heads],
        "split": split,
        "rejection": Rejection().to_dict(),
        "timing": timing and timing.to_dict(),
        "revision": 2,  # without it: of before 0.2, see `_as_it_was_trained`
    }


def _as_it_was_trained(config: ClassifierConfig, content: dict[str, Any]) -> ClassifierConfig:
    """Options that a checkpoint of before 0.2 does not name keep what they meant then."""
    if config.model.name != "resnet3d" or content.get("revision", 1) >= 2:
        return config
    options = {"yowo_pool": True} | config.model.options
    return replace(config, model=replace(config.model, options=options))


def open_classifier(
    path: str | Path, device: torch.device | str = "cpu", head: int = 0
) -> ClassifierFile:
    """Read a checkpoint of `stad train-classifier`. Raises UserError where it is not one."""
    content = load_checkpoint(path)
    if content.get("kind") != "classifier":
        raise UserError(f"checkpoint {path}: expected one of stad train-classifier")
    try:
        config = from_dict(ClassifierConfig, content["config"], f"checkpoint {path}")
        heads = tuple(tuple(names) for names in content["heads"])
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"checkpoint {path}: not of a classifier ({error})") from error
    if not 0 <= head < len(heads):
        raise UserError(f"checkpoint {path}: expected a head from 0 to {len(heads) - 1}")
    config = _as_it_was_trained(config, content)
    with building_to_load():
        model: nn.Module = build_classifier(config, heads)
    load_state(model, content["model"], f"checkpoint {path}: {UNFIT}")
    if isinstance(model, MultiHead):
        model = model.branch(head)
    return ClassifierFile(
        Path(path),
        model.to(device).eval(),
        heads,
        head,
        config,
        content["split"],
        Rejection(**content["rejection"]),
        read_timing(content, f"checkpoint {path}"),
    )
