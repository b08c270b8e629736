"""Base class of clip classifiers."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from stadet.engine.errors import UserError


class ClipClassifier(nn.Module):
    """Clips in, logits out: `forward` is `forward_head(forward_features(...))`.

    Attributes:
        inputs: what the model takes of a batch, in order: `"frames"` (B, T, 3, H, W) uint8 or [0,
            1], `"keypoints"` (B, T, 1662), `"flow"` and `"hog"` (B, T, 3, H, W) uint8 images.
        clip_length: T that it is trained with.
        cam_layer: the layer that explains best, the last one with places.
        head_keys: prefixes of the tensors that depend on the classes; starting weights may lack
            them or have them in other shapes.
        trunk_key: prefix of the tensors that public weights fill.
        library_name: the network of torchvision or timm whose weights fit, if any.
    """

    inputs: tuple[str, ...] = ("frames",)
    head_keys: ClassVar[tuple[str, ...]] = ("head.",)
    trunk_key: ClassVar[str] = ""
    library_name: str | None = None
    cam_layer: str
    clip_length: int

    def forward(self, *inputs: Tensor) -> Tensor:
        """The model's inputs, in the order of `inputs`, to logits (B, num_classes)."""
        return self.forward_head(self.forward_features(*inputs))

    def forward_features(self, frames: Tensor) -> Tensor:
        """The inputs to what the head classifies, with the batch first."""
        raise NotImplementedError

    def forward_head(self, features: Tensor) -> Tensor:
        """Features to logits (B, num_classes)."""
        raise NotImplementedError

    def public_keys(self, key: str) -> tuple[str, ...]:
        """The names here of a tensor in the model's common public weights files."""
        return (key,)


def check_clips(frames: Tensor, *, model: str, shortest: int = 1, smallest: int = 1) -> None:
    """UserError unless frames is (B, T, 3, H, W) of at least these frames and pixels a side."""
    if frames.ndim != 5 or frames.shape[2] != 3:
        raise UserError(
            f"{model}: expected frames (B, T, 3, height, width), found {tuple(frames.shape)}"
        )
    length, (height, width) = frames.shape[1], frames.shape[-2:]
    if length < shortest or min(height, width) < smallest:
        raise UserError(
            f"{model}: expected clips of at least {shortest} frames of {smallest} x {smallest} "
            f"pixels, found {length} of {height} x {width}"
        )
