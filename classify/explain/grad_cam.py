"""Grad-CAM (Selvaraju et al., arXiv 1610.02391) for images and clips, and mean activation maps."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from stadet.classify.explain.layers import find_layer, record
from stadet.detect.batch import normalise_frames
from stadet.engine.errors import UserError

Target = Callable[[Any], Tensor]  # a model's output to the number(s) that are to be explained
Weighting = Literal["mean", "rms"]
SMALLEST = 1e-4  # p of the hand-gesture thesis's equation 5.13


def grad_cam(
    model: nn.Module,
    inputs: Sequence[Tensor],
    layer: str,
    target: Target,
    *,
    weighting: Weighting = "mean",
) -> Tensor:
    """Evidence of `layer` for the target: ReLU(sum_k a_k A_k).

    Equations 5.11 to 5.13 of the hand-gesture thesis.

    inputs: of the model, frames (B, T, 3, H, W) uint8 or [0, 1] first. target: of the model's
    output, a tensor that is summed before differentiation (so a batch's clips stay separate).
    weighting: a_k is the mean of the gradient over the map's places, or, with `"rms"`, the sum over
    sqrt(mean(gradient^2) + 1e-4), the report's normalisation.

    Returns (N, h, w) for a layer of frames (N = B * T) or (B, t, h, w) for a layer of clips. The
    model is used in evaluation mode and left as it was. UserError for an unknown layer, one without
    maps and one that the target does not depend on.
    """
    with evaluation(model), torch.enable_grad(), record(find_layer(model, layer)) as recorded:
        score = target(model(*differentiable(inputs))).sum()
        maps = recorded.checked(layer)
        (gradient,) = gradients(score, maps, what=f"layer {layer}")
        places = tuple(range(2, maps.ndim))
        weights = gradient.mean(places, keepdim=True)
        if weighting == "rms":
            total = gradient.sum(places, keepdim=True)
            weights = total / (gradient.square().mean(places, keepdim=True) + SMALLEST).sqrt()
        return relu((weights * maps).sum(dim=1)).detach()


def deciding_layer(model: nn.Module, inputs: Sequence[Tensor], target: Target) -> str:
    """Name of the last layer with maps before the convolution that makes the target's answer.

    Of a detector with several levels it lies in the level that the detection comes from. The layer
    has maps of every frame: of a YOWO it lies in the 3D branch. inputs, target: as of `grad_cam`.
    UserError for a model without such a layer.
    """
    images = inputs[0].shape[0] * inputs[0].shape[1]
    names: list[str] = []
    outputs: list[Tensor] = []
    convolutions: list[bool] = []

    def hook(name: str) -> Callable[..., Any]:
        def keep(module: nn.Module, _inputs: object, output: object) -> object:
            if not isinstance(output, Tensor) or output.ndim not in (4, 5):
                return output
            names.append(name)
            outputs.append(output)
            convolutions.append(isinstance(module, (nn.Conv2d, nn.Conv3d)))
            return output.clone()  # an in-place activation would change what was recorded

        return keep

    leaves = [(n, m) for n, m in model.named_modules() if n and not any(True for _ in m.children())]
    handles = [module.register_forward_hook(hook(name)) for name, module in leaves]
    try:
        with evaluation(model), torch.enable_grad():
            score = target(model(*differentiable(inputs))).sum()
            found = torch.autograd.grad(score, outputs, allow_unused=True) if outputs else ()
    finally:
        for handle in handles:
            handle.remove()
    used = [i for i, gradient in enumerate(found) if gradient is not None and gradient.any()]
    last = max((i for i in used if convolutions[i]), default=0)
    shown = [i for i in used if i < last and (outputs[i].ndim == 5 or len(outputs[i]) == images)]
    if not shown:
        raise UserError(f"{type(model).__name__}: expected a layer with maps, found none; name one")
    return names[shown[-1]]


@torch.no_grad()
def mean_activation(model: nn.Module, inputs: Sequence[Tensor], layer: str) -> Tensor:
    """Mean over a layer's channels (the action-recognition report).

    (N, h, w) or (B, t, h, w), as `grad_cam`.
    """
    with evaluation(model), record(find_layer(model, layer)) as recorded:
        model(*inputs)
        return recorded.checked(layer).mean(dim=1)


def class_target(label: int | Tensor) -> Target:
    """The logit of a class, before the softmax; one for all clips or (B,) one for each."""

    def logit(output: Tensor) -> Tensor:
        index = torch.as_tensor(label, device=output.device).expand(len(output))
        return output.gather(1, index[:, None])[:, 0]

    return logit


def detection_target(model: nn.Module, image: int, box: Tensor, label: int) -> Target:
    """A detector's score of a class for the prediction that overlaps `box` most.

    image: of the batch's images in the order of the detector's maps; box: xyxy network pixels.
    """
    from torchvision.ops import box_iou

    def score(output: Any) -> Tensor:
        maps = output[0] if isinstance(output, tuple) else output
        found = model.decode(maps)
        boxes = found.boxes[image].detach()
        nearest = box_iou(boxes, box.to(boxes).reshape(1, 4))[:, 0].argmax()
        return found.scores[image, nearest, label]

    return score


def differentiable(inputs: Sequence[Tensor]) -> list[Tensor]:
    """The inputs with the frames as floats that carry a gradient: a frozen network's maps would
    have none otherwise."""
    frames = normalise_frames(inputs[0]).detach().requires_grad_()
    return [frames, *inputs[1:]]


def gradients(score: Tensor, *tensors: Tensor, what: str) -> tuple[Tensor, ...]:
    """d score / d tensors. UserError where the score does not depend on them."""
    if not score.requires_grad:
        raise UserError(f"{what}: the target does not depend on the model's output")
    found = torch.autograd.grad(score, tensors, allow_unused=True)
    if any(gradient is None for gradient in found):
        raise UserError(f"{what}: the target does not depend on it; take another layer")
    return found


@contextlib.contextmanager
def evaluation(model: nn.Module) -> Iterator[None]:
    """Evaluation mode for a block; each module's own mode is restored.

    cuDNN cannot differentiate an LSTM in evaluation mode, so it is off meanwhile.
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.backends.cudnn.flags(enabled=False):
            yield
    finally:
        for module, mode in modes:
            module.training = mode
