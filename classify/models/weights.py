"""Weights to start a clip classifier from: local files in the common layouts, the libraries' own.

What a file gives is always said (`WeightsReport`), and a tensor of another shape is an error unless
it belongs to the classifier of other classes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from stadet.classify.models.classifier import ClipClassifier
from stadet.classify.models.inflate import inflate
from stadet.detect.backbones.networks import pixel_statistics
from stadet.detect.backbones.weights import named_weights
from stadet.detect.normalisation import Normalise
from stadet.detect.yolo.weights_report import WeightsReport
from stadet.engine.errors import UserError
from stadet.engine.state_dict import read_state_dict

VIDEO_NETWORKS = ("r3d_18", "mc3_18", "r2plus1d_18")


def load_weights(model: ClipClassifier, source: str | os.PathLike) -> WeightsReport:
    """Fill `model` from a file, or from torchvision or timm by the name of its weights.

    source: a local file (of this program, or in a public layout that the model's docstring names),
    else a name such as `"IMAGENET1K_V1"` or `"DEFAULT"` of `model.library_name`, which
    the library downloads or takes from its own cache. Raises UserError for a file that cannot be
    read, is of another network or has a tensor of another shape, and where a download fails.
    """
    path = Path(source)
    if path.is_file():
        return fill(model, read_state_dict(path), path.name)
    report = fill(model, named_weights(model.library_name, str(source)), str(source))
    name = model.library_name or ""
    video = name in VIDEO_NETWORKS
    expected = "kinetics" if video else Normalise(pixel_statistics(name)).name
    normalise = getattr(model, "normalise", None)
    if isinstance(normalise, Normalise) and normalise.name != expected:
        note = (
            f"they expect normalisation {expected}, this model has {normalise.name}: fine-tuning "
            "has to make up for it"
        )
        report = replace(report, notes=(*report.notes, note))
    return report


def fill(model: ClipClassifier, weights: Mapping[str, Tensor], source: str) -> WeightsReport:
    """Copy what `weights` holds, by the model's own names or its public layouts'.

    2D weights are inflated where the model has them in 3D. Raises UserError for a shape that does
    not fit outside the classifier, and where not half of the trunk's tensors would be filled.
    """
    # Files from before PyTorch 0.4.1 do not count batches; nothing depends on that count.
    own = {k: v for k, v in model.state_dict().items() if not k.endswith("num_batches_tracked")}
    used: dict[str, Tensor] = {}
    unused, inflated = [], 0
    for key, tensor in weights.items():
        if key.endswith("num_batches_tracked"):
            continue
        targets = (key,) if key in own else model.public_keys(key)
        taken = False
        for target in targets:
            if target not in own:
                continue
            fitted = _fit(tensor, own[target].shape)
            if fitted is not None:
                used[target], taken = fitted, True
                inflated += fitted.ndim > tensor.ndim
            elif not target.startswith(model.head_keys):
                raise UserError(
                    f"{source}: {key}: expected shape {tuple(own[target].shape)}, found "
                    f"{tuple(tensor.shape)}; it is of another network, width or size"
                )
        if not taken:
            unused.append(key)
    wanted = [k for k in own if k.startswith(model.trunk_key) and not k.startswith(model.head_keys)]
    filled = sum(key in used for key in wanted)
    if filled < 0.5 * len(wanted):
        raise UserError(
            f"{source}: holds {filled} of the {len(wanted)} tensors of {type(model).__name__}'s "
            "trunk; expected a file of the same network"
        )
    model.load_state_dict(used, strict=False)
    if inflated:
        source += f" ({inflated} inflated)"
    return WeightsReport(source, tuple(used), tuple(k for k in own if k not in used), tuple(unused))


def _fit(tensor: Tensor, shape: torch.Size) -> Tensor | None:
    """`tensor` in this shape: as it is, without trailing ones, or inflated; None if it cannot."""
    if tensor.shape == shape:
        return tensor
    if tensor.numel() == shape.numel() and tensor.shape[: len(shape)] == shape:
        return tensor.reshape(shape)  # a 1x1x1 convolution for a linear layer
    if tensor.ndim == 4 and len(shape) == 5 and tensor.shape == (*shape[:2], *shape[3:]):
        return inflate(tensor, shape[2])
    return None
