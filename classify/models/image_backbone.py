"""Image networks of torchvision and timm as extractors of one vector a frame."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from stadet.detect.backbones.networks import TIMM, image_network, pixel_statistics, timm_network
from stadet.engine.errors import UserError


class ImageBackbone(nn.Module):
    """A classification network without its classifier: (N, 3, H, W) to (N, out).

    name: any of `torchvision.models.list_models` that ends in a linear layer, or `timm/` and one of
    timm's names. AlexNet gives its convolutional features on a 3x3 grid, 2304 values (the
    hand-washing report: that is what they are at 128 pixels); every other network gives what its
    classifier would see. trainable: False freezes it all, batch norm's statistics included. Its
    weights are random until `stadet.classify.models.weights.load_weights` fills them, and
    `statistics` tells how these expect their pixels.
    """

    def __init__(self, name: str, *, trainable: bool = True) -> None:
        super().__init__()
        self.name, self.trainable = name, trainable
        self.statistics = pixel_statistics(name)
        if name.startswith(TIMM):
            self.network, self.out_channels = _timm_vectors(name)
        elif name == "alexnet":
            network = image_network(name)
            pool = nn.AdaptiveAvgPool2d(3)
            self.network = nn.Sequential()
            self.network.features, self.network.pool = network.features, pool
            self.network.flatten = nn.Flatten()
            self.out_channels = 256 * 9
        else:
            self.network = image_network(name)
            self.out_channels = _cut_classifier(name, self.network)
        if not trainable:
            self.requires_grad_(False)
            self.eval()

    @property
    def cam_layer(self) -> str:
        """The last layer with places, as named within this module."""
        return f"network.{_last_maps(self.network)}"

    def train(self, mode: bool = True) -> ImageBackbone:
        return super().train(mode and self.trainable)

    def forward(self, frames: Tensor) -> Tensor:
        """Frames (B, T, 3, H, W), normalised, to vectors (B, T, out_channels)."""
        return self.network(frames.flatten(0, 1)).unflatten(0, frames.shape[:2])


def _timm_vectors(name: str) -> tuple[nn.Module, int]:
    """The network without its classifier, and the length of its vectors."""
    with torch.device("meta"):  # for the shape alone
        probe: Any = timm_network(name, num_classes=0).eval()
        vectors = probe(torch.empty(1, *probe.default_cfg["input_size"]))
    return timm_network(name, num_classes=0), vectors.shape[-1]


def _cut_classifier(name: str, network: nn.Module) -> int:
    """Replace the last linear layer by the identity; returns what it took."""
    linear = [key for key, module in network.named_modules() if isinstance(module, nn.Linear)]
    if not linear:
        raise UserError(f"{name}: expected a network that ends in a linear layer; take another")
    parent, _, child = linear[-1].rpartition(".")
    out_channels = cast(nn.Linear, network.get_submodule(linear[-1])).in_features
    setattr(network.get_submodule(parent), child, nn.Identity())
    return out_channels


def _last_maps(network: nn.Module) -> str:
    """The name of the last part that still has places."""
    for name in ("layer4", "features"):
        if hasattr(network, name):
            return name
    return [key for key, module in network.named_modules() if isinstance(module, nn.Conv2d)][-1]
