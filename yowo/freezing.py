"""Freezing branches for fine-tuning: weights and batch-norm statistics alike."""

from __future__ import annotations

from collections.abc import Sequence

from stadet.engine.errors import UserError
from stadet.engine.optimise import freeze
from stadet.yowo.darknet19 import Darknet19
from stadet.yowo.image_branch import ImageBranch
from stadet.yowo.model import YOWO

# the 2D convolutions that the authors meant to leave trainable: blocks 29 and 30 of yolov2.cfg;
# of an image network, the one behind it, which no public weights fill
_LAST_2D = {Darknet19: ("models.29", "models.30"), ImageBranch: ("last",)}


def freeze_branches(model: YOWO, branches: Sequence[str], *, keep_last: bool = True) -> list[str]:
    """Freeze `"2d"` and/or `"3d"`: no gradient, no weight decay, fixed batch-norm statistics.

    keep_last: leave the last block of a branch trainable (the 2D branch's last two convolutions;
    the 3D branch's `last_block`), as the authors intended. Returns the frozen parameters' names.
    UserError for an unknown branch.
    """
    last = {"2d": _LAST_2D[type(model.backbone_2d)], "3d": (model.backbone_3d.last_block,)}
    frozen: list[str] = []
    for branch in branches:
        if branch not in last:
            raise UserError(f"yowo.freeze: expected 2d or 3d, found {branch!r}")
        name = f"backbone_{branch}"
        parts = freeze(model.get_submodule(name), keep=last[branch] if keep_last else ())
        frozen += [f"{name}.{part}" for part in parts]
    return frozen
