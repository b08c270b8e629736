"""Explanations of a model's output, one call for every method.

A target is any function of the model's output, so that detectors can be asked too:
`grad_cam.class_target(label)` and `grad_cam.detection_target(model, image, box, label)`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn

from stadet.classify.explain.grad_cam import Target, Weighting, grad_cam, mean_activation
from stadet.classify.explain.guided_backpropagation import guided_backpropagation
from stadet.classify.explain.heat import heat_on_clip, to_unit
from stadet.classify.explain.layers import layer_names
from stadet.engine.errors import UserError

Method = Literal["grad-cam", "guided-backpropagation", "activation"]
METHODS: tuple[Method, ...] = ("grad-cam", "guided-backpropagation", "activation")


def explain(
    model: nn.Module,
    inputs: Sequence[Tensor],
    method: Method,
    target: Target,
    *,
    layer: str | None = None,
    weighting: Weighting = "mean",
) -> Tensor:
    """Heat in [0, 1] on the pixels of the clips: (B, T, H, W) for frames (B, T, 3, H, W).

    layer: for Grad-CAM and the activation map, by name; None = the model's `cam_layer`. Guided
    gradients are given by their largest channel; `guided_backpropagation` keeps their signs.
    UserError for an unknown method or layer.
    """
    frames = inputs[0]
    if method == "guided-backpropagation":
        return to_unit(guided_backpropagation(model, inputs, target).abs().amax(dim=2))
    if layer is None:
        layer = getattr(model, "cam_layer", None)
    if layer is None:
        last = ", ".join(layer_names(model)[-5:])
        raise UserError(
            f"{type(model).__name__}: expected the name of a layer, found none; its last are {last}"
        )
    if method == "grad-cam":
        heat = grad_cam(model, inputs, layer, target, weighting=weighting)
    elif method == "activation":
        heat = mean_activation(model, inputs, layer)
    else:
        raise UserError(f"method: expected one of {', '.join(METHODS)}, found {method!r}")
    return to_unit(heat_on_clip(heat, frames.shape[0], frames.shape[1], tuple(frames.shape[-2:])))
