"""YOWO (Kopuklu et al., arXiv 1911.06644): where and what from one clip, in one pass.

The 2D branch sees the key frame (the last of the clip), the 3D branch the whole clip; CFAM mixes
both feature maps and a 1x1 convolution predicts boxes as YOLOv2 does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from stadet.anchors.anchors import Anchors
from stadet.detect.batch import Predictions, normalise_frames
from stadet.detect.detector import Detector, check_divisible
from stadet.detect.yolo.head import decode_map
from stadet.engine.errors import UserError, neighbours
from stadet.yowo.backbone3d import Backbone3d, scale_channels
from stadet.yowo.cfam import CFAM
from stadet.yowo.darknet19 import Darknet19
from stadet.yowo.fine_grid import FineGrid
from stadet.yowo.image_branch import ImageBranch
from stadet.yowo.mobilenet3d import mobilenet_2x, mobilenetv2_1x
from stadet.yowo.resnet3d import resnet18, resnet50, resnet101, resnext101
from stadet.yowo.shufflenet3d import shufflenet_2x, shufflenetv2_2x
from stadet.yowo.torchvision3d import mc3_18, r2plus1d_18, r3d_18

STRIDES = (8, 16, 32)  # that a grid can have; 32 is the published one

BACKBONES: dict[str, Callable[[float], Backbone3d]] = {
    "resnext101": resnext101,
    "resnet18": resnet18,
    "resnet50": resnet50,
    "resnet101": resnet101,
    "mobilenet_2x": mobilenet_2x,
    "mobilenetv2_1x": mobilenetv2_1x,
    "shufflenet_2x": shufflenet_2x,
    "shufflenetv2_2x": shufflenetv2_2x,
    "r3d_18": r3d_18,
    "mc3_18": mc3_18,
    "r2plus1d_18": r2plus1d_18,
}


def build_backbone3d(name: str, width: float = 1.0) -> Backbone3d:
    """A 3D branch by name. UserError with the nearest names for an unknown one."""
    if name not in BACKBONES:
        raise UserError(f"no 3D backbone {name!r}{neighbours(name, BACKBONES)}")
    return BACKBONES[name](width)


def build_backbone2d(
    name: str, width: float = 1.0, finest: int = Darknet19.stride
) -> Darknet19 | ImageBranch:
    """A 2D branch: `"darknet19"`, or an image network by name. UserError for an unknown one."""
    if name == "darknet19":
        return Darknet19(width, finest=finest)
    return ImageBranch(name, finest=finest)


class YOWO(Detector):
    """A key-frame detector.

    anchors: one level, network pixels; its stride is the grid's: 32 as published, 16 or 8 for small
    boxes (all published weights but the head's still fit). backbone: of the 3D branch, one of
    `BACKBONES`; backbone_2d: of the 2D branch, `"darknet19"` as published or an image network of
    torchvision (`"mobilenet_v2"`) or timm (`"timm/resnet18"`), which normalises its images as its
    public weights expect. width: factor on the channels of the 3D branch, of Darknet-19 and of
    CFAM, for CPUs. clip_length: T it is trained with (any that its 3D branch
    takes); clip_step: distance in the video between a clip's frames, for those who make the clips.
    multi_label_classes: the last classes that are scored by a sigmoid each, the others share one
    softmax (AVA: 80 classes of which 66); 0 = one softmax. input_mean, input_std: what is taken off
    frames in [0, 1] and what they are divided by (0.45 and 0.225 for the authors' AVA weights).
    """

    predicts = "last_frame"
    parts = ("backbone_2d", "backbone_3d", "cfam", "fine_grid")  # everything before the head

    def __init__(
        self,
        num_classes: int,
        anchors: Anchors,
        *,
        backbone: str = "resnext101",
        backbone_2d: str = "darknet19",
        width: float = 1.0,
        clip_length: int = 16,
        clip_step: int = 1,
        multi_label_classes: int = 0,
        input_mean: float = 0.0,
        input_std: float = 1.0,
    ) -> None:
        super().__init__()
        if len(anchors.strides) != 1 or anchors.strides[0] not in STRIDES:
            raise UserError(
                "YOWO: expected anchors of one level of stride 8, 16 or 32, found strides "
                f"{tuple(anchors.strides)}; take anchors of one level, as yowo-ucf24 or those of "
                "stad kmeans-anchors --strides 32"
            )
        if not 0 <= multi_label_classes <= num_classes:
            raise UserError(
                f"YOWO: expected 0 to {num_classes} multi_label_classes, found "
                f"{multi_label_classes}"
            )
        self.num_classes = num_classes
        self.backbone, self.backbone_2d_name = backbone, backbone_2d
        self.clip_length, self.clip_step = clip_length, clip_step
        self.multi_label_classes = multi_label_classes
        if not input_std > 0:
            raise UserError(f"YOWO: expected an input_std above 0, found {input_std}")
        if backbone_2d != "darknet19" and (input_mean, input_std) != (0.0, 1.0):
            raise UserError(
                f"YOWO: expected input_mean 0 and input_std 1 with the 2D branch {backbone_2d}, "
                f"which normalises its images itself, found {input_mean} and {input_std}"
            )
        self.input_mean, self.input_std = input_mean, input_std
        sizes = torch.tensor(anchors.levels[0], dtype=torch.float32)
        self.register_buffer("anchor_sizes", sizes, persistent=False)
        self.strides = tuple(int(stride) for stride in anchors.strides)
        self.backbone_2d = build_backbone2d(backbone_2d, width, self.strides[0])
        self.backbone_3d = build_backbone3d(backbone, width)
        self.backbone_3d.check_length(clip_length)
        channels = scale_channels(1024, width)
        self.cfam = CFAM(self.backbone_2d.out_channels + self.backbone_3d.out_channels, channels)
        self.fine_grid = FineGrid(channels, self.backbone_2d.finer_channels)
        outputs = len(sizes) * (5 + num_classes)
        self.conv_final = nn.Conv2d(self.fine_grid.out_channels, outputs, 1, bias=False)

    @property
    def context_frames(self) -> int:
        """Frames before one that its answer depends on."""
        return (self.clip_length - 1) * self.clip_step

    def forward(
        self,
        frames: Tensor,
        state: None = None,
        starts_stream: Tensor | None = None,
        valid: Tensor | None = None,
    ) -> tuple[list[Tensor], None]:
        """Frames (B, T, 3, H, W), uint8 or in [0, 1], to one map (B, A, 5 + C, H/s, W/s).

        s: the stride. The 5 + C values: tx, ty, tw, th, confidence, classes, as logits. The other
        arguments are taken for the common contract; there is no memory. UserError where T or the
        size does not suit the network.
        """
        clip = self.normalise_clip(frames)
        return [self.forward_fusion(self.backbone_2d(clip[:, :, -1]), self.backbone_3d(clip))], None

    def normalise_clip(self, frames: Tensor) -> Tensor:
        """Frames (B, T, 3, H, W), uint8 or in [0, 1], to what the branches take (B, 3, T, H, W)."""
        check_divisible(frames.shape[-2:], Darknet19.stride)
        clip = normalise_frames(frames, self.conv_final.weight.dtype).transpose(1, 2)
        if (self.input_mean, self.input_std) != (0.0, 1.0):
            clip = (clip - self.input_mean) / self.input_std
        return clip

    def forward_fusion(self, spatial: Sequence[Tensor], temporal: Tensor) -> Tensor:
        """Features to the map (B, A, 5 + C, H/s, W/s).

        spatial: of the 2D branch, (B, .., H/32, W/32) and finer ones; temporal: of the 3D branch,
        (B, .., H/32, W/32).
        """
        coarse, *finer = spatial
        fused = self.cfam(torch.cat([temporal, coarse], dim=1))
        level = self.conv_final(self.fine_grid(fused, finer))
        return level.unflatten(1, (len(self.anchor_sizes), -1))

    def decode(self, maps: Sequence[Tensor]) -> Predictions:
        """The map to boxes in network pixels; score = confidence x class probability."""
        (level,) = maps
        boxes = decode_map(level, self.anchor_sizes, self.strides[0]).flatten(1, 3)
        values = level.float().movedim(2, -1).flatten(1, 3)  # (B, A*h*w, 5 + C)
        confidence = values[..., 4].sigmoid()
        shared = self.num_classes - self.multi_label_classes
        classes = torch.cat(
            [values[..., 5 : 5 + shared].softmax(-1), values[..., 5 + shared :].sigmoid()], dim=-1
        )
        return Predictions(boxes, confidence, confidence[..., None] * classes)
