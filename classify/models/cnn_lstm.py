"""CNN-LSTM of the hand-washing report: image features, an LSTM, its last output classified.

The report's table has three: a small CNN of its own, AlexNet and ResNet-50.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from stadet.classify.models.classifier import ClipClassifier, check_clips
from stadet.classify.models.image_backbone import ImageBackbone
from stadet.detect.normalisation import Normalise

Readout = Literal["last", "mean"]


class SmallCNN(nn.Module):
    """The report's custom backbone before its fully connected layer: one 3x3 convolution.

    grid: side of the grid that its maps are averaged to, so that any size of frame will do; with
    the frame's own side nothing is averaged. (B, T, 3, H, W) to (B, T, channels * grid * grid).
    """

    cam_layer = "conv"
    name = None  # no torchvision network has its weights

    def __init__(self, channels: int = 8, grid: int = 16) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, channels, 3, padding=1)
        self.grid = grid
        self.out_channels = channels * grid * grid

    def forward(self, frames: Tensor) -> Tensor:
        x = self.conv(frames.flatten(0, 1))
        return adaptive_avg_pool2d(x, self.grid).flatten(1).unflatten(0, frames.shape[:2])


class RecurrentClassifier(ClipClassifier):
    """backbone -> linear to `embedding` (ReLU, dropout) -> LSTM -> linear.

    backbone: (B, T, 3, H, W) to (B, T, `out_channels`). normalisation: of its frames, unless it
    has `statistics` of its own. activation: ReLU and dropout on the
    embedding (the hand-washing report); the action-recognition report's LRCN has neither. readout:
    `"last"`, the output after the last frame (of a backward direction: after the first, when it too
    has read the whole clip), or `"mean"` over the frames, as LRCN's paper averages its predictions
    (arXiv 1411.4389, section 4). hidden_head: width of a ReLU layer before the classifier, 0 =
    none.
    """

    trunk_key = "backbone."

    def __init__(
        self,
        num_classes: int,
        backbone: nn.Module,
        *,
        embedding: int,
        hidden: int,
        layers: int = 1,
        bidirectional: bool = False,
        activation: bool = True,
        dropout: float = 0.5,
        hidden_head: int = 0,
        readout: Readout = "last",
        clip_length: int = 16,
        normalisation: str = "imagenet",
    ) -> None:
        super().__init__()
        # an image network knows what its public weights expect
        self.normalise = Normalise(getattr(backbone, "statistics", None) or normalisation)
        self.backbone, self.clip_length, self.readout = backbone, clip_length, readout
        self.embed = nn.Linear(backbone.out_channels, embedding)
        self.activate = nn.Sequential(nn.ReLU(), nn.Dropout(dropout)) if activation else None
        self.lstm = nn.LSTM(
            embedding, hidden, layers, batch_first=True, bidirectional=bidirectional
        )
        channels = hidden * (2 if bidirectional else 1)
        self.head = nn.Sequential()
        if hidden_head:
            self.head.extend([nn.Linear(channels, hidden_head), nn.ReLU(), nn.Dropout(dropout)])
        self.head.append(nn.Linear(hidden_head or channels, num_classes))

    @property
    def library_name(self) -> str | None:
        return self.backbone.name

    @property
    def cam_layer(self) -> str:
        return f"backbone.{self.backbone.cam_layer}"

    def forward_features(self, frames: Tensor) -> Tensor:
        """(B, T, 3, H, W) to what is read of the LSTM, (B, hidden * directions)."""
        check_clips(frames, model=type(self).__name__)
        x = self.embed(self.backbone(self.normalise(frames)))  # (B, T, embedding)
        if self.activate is not None:
            x = self.activate(x)
        y, _ = self.lstm(x)
        if self.readout == "mean":
            return y.mean(dim=1)
        if not self.lstm.bidirectional:
            return y[:, -1]
        forward, backward = y.chunk(2, dim=-1)
        return torch.cat([forward[:, -1], backward[:, 0]], dim=-1)

    def forward_head(self, features: Tensor) -> Tensor:
        return self.head(features)

    def public_keys(self, key: str) -> tuple[str, ...]:
        return (f"backbone.network.{key}",)  # torchvision's image networks


def cnn_lstm_custom(
    num_classes: int,
    *,
    channels: int = 8,
    grid: int = 16,
    embedding: int = 128,
    hidden: int = 256,
    dropout: float = 0.5,
    clip_length: int = 16,
) -> RecurrentClassifier:
    """CNN-LSTM of the hand-washing report with its own CNN: one convolution, one ReLU layer,
    dropout.

    clips (B, T, 3, H, W) of any size (report: T up to 32 at 128 x 128).
    """
    return RecurrentClassifier(
        num_classes,
        SmallCNN(channels, grid),
        embedding=embedding,
        hidden=hidden,
        dropout=dropout,
        clip_length=clip_length,
        normalisation="unit",
    )


def cnn_lstm(
    num_classes: int,
    *,
    backbone: str = "alexnet",
    trainable: bool = False,
    embedding: int = 128,
    hidden: int = 256,
    hidden_head: int = 512,
    dropout: float = 0.5,
    clip_length: int = 16,
) -> RecurrentClassifier:
    """CNN-LSTM of the hand-washing report on an image network; AlexNet was its best.

    trainable: fine-tune the backbone; the report froze it. Expects clips of T up to 32 at
    128 x 128; any size from 63 pixels for AlexNet.
    """
    return RecurrentClassifier(
        num_classes,
        ImageBackbone(backbone, trainable=trainable),
        embedding=embedding,
        hidden=hidden,
        hidden_head=hidden_head,
        dropout=dropout,
        clip_length=clip_length,
    )
