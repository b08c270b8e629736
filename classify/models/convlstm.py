"""ConvLSTM classifier of the hand-washing report: one ReLU layer, dropout, a linear layer."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from stadet.classify.models.classifier import ClipClassifier, check_clips
from stadet.detect.normalisation import Normalise
from stadet.recurrent_yolo.convlstm import Activation, ConvLSTM


class ConvLSTMClassifier(ClipClassifier):
    """The last hidden state of a ConvLSTM over the frames, classified.

    The cell is that of `recurrent_yolo` (arXiv 1506.04214, equation 3) without peepholes. stride:
    of an average pool on the frames, since the cell runs at their full size otherwise. grid: side
    that the hidden state is averaged to before the fully connected layer, so that any size will
    do; with the state's own side nothing is averaged. Report: T up to 32 at 128 x 128.
    """

    cam_layer = "recurrence.layers.0.input_gates"

    def __init__(
        self,
        num_classes: int,
        *,
        hidden: int = 16,
        kernel: int = 3,
        layers: int = 1,
        activation: Activation = "relu",
        dropout: float = 0.5,
        stride: int = 1,
        grid: int = 16,
        clip_length: int = 16,
    ) -> None:
        super().__init__()
        self.clip_length, self.grid = clip_length, grid
        self.normalise = Normalise("unit")
        self.shrink = nn.AvgPool2d(stride) if stride > 1 else nn.Identity()
        self.recurrence = ConvLSTM(3, hidden, layers=layers, kernel=kernel, activation=activation)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(hidden * grid * grid, num_classes)

    def forward_features(self, frames: Tensor) -> Tensor:
        """(B, T, 3, H, W) to the hidden state after the last frame, (B, hidden, h, w)."""
        check_clips(frames, model="ConvLSTMClassifier")
        x = self.shrink(self.normalise(frames).flatten(0, 1)).unflatten(0, frames.shape[:2])
        y, _ = self.recurrence(x)
        return y[:, -1]

    def forward_head(self, features: Tensor) -> Tensor:
        return self.head(self.dropout(adaptive_avg_pool2d(features, self.grid).flatten(1)))
