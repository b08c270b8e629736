"""torchvision's image networks as extractors of one vector a frame."""

from __future__ import annotations

from torch import Tensor, nn

from stadet.engine.errors import UserError, neighbours

AUXILIARY = {  # networks with classifiers of training only, which are left out
    "googlenet": {"aux_logits": False, "init_weights": False},
    "inception_v3": {"aux_logits": False, "init_weights": False},
}


class ImageBackbone(nn.Module):
    """A torchvision classification network without its classifier: (N, 3, H, W) to (N, out).

    name: any of `torchvision.models.list_models` that ends in a linear layer. AlexNet gives its
    convolutional features on a 3x3 grid, 2304 values (the hand-washing report: that is what they
    are at 128 pixels); every other network gives what its last linear layer would see. trainable:
    False freezes it all, batch norm's statistics included. Its weights are random until
    `stadet.classify.models.weights.load_weights` fills them.
    """

    def __init__(self, name: str, *, trainable: bool = True) -> None:
        super().__init__()
        self.name, self.trainable = name, trainable
        network = image_network(name)
        if name == "alexnet":
            pool = nn.AdaptiveAvgPool2d(3)
            self.network = nn.Sequential()
            self.network.features, self.network.pool = network.features, pool
            self.network.flatten = nn.Flatten()
            self.out_channels = 256 * 9
        else:
            self.network, self.out_channels = network, _cut_classifier(name, network)
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


def image_network(name: str) -> nn.Module:
    """One of torchvision's image classifiers with random weights. UserError for another name."""
    from torchvision import models  # slow to import

    known = models.list_models(module=models)
    if name not in known:
        raise UserError(f"no torchvision image network {name!r}{neighbours(name, known)}")
    return models.get_model(name, weights=None, **AUXILIARY.get(name, {}))


def _cut_classifier(name: str, network: nn.Module) -> int:
    """Replace the last linear layer by the identity; returns what it took."""
    linear = [key for key, module in network.named_modules() if isinstance(module, nn.Linear)]
    if not linear:
        raise UserError(f"{name}: expected a network that ends in a linear layer; take another")
    parent, _, child = linear[-1].rpartition(".")
    out_channels = network.get_submodule(linear[-1]).in_features
    setattr(network.get_submodule(parent), child, nn.Identity())
    return out_channels


def _last_maps(network: nn.Module) -> str:
    """The name of the last part that still has places."""
    for name in ("layer4", "features"):
        if hasattr(network, name):
            return name
    return [key for key, module in network.named_modules() if isinstance(module, nn.Conv2d)][-1]
