"""Frame detectors in parts, between which a memory may lie."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from stadet.detect.batch import normalise_frames
from stadet.detect.detector import Detector, check_divisible

PARTS = ("backbone", "neck", "head")


class StagedDetector(Detector):
    """A frame detector whose forward pass is that of its backbone, neck, head and output.

    A subclass gives the four `forward_*` and `modules_of`.

    Attributes:
        strides: of the levels in network pixels, finest first.
        backbone_channels, neck_channels, head_channels: of the features after each part, one a
            level, finest first; empty where they may not be changed.
    """

    strides: tuple[int, ...]
    backbone_channels: tuple[int, ...] = ()
    neck_channels: tuple[int, ...] = ()
    head_channels: tuple[int, ...] = ()

    def forward(
        self,
        frames: Tensor,
        state: None = None,
        starts_stream: Tensor | None = None,
        valid: Tensor | None = None,
    ) -> tuple[list[Tensor], None]:
        """Frames (B, T, 3, H, W), uint8 or in [0, 1], to maps of B*T images, finest first.

        There is no memory: the other arguments are taken for the common contract and the
        returned state is None. H and W must be divisible by the largest stride (UserError).
        """
        images = normalise_frames(frames.flatten(0, 1), next(self.parameters()).dtype)
        return self.forward_head(self.forward_features(images)), None

    def forward_features(self, images: Tensor) -> list[Tensor]:
        """Images (N, 3, H, W) in [0, 1] to the neck's features, finest first."""
        self.check_size(images.shape[-2:])
        return self.forward_neck(self.forward_backbone(images))

    def forward_head(self, features: list[Tensor]) -> list[Tensor]:
        """The neck's features to maps, finest first."""
        return self.forward_output(self.forward_head_features(features))

    def check_size(self, size: Sequence[int]) -> None:
        """UserError unless (height, width) are positive multiples of the largest stride."""
        check_divisible(size, max(self.strides))

    def forward_backbone(self, images: Tensor) -> list[Tensor]:
        """(N, 3, H, W) in [0, 1] to one feature a level, finest first."""
        raise NotImplementedError

    def forward_neck(self, backbone_features: list[Tensor]) -> list[Tensor]:
        """The backbone's features to those before the heads, finest first."""
        raise NotImplementedError

    def forward_head_features(self, features: list[Tensor]) -> list[Tensor]:
        """The neck's features to the inputs of the last convolutions, finest first."""
        raise NotImplementedError

    def forward_output(self, head_features: list[Tensor]) -> list[Tensor]:
        """Inputs of the last convolutions to maps, finest first."""
        raise NotImplementedError

    def modules_of(self, part: str) -> list[nn.Module]:
        """The modules of one of `PARTS`."""
        raise NotImplementedError
