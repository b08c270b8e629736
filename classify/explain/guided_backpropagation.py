"""Guided backpropagation (Springenberg et al., arXiv 1412.6806): pixels that support a target."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from stadet.classify.explain.grad_cam import Target, differentiable, evaluation, gradients
from stadet.engine.errors import UserError

RECTIFIERS = {"relu", "relu_", "relu6", "relu6_", "leaky_relu", "leaky_relu_"}


class _Guide(torch.autograd.Function):
    """The identity; backwards only positive gradients pass, and only where `gate` is open."""

    @staticmethod
    def forward(context: Any, activated: Tensor, gate: Tensor) -> Tensor:
        context.save_for_backward(gate)
        return activated.view_as(activated)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (gate,) = context.saved_tensors
        return gradient.clamp(min=0) * gate, None


class _GuidedRectifiers(TorchFunctionMode):
    """Guides every rectifier that is called, be it a module or a function; counts them."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_function__(self, function: Any, types: Any, args=(), kwargs=None) -> Any:
        name, kwargs = getattr(function, "__name__", ""), kwargs or {}
        clipped = name in ("hardtanh", "hardtanh_") and kwargs.get("min_val") == 0  # nn.ReLU6
        if name not in RECTIFIERS and not clipped:
            return function(*args, **kwargs)
        self.count += 1
        x = args[0]
        gate = x.detach() > 0
        # Not in place: the tensor before the rectifier may be one that somebody keeps.
        return _Guide.apply(function(x.clone(), *args[1:], **kwargs), gate)


def guided_backpropagation(model: nn.Module, inputs: Sequence[Tensor], target: Target) -> Tensor:
    """The target's guided gradient on the frames, of their shape (B, T, 3, H, W), in [0, 1] pixels.

    Both the forward and the backward signal must be positive at every ReLU (also ReLU6 and leaky).
    target: as in `grad_cam`. UserError for a network without any.
    """
    with evaluation(model), torch.enable_grad(), _GuidedRectifiers() as rectifiers:
        prepared = differentiable(inputs)
        score = target(model(*prepared)).sum()
        if not rectifiers.count:
            raise UserError(
                f"guided backpropagation: {type(model).__name__} has no ReLU; take Grad-CAM"
            )
        return gradients(score, prepared[0], what="guided backpropagation")[0]
