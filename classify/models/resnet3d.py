"""YOWO's 3D branches as clip classifiers, so that a branch can be pretrained on clips.

`model.backbone.state_dict()` is what YOWO's `backbone_3d` takes, and the other way round.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from stadet.classify.models.classifier import ClipClassifier, check_clips
from stadet.detect.normalisation import Normalise
from stadet.engine.errors import UserError
from stadet.yowo.model import build_backbone3d

TORCHVISION = ("r3d_18", "mc3_18", "r2plus1d_18")


class ResNet3dClassifier(ClipClassifier):
    """A 3D network of `yowo`, averaged over space and time, dropout, a linear layer.

    backbone: a name of `yowo.model.BACKBONES` (3D ResNets of arXiv 1711.09577, light networks of
    arXiv 1904.02422, torchvision's video ResNets). Clips of 16 frames at 112 x 112 in those papers,
    224 in YOWO; any length that the backbone takes and any size from 32 pixels. normalisation:
    `"unit"` as YOWO feeds it; `"kinetics"` for torchvision's weights.

    yowo_pool: torchvision's networks keep a stride of 16, and YOWO pools their maps once more;
    with it the classifier averages the pooled maps, as it did before 0.2 (older checkpoints are
    opened with it). Without it torchvision's weights give torchvision's answers.

    Weights: Kinetics files (`{"state_dict": {"module.layer1.0.conv1.weight": ..., "module.fc.bias":
    ...}}`), torchvision's names for r3d_18, mc3_18 and r2plus1d_18, or a YOWO checkpoint, of which
    the 3D branch is taken (`backbone_3d.*`).
    """

    trunk_key = "backbone."

    def __init__(
        self,
        num_classes: int,
        *,
        backbone: str = "resnet18",
        width: float = 1.0,
        dropout: float = 0.5,
        normalisation: str = "unit",
        clip_length: int = 16,
        yowo_pool: bool = False,
    ) -> None:
        super().__init__()
        self.backbone_name = backbone
        self.normalise = Normalise(normalisation)
        self.backbone = build_backbone3d(backbone, width)
        self.backbone.check_length(clip_length)
        self.clip_length = clip_length
        self.yowo_pool = yowo_pool
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(self.backbone.out_channels, num_classes)

    @property
    def library_name(self) -> str | None:
        return self.backbone_name if self.backbone_name in TORCHVISION else None

    @property
    def cam_layer(self) -> str:
        return "backbone.layer4" if hasattr(self.backbone, "layer4") else "backbone.features"

    def forward_features(self, frames: Tensor) -> Tensor:
        """(B, T, 3, H, W) to the backbone's maps (B, out_channels, T', h, w)."""
        check_clips(frames, model=self.backbone_name, smallest=32)
        x = self.normalise(frames).transpose(1, 2)  # (B, 3, T, H, W)
        self.backbone.check_length(x.shape[2])
        if self.yowo_pool:
            return self.backbone.forward_features(x)
        return self.backbone.forward_trunk(x)

    def forward_head(self, features: Tensor) -> Tensor:
        return self.head(self.dropout(features.mean(dim=(2, 3, 4))))

    def public_keys(self, key: str) -> tuple[str, ...]:
        first, _, rest = key.partition(".")
        if first in ("fc", "classifier"):  # the light networks have dropout before the classifier
            return (f"head.{rest.removeprefix('1.')}",)
        return (f"backbone.{rest if first == 'backbone_3d' else key}",)


def backbone_weights(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The trunk of a `ResNet3dClassifier`'s state dict, named as YOWO's 3D branch names it.

    UserError where there is none.
    """
    prefix = "backbone."
    trunk = {k[len(prefix) :]: v for k, v in weights.items() if k.startswith(prefix)}
    if not trunk:
        raise UserError("expected weights of a 3D clip classifier (backbone.*), found none")
    return trunk
