"""An image network as the backbone of a detector: one feature map for each stride."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn

from stadet.detect.backbones.networks import TIMM, image_network, pixel_statistics
from stadet.detect.normalisation import Normalise
from stadet.engine.errors import UserError
from stadet.engine.torch_file import first_line

TRANSFORMED = ("googlenet", "inception_v3")  # whose public weights expect pixels mapped once more
_PROBE = (64, 96)  # (height, width) that tells strides, and rows from columns
_DEPTH = 2  # modules as deep as a stage: "layer3", "features.6"


class FeatureBackbone(nn.Module):
    """Images (N, 3, H, W) in [0, 1] to one map (N, C, H/s, W/s) for each stride s, finest first.

    name: of a torchvision network, or `timm/` and the name of one of timm's. A stride's map is the
    output of the last stage that has this stride; what comes after the coarsest wanted one is left
    out. Images are normalised as the network's public weights expect it, whether these are loaded
    or not, so training, prediction and exported files agree. Weights are random until
    `stadet.detect.backbones.weights.load_backbone_weights` fills them.

    channels: of the maps. UserError for an unknown network, and for one that lacks a stride.
    """

    def __init__(self, name: str, strides: Sequence[int]) -> None:
        super().__init__()
        self.name, self.strides = name, tuple(strides)
        self.normalise = Normalise(pixel_statistics(name))
        build = _timm_features if name.startswith(TIMM) else _torchvision_features
        self.network = build(name, self.strides)
        maps = self._maps_of(_probe(name, self.network))
        self.network.train()
        _expect_maps(name, self.strides, maps)
        self.channels = tuple(x.shape[1] for x in maps)

    def forward(self, images: Tensor) -> list[Tensor]:
        # a stacked detector's images have 3 channels for each of several frames
        frames = images.unflatten(1, (images.shape[1] // 3, 3))
        return self._maps_of(self.network(self.normalise(frames).flatten(1, 2)))

    @staticmethod
    def _maps_of(found: Any) -> list[Tensor]:
        return list(found.values() if isinstance(found, Mapping) else found)


def _torchvision_features(name: str, strides: tuple[int, ...]) -> nn.Module:
    from torchvision.models.feature_extraction import create_feature_extractor

    network = image_network(name, **({"transform_input": True} if name in TRANSFORMED else {}))
    last = _last_stages(name, network.eval())
    _expect_strides(name, strides, last)
    extractor = create_feature_extractor(network, {last[s]: str(s) for s in strides})
    # torchvision's module holds a graph for training, too, which it loses when it is copied (the
    # average of weights is a copy). The two differ in functional dropout only.
    return fx.GraphModule(extractor, extractor.eval_graph)  # type: ignore[arg-type]


def _last_stages(name: str, network: nn.Module) -> dict[int, str]:
    """For each stride that a stage's output has, the name of the last such stage."""
    last: dict[int, str] = {}
    hooks = []

    def record(key: str) -> Any:
        def hook(_: nn.Module, __: object, output: object) -> None:
            stride = _stride(output)
            if stride:
                last[stride] = key

        return hook

    for key, module in network.named_modules():
        if key and key.count(".") < _DEPTH:
            hooks.append(module.register_forward_hook(record(key)))
    try:
        _probe(name, network)
    finally:
        for one in hooks:
            one.remove()
    return last


def _timm_features(name: str, strides: tuple[int, ...]) -> nn.Module:
    probe: Any = image_network(name, features_only=True)
    last = {stride: i for i, stride in enumerate(probe.feature_info.reduction())}
    _expect_strides(name, strides, last)
    return image_network(name, features_only=True, out_indices=[last[s] for s in strides])


def _probe(name: str, network: nn.Module) -> Any:
    """What the network, in evaluation, makes of one small image."""
    parameter = next(network.parameters())
    images = torch.zeros(1, 3, *_PROBE, dtype=parameter.dtype, device=parameter.device)
    try:
        with torch.no_grad():
            return network.eval()(images)
    except (RuntimeError, AssertionError, ValueError) as error:
        raise UserError(
            f"backbone {name}: it does not take images of any size ({first_line(error)}); take a "
            "convolutional network, such as mobilenet_v2 or resnet50"
        ) from error


def _stride(output: object) -> int | None:
    """The stride of a map (1, C, h, w) of the probe; None for anything else."""
    if not isinstance(output, Tensor) or output.ndim != 4:
        return None
    height, width = output.shape[2:]
    stride = _PROBE[0] // height
    return stride if (height * stride, width * stride) == _PROBE else None


def _expect_strides(name: str, strides: Sequence[int], found: Mapping[int, object]) -> None:
    if not set(strides) <= set(found):
        has = ", ".join(map(str, sorted(set(found) - {1}))) or "none"
        raise UserError(
            f"backbone {name}: expected maps of the strides {', '.join(map(str, strides))}, its "
            f"stages have {has}; take a network that has them, such as mobilenet_v2 or resnet50, "
            "or other yolo.strides"
        )


def _expect_maps(name: str, strides: Sequence[int], maps: Sequence[Tensor]) -> None:
    """UserError for maps of another layout, as (N, H, W, C), which no convolution behind takes."""
    if [_stride(x) for x in maps] != list(strides):
        raise UserError(
            f"backbone {name}: expected maps (N, C, h, w) of the strides {list(strides)}, found "
            f"shapes {[tuple(x.shape) for x in maps]} for {_PROBE}; take a convolutional network"
        )
