"""A small residual network for little footage and no pretrained weights, on frames and motion."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from stadet.classify.models.classifier import ClipClassifier, check_clips
from stadet.detect.normalisation import Normalise
from stadet.engine.errors import UserError

DIFFERENCE_SCALE = 3.0  # differences of frames vary about a third as much as the frames do


class Block(nn.Module):
    """Two 3x3 convolutions around a projected shortcut; the map's sides are halved.

    The shortcut averages before it projects, so that no pixel is skipped (arXiv 1812.01187).
    """

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.shortcut = nn.Sequential(
            nn.AvgPool2d(2, ceil_mode=True),
            nn.Conv2d(in_channels, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        residual = self.bn2(self.conv2(relu(self.bn1(self.conv1(x)))))
        return relu(residual + self.shortcut(x))


class CompactClassifier(ClipClassifier):
    """Stem 5x5 and three residual blocks a frame, each of stride 2; maps averaged over time and
    space, dropout, a linear layer.

    colour: the network sees the frames; motion: it sees the difference of each frame to the one
    before in the clip (arXiv 1608.00859), in which everything static vanishes, so that nothing can
    be learnt of the place; with both, six channels. grey: the frames are first averaged over their
    colours, so that those of skin and place tell nothing; a third of the channels. Clips of any T
    from 1 (with motion from 2, of which the first frame is only looked back to) and any size from
    16 pixels; meant for about 64 x 96. channels: of the stem; the last block has eight times as
    many.
    """

    cam_layer = "maps"

    def __init__(
        self,
        num_classes: int,
        *,
        channels: int = 24,
        colour: bool = False,
        motion: bool = True,
        grey: bool = False,
        dropout: float = 0.3,
        clip_length: int = 3,
    ) -> None:
        super().__init__()
        if not (colour or motion):
            raise UserError("compact: expected colour, motion or both, found neither")
        self.colour, self.motion, self.grey = colour, motion, grey
        self.clip_length = clip_length
        self.normalise = Normalise("imagenet")
        seen = (1 if grey else 3) * (colour + motion)
        self.stem = nn.Sequential(
            nn.Conv2d(seen, channels, 5, stride=2, padding=2, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
        )
        self.layer1 = Block(channels, 2 * channels)
        self.layer2 = Block(2 * channels, 4 * channels)
        self.layer3 = Block(4 * channels, 8 * channels)
        self.maps = nn.Identity()  # for Grad-CAM: the last block's maps with time as an axis
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(8 * channels, num_classes)

    def forward_features(self, frames: Tensor) -> Tensor:
        """(B, T, 3, H, W) to maps (B, 8 * channels, T', h, w); T' is T, or T - 1 with motion."""
        check_clips(frames, model="compact", shortest=2 if self.motion else 1, smallest=16)
        x = self.normalise(frames)
        if self.grey:
            x = x.mean(dim=2, keepdim=True)
        if self.motion:
            change = DIFFERENCE_SCALE * (x[:, 1:] - x[:, :-1])
            x = torch.cat([x[:, 1:], change], dim=2) if self.colour else change
        maps = self.layer3(self.layer2(self.layer1(self.stem(x.flatten(0, 1)))))
        return self.maps(maps.unflatten(0, x.shape[:2]).transpose(1, 2))

    def forward_head(self, features: Tensor) -> Tensor:
        return self.head(self.dropout(features.mean(dim=(2, 3, 4))))
