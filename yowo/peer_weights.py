"""Weights of other programs: public YOWO checkpoints, Kinetics weights, Darknet's yolo.weights.

What a file gave is said in a `WeightsReport`. Strict loading, the default, refuses a file that
leaves a part of the network unfilled or holds parts that the network does not have; a head of other
classes or anchors, and a classifier that YOWO has no use for, are no reason to refuse.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from stadet.detect.yolo.darknet_weights import read_darknet_file
from stadet.detect.yolo.weights_report import WeightsReport
from stadet.engine.errors import UserError
from stadet.engine.state_dict import read_state_dict
from stadet.yowo.darknet19 import Darknet19
from stadet.yowo.model import BACKBONES, YOWO, build_backbone3d

NOT_TENSORS = "save its state_dict() alone; Darknet's weights are for yowo.weights_2d"
HEAD = "conv_final.weight"
_CLASSIFIERS = ("fc.", "classifier.")
_COUNTER = "num_batches_tracked"  # of batch norms; checkpoints of before 2018 have none


def load_yowo_checkpoint(
    model: YOWO, path: str | os.PathLike, *, strict: bool = True
) -> WeightsReport:
    """Fill `model` from a checkpoint of the public YOWO.

    The head keeps its start where the file's has another number of classes or anchors, and where
    the grid is finer than the published one. UserError for a checkpoint of another 3D backbone
    (named), and under `strict` for anything else that does not fit.
    """
    weights = read_state_dict(path, unsafe=NOT_TENSORS)
    if not any(name.startswith("backbone_2d.") for name in weights):
        seems = recognise_backbone(weights)
        hint = f"weights of the 3D backbone {seems}; give them as weights_3d" if seems else "others"
        raise UserError(f"weights {path}: expected a YOWO checkpoint, found {hint}")
    own = model.state_dict()
    notes = []
    initial = [name for name in own if name.startswith("fine_grid.") and name not in weights]
    if initial:
        notes.append(f"the path to stride {model.strides[0]} starts from initial weights")
    if HEAD in weights and weights[HEAD].shape != own[HEAD].shape:
        (found, *inputs), (wanted, *own_inputs) = weights[HEAD].shape[:2], own[HEAD].shape[:2]
        why = f"{found} outputs in the file, {wanted} here (anchors x (5 + classes))"
        if inputs != own_inputs:
            why = "its input has other features"
        notes.append(f"the head starts from initial weights: {why}")
        initial.append(HEAD)
    _refuse_other_backbone(model, _branch(weights), path, strict)
    return _load(model, weights, path, strict, expendable=tuple(initial), notes=notes)


def load_kinetics_weights(
    model: YOWO, path: str | os.PathLike, *, strict: bool = True
) -> WeightsReport:
    """Fill the 3D branch from Kinetics weights (kenshohara's, okankop's or torchvision's format).

    The classifier is dropped, and said so. Of a whole YOWO checkpoint the 3D branch is taken.
    UserError as in `load_yowo_checkpoint`.
    """
    weights = read_state_dict(path, unsafe=NOT_TENSORS)
    if branch := _branch(weights):
        others = tuple(name for name in weights if not name.startswith("backbone_3d."))
        weights = branch
    else:
        others = tuple(name for name in weights if name.startswith(_CLASSIFIERS))
        weights = {name: w for name, w in weights.items() if name not in others}
    _refuse_other_backbone(model, weights, path, strict)
    report = _load(model.backbone_3d, weights, path, strict)
    notes = ("the classifier was dropped",) if others and not branch else ()
    return WeightsReport(
        report.source, report.used, report.missing, report.unused + others, report.notes + notes
    )


def load_darknet19_weights(
    model: YOWO, path: str | os.PathLike, *, strict: bool = True
) -> WeightsReport:
    """Fill the 2D branch from Darknet's `yolo.weights` (YOLOv2 on COCO).

    Not strict: also from a file of other classes (all but the last convolution) or one that ends
    after some convolution, as classification weights do. UserError for a length that fits no such
    file.
    """
    branch = model.backbone_2d
    if not isinstance(branch, Darknet19):
        raise UserError(
            f"weights {path}: Darknet's weights are for yowo.backbone_2d=darknet19, found "
            f"{model.backbone_2d_name}"
        )
    layers = list(_darknet_layers(branch))
    numbers, _ = read_darknet_file(path)
    ends = [0]
    for _, tensors in layers:
        ends.append(ends[-1] + sum(tensor.numel() for tensor in tensors))
    last = layers[-1][1][1]
    rest = len(numbers) - ends[-2]
    if len(numbers) in ends[1:]:
        filled = ends.index(len(numbers))
    elif rest > 0 and rest % (last.shape[1] + 1) == 0:
        filled = len(layers) - 1
    else:
        filled = 0
    if not filled or (strict and filled < len(layers)):
        raise UserError(
            f"{path}: expected the {ends[-1]:,} numbers of YOLOv2 for COCO at this width, found "
            f"{len(numbers):,}; it is truncated or of another network"
            + ("; yowo.strict_weights=false takes what fits" if filled else "")
        )
    with torch.no_grad():
        for (_, tensors), start in zip(layers[:filled], ends, strict=False):
            for tensor in tensors:
                values = torch.from_numpy(numbers[start : start + tensor.numel()])
                tensor.copy_(values.view_as(tensor))
                start += tensor.numel()
    names = [name for name, _ in layers]
    left = len(numbers) - ends[filled]
    return WeightsReport(
        os.path.basename(path),
        tuple(names[:filled]),
        tuple(names[filled:]),
        (f"{left:,} numbers of the last convolution",) if left else (),
    )


def recognise_backbone(weights: Mapping[str, Tensor]) -> str | None:
    """The 3D backbone whose keys and shapes a state dict (of the branch alone) has, or `None`."""
    theirs = set(_lasting(weights))
    shares = {}
    for name in BACKBONES:
        with torch.device("meta"):
            own = build_backbone3d(name).state_dict()
        keys = set(_lasting(own))
        agreeing = sum(weights[n].shape == own[n].shape for n in keys & theirs)
        shares[name] = agreeing / len(keys | theirs)  # ResNet-50 is a part of ResNet-101
    best = max(shares, key=shares.__getitem__)
    return best if shares[best] > 0.75 else None


def _branch(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    prefix = "backbone_3d."
    return {n.removeprefix(prefix): w for n, w in weights.items() if n.startswith(prefix)}


def _refuse_other_backbone(
    model: YOWO, weights: Mapping[str, Tensor], path: str | os.PathLike, strict: bool
) -> None:
    own = model.backbone_3d.state_dict()
    if not strict or all(n in weights and weights[n].shape == own[n].shape for n in _lasting(own)):
        return
    seems = recognise_backbone(weights)
    if seems is not None and seems != model.backbone:
        raise UserError(
            f"weights {path}: expected weights of the 3D backbone {model.backbone}, found what "
            f"seems to be {seems}; set yowo.backbone to {seems} or choose other weights"
        )


def _load(
    module: nn.Module,
    weights: Mapping[str, Tensor],
    path: str | os.PathLike,
    strict: bool,
    expendable: tuple[str, ...] = (),
    notes: list[str] | None = None,
) -> WeightsReport:
    own = module.state_dict()
    used = {n: w for n, w in weights.items() if n in own and own[n].shape == w.shape}
    missing = tuple(n for n in _lasting(own) if n not in used)
    unused = tuple(n for n in weights if n not in used)
    bad = [n for n in (*missing, *unused) if n not in expendable]
    if bad and (strict or not used):
        raise UserError(
            f"weights {path}: expected all of the network's {len(own)} tensors, found "
            f"{len(used)} that fit; {_difference(bad[0], own, weights)}; check backbone and width"
            + (", or set yowo.strict_weights=false to take what fits" if used else "")
        )
    module.load_state_dict(used, strict=False)
    return WeightsReport(os.path.basename(path), tuple(used), missing, unused, tuple(notes or ()))


def _difference(name: str, own: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> str:
    if name not in weights:
        return f"{name} is missing"
    if name not in own:
        return f"{name} has no place in it"
    return f"{name} is {tuple(own[name].shape)} here and {tuple(weights[name].shape)} in the file"


def _lasting(names: Mapping[str, Tensor]) -> list[str]:
    return [name for name in names if not name.endswith(_COUNTER)]


def _darknet_layers(network: Darknet19):
    """(name, tensors in the file's order) of each convolution, first to last."""
    for index, block in enumerate(network.models):
        convolutions = [m for m in block.modules() if isinstance(m, nn.Conv2d)]
        norms = [m for m in block.modules() if isinstance(m, nn.BatchNorm2d)]
        for conv in convolutions:
            if norms:
                (norm,) = norms
                before = (norm.bias, norm.weight, norm.running_mean, norm.running_var)
            else:
                before = (conv.bias,)
            yield f"models.{index}", (*before, conv.weight)
