"""A ConvLSTM over frames and an LSTM over body keypoints, concatenated (sign-language report)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stadet.classify.models.classifier import ClipClassifier, check_clips
from stadet.detect.normalisation import Normalise
from stadet.engine.errors import UserError
from stadet.recurrent_yolo.convlstm import ConvLSTM


class FusedKeypoints(ClipClassifier):
    """Two ConvLSTM layers (5x5, Hadamard peepholes, ReLU, each with batch norm), a 5x5 convolution
    back to the frame's channels on the last step, and a two-layer LSTM over keypoints.

    7,174,718 parameters at 11 classes, 64 x 64 frames and 1662 keypoints, as reported. Clips of 20
    (UCF11) or 30 (signs) frames, with one keypoint vector a frame; T may differ from clip to clip.
    size: (height, width); the peepholes and the last layer belong to it.

    The report's notebook is not followed where it errs: it reads (B, T, F) keypoints as (T, B, F),
    which mixes the clips of a batch, and starts the LSTM from random states, which makes its
    answers random. Here time stays time and every state starts at zero.
    """

    inputs = ("frames", "keypoints")
    cam_layer = "layers.1.layers.0.input_gates"  # of every frame; `conv` sees the last only
    head_keys = ("fc.",)

    def __init__(
        self,
        num_classes: int,
        *,
        size: tuple[int, int] = (64, 64),
        num_keypoints: int = 1662,
        kernels: int = 16,
        hidden: int = 512,
        clip_length: int = 20,
    ) -> None:
        super().__init__()
        self.clip_length, self.size, self.num_keypoints = clip_length, tuple(size), num_keypoints
        self.normalise = Normalise("unit")
        self.layers, self.norms = nn.ModuleList(), nn.ModuleList()
        for in_channels in (3, kernels):
            cell = dict(kernel=5, peepholes="hadamard", activation="relu", size=self.size)
            self.layers.append(ConvLSTM(in_channels, kernels, **cell))
            self.norms.append(nn.BatchNorm3d(kernels))
        self.conv = nn.Conv2d(kernels, 3, 5, padding=2)
        self.lstm = nn.LSTM(num_keypoints, hidden, num_layers=2, batch_first=True)
        self.fc = nn.Linear(3 * size[0] * size[1] + hidden, num_classes)
        self.apply(_initialise)

    def forward_features(self, frames: Tensor, keypoints: Tensor) -> Tensor:
        """frames (B, T, 3, H, W) and keypoints (B, T', 1662) to (B, 3 * H * W + hidden)."""
        check_clips(frames, model="FusedKeypoints")
        if frames.shape[-2:] != self.size:
            raise UserError(
                f"FusedKeypoints: expected frames of {self.size}, found {tuple(frames.shape[-2:])}"
            )
        if keypoints.ndim != 3 or keypoints.shape[2] != self.num_keypoints:
            raise UserError(
                f"FusedKeypoints: expected keypoints (B, T, {self.num_keypoints}), found "
                f"{tuple(keypoints.shape)}"
            )
        x = self.normalise(frames)
        for layer, norm in zip(self.layers, self.norms, strict=True):
            y, _ = layer(x)
            x = norm(y.transpose(1, 2)).transpose(1, 2)  # batch norm over (B, C, T, H, W)
        appearance = self.conv(x[:, -1]).flatten(1)
        motion, _ = self.lstm(keypoints.to(appearance.dtype))
        return torch.cat([appearance, motion[:, -1]], dim=1)

    def forward_head(self, features: Tensor) -> Tensor:
        return self.fc(features)


def _initialise(module: nn.Module) -> None:
    """The report's start: Xavier's normal for convolutions and the last layer, biases 0.01."""
    if isinstance(module, (nn.Conv2d, nn.Linear)):
        nn.init.xavier_normal_(module.weight)
        if module.bias is not None:
            nn.init.constant_(module.bias, 0.01)
