"""Normalisation of pixels: the usual means and deviations by name."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from stadet.detect.batch import normalise_frames
from stadet.engine.errors import UserError, neighbours


@dataclass(frozen=True)
class PixelStatistics:
    """Of RGB in [0, 1]; `bgr`: the network was trained on channels in OpenCV's order."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    bgr: bool = False


NORMALISATIONS = {
    "unit": PixelStatistics((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),  # YOWO and its 3D branches
    "signed": PixelStatistics((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),  # I3D: [-1, 1]
    "imagenet": PixelStatistics((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),  # torchvision
    "kinetics": PixelStatistics((0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989)),
    # C3D of Sports-1M was trained in Caffe on OpenCV's pixels: BGR, 0..255, means subtracted.
    "sports1m": PixelStatistics((102 / 255, 98 / 255, 90 / 255), (1 / 255, 1 / 255, 1 / 255), True),
}


class Normalise(nn.Module):
    """Frames (B, T, 3, H, W), uint8 or in [0, 1], to the network's floats of the same shape.

    which: a key of `NORMALISATIONS`, UserError for another; or statistics of one's own, whose
    `name` is `"other"` unless they are among these.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, which: str | PixelStatistics) -> None:
        super().__init__()
        if isinstance(which, PixelStatistics):
            known = (name for name, statistics in NORMALISATIONS.items() if statistics == which)
            self.name, statistics = next(known, "other"), which
        elif which in NORMALISATIONS:
            self.name, statistics = which, NORMALISATIONS[which]
        else:
            raise UserError(
                f"normalisation: expected one of {', '.join(NORMALISATIONS)}, found {which!r}"
                f"{neighbours(which, NORMALISATIONS)}"
            )
        self.bgr = statistics.bgr
        for key in ("mean", "std"):
            values = torch.tensor(getattr(statistics, key)).view(3, 1, 1)
            self.register_buffer(key, values, persistent=False)

    def forward(self, frames: Tensor) -> Tensor:
        x = (normalise_frames(frames, self.mean.dtype) - self.mean) / self.std
        return x.flip(-3) if self.bgr else x
