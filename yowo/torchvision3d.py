"""torchvision's video ResNets (Tran et al., arXiv 1711.11248) as 3D branches.

For users who hold those weights. Their stem keeps time and their layers halve it three times, so
8 frames leave 1.
"""

from __future__ import annotations

from torch import Tensor, nn

from stadet.engine.errors import UserError
from stadet.yowo.backbone3d import Backbone3d


class TorchvisionResNet3d(Backbone3d):
    """One of torchvision's `r3d_18`, `mc3_18`, `r2plus1d_18` without its classifier.

    Its stride of space is 16; a last max-pool brings it to the 2D branch's 32.
    """

    out_channels = 512
    last_block = "layer4"

    def __init__(self, name: str, width: float = 1.0) -> None:
        super().__init__()
        if width != 1.0:
            raise UserError(f"{name}: torchvision's network has one width, found width {width}")
        from torchvision.models import video

        network = getattr(video, name)(weights=None)
        self.stem = network.stem
        for level in range(1, 5):
            self.add_module(f"layer{level}", getattr(network, f"layer{level}"))
        self.pool = nn.MaxPool3d((1, 2, 2))

    def forward_trunk(self, x: Tensor) -> Tensor:
        """(B, 3, T, H, W) to (B, 512, T/8, H/16, W/16), which torchvision's classifier averages."""
        x = self.layer2(self.layer1(self.stem(x)))
        return self.layer4(self.layer3(x))

    def forward_features(self, x: Tensor) -> Tensor:
        return self.pool(self.forward_trunk(x))


def r3d_18(width: float = 1.0) -> TorchvisionResNet3d:
    return TorchvisionResNet3d("r3d_18", width)


def mc3_18(width: float = 1.0) -> TorchvisionResNet3d:
    return TorchvisionResNet3d("mc3_18", width)


def r2plus1d_18(width: float = 1.0) -> TorchvisionResNet3d:
    return TorchvisionResNet3d("r2plus1d_18", width)
