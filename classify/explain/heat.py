"""Heat on a layer's grid to heat on the clip's pixels, and to pictures of it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from stadet.engine.errors import UserError


def heat_on_clip(heat: Tensor, batch: int, length: int, size: tuple[int, int]) -> Tensor:
    """Heat of a layer, (B * T, h, w) or (B, t, h, w), to (B, T, H, W), by linear interpolation.

    UserError for a layer that does not run on every frame.
    """
    if heat.ndim == 3:
        if len(heat) != batch * length:
            raise UserError(
                f"expected a layer with maps of each of {batch} x {length} frames, found "
                f"{len(heat)} maps; take another layer"
            )
        scaled = interpolate(heat[:, None], size=size, mode="bilinear", align_corners=False)
        return scaled[:, 0].unflatten(0, (batch, length))
    return interpolate(heat[:, None], size=(length, *size), mode="trilinear", align_corners=False)[
        :, 0
    ]


def to_unit(heat: Tensor) -> Tensor:
    """Each clip's heat (B, ...) to [0, 1] by its own least and greatest value over all its frames,
    so that frames of a clip can be compared. A flat clip becomes zeros."""
    flat = heat.flatten(1)
    low = flat.amin(dim=1, keepdim=True)
    reach = flat.amax(dim=1, keepdim=True) - low
    scaled = (flat - low) / torch.where(reach > 0, reach, torch.ones_like(reach))
    return scaled.view_as(heat)


def overlay(frame: np.ndarray, heat: np.ndarray, opacity: float = 0.5) -> np.ndarray:
    """A frame (H, W, 3) uint8 RGB under heat (H, W) in [0, 1], cold blue to hot red."""
    import cv2

    levels = np.clip(heat * 255, 0, 255).astype(np.uint8)
    colours = cv2.cvtColor(cv2.applyColorMap(levels, cv2.COLORMAP_JET), cv2.COLOR_BGR2RGB)
    return cv2.addWeighted(colours, opacity, np.ascontiguousarray(frame), 1 - opacity, 0)


def heat_frames(frames: np.ndarray, heat: np.ndarray, opacity: float = 0.5) -> Iterator[np.ndarray]:
    """The frames of a heat-map video: frames (T, H, W, 3) uint8 RGB under heat (T, H, W)."""
    for frame, warmth in zip(frames, heat, strict=True):
        yield overlay(frame, warmth, opacity)


def signed_images(gradient: Tensor) -> np.ndarray:
    """A clip's signed gradient (T, 3, H, W) to images (T, H, W, 3) uint8 about grey, which is zero;
    one scale for the clip."""
    values = gradient.detach().float().cpu().movedim(1, -1)
    reach = float(values.abs().max()) or 1.0
    return (values / reach * 127 + 128).round().clamp(0, 255).to(torch.uint8).numpy()
