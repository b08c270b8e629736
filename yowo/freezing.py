"""Freezing branches for fine-tuning: weights and batch-norm statistics alike."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from engine.errors import UserError
from engine.optimise import freeze_batch_norm
from yowo.model import YOWO

# the parts that the authors meant to leave trainable when a branch is frozen
_FREE_2D = ("models.29.", "models.30.")
_FREE_3D = ("layer4.", "features.18.", "conv_last.")


def freeze_branches(model: YOWO, branches: list[str], *, keep_last: bool = True) -> list[str]:
    """Freeze `"2d"` and/or `"3d"`: no gradient, no weight decay, fixed batch-norm statistics.

    keep_last: leave the last block of a branch trainable (2D convolutions 22 and 23; 3D layer4 or
    the light networks' last convolution), as the authors intended. Returns the frozen parameters'
    names. UserError for an unknown branch.
    """
    parts = {"2d": ("backbone_2d", _FREE_2D), "3d": ("backbone_3d", _FREE_3D)}
    frozen: list[str] = []
    for branch in branches:
        if branch not in parts:
            raise UserError(f"yowo.freeze: expected 2d or 3d, found {branch!r}")
        name, free = parts[branch]
        frozen += _freeze(getattr(model, name), name, free if keep_last else ())
    return frozen


def _freeze(root: nn.Module, prefix: str, free: tuple[str, ...]) -> Iterator[str]:
    for path, module in root.named_modules():
        if f"{path}.".startswith(free) and free:
            continue
        for name, parameter in module.named_parameters(recurse=False):
            parameter.requires_grad_(False)
            yield f"{prefix}.{path}.{name}"
        if isinstance(module, _BatchNorm):
            freeze_batch_norm(module)
