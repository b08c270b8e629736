"""Convolutions that swallow the batch norms behind them."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_weights

Model = TypeVar("Model", bound=nn.Module)
_MARK = "_convolution"  # on a tensor: the convolution it came out of


@torch.no_grad()
def fold_batch_norm(model: Model, *example: Tensor) -> Model:
    """A copy of `model` for inference, without the batch norms that follow a convolution.

    w' = w * gamma / sqrt(var + eps), b' = (b - mean) * gamma / sqrt(var + eps) + beta, in 2D and
    3D, grouped or not. The pairs are those seen when the model runs on `example`, whatever the
    modules are called. A convolution that is called several times, or a norm behind several, is
    left as it is; a folded convolution's output must go to its norm alone.
    """
    folded = copy.deepcopy(model).eval()
    for conv, norm in _observed_pairs(folded, example):
        conv.weight, conv.bias = fuse_conv_bn_weights(
            conv.weight,
            conv.bias,
            norm.running_mean,
            norm.running_var,
            norm.eps,
            norm.weight,
            norm.bias,
        )
        _replace(folded, norm, nn.Identity())
    return folded.requires_grad_(False)


def _observed_pairs(
    model: nn.Module, example: tuple[Tensor, ...]
) -> list[tuple[nn.Conv2d | nn.Conv3d, _BatchNorm]]:
    """Convolutions and the batch norms that took their output as it was."""
    calls: dict[nn.Module, int] = {}
    pairs: dict[_BatchNorm, list[nn.Module]] = {}

    def after_conv(conv: nn.Module, _: object, output: Tensor) -> None:
        calls[conv] = calls.get(conv, 0) + 1
        setattr(output, _MARK, conv)

    def before_norm(norm: _BatchNorm, inputs: tuple[Tensor]) -> None:
        pairs.setdefault(norm, []).append(getattr(inputs[0], _MARK, None))

    hooks = []
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Conv3d):
            hooks.append(module.register_forward_hook(after_conv))
        elif isinstance(module, _BatchNorm):
            hooks.append(module.register_forward_pre_hook(before_norm))
    try:
        model(*example)
    finally:
        for hook in hooks:
            hook.remove()
    return [
        (convs[0], norm)
        for norm, convs in pairs.items()
        if len(convs) == 1 and convs[0] is not None and calls[convs[0]] == 1
    ]


def _replace(model: nn.Module, old: nn.Module, new: nn.Module) -> None:
    for parent in model.modules():
        for name, child in parent.named_children():
            if child is old:
                setattr(parent, name, new)
