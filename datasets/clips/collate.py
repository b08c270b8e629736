"""Clips to a batch."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from stadet.detect.batch import Clip, ClipBatch, Targets


def collate(clips: Sequence[Clip]) -> ClipBatch:
    """B clips of the same T and size to one batch; image i of its targets is (i // T, i % T).

    ValueError where the clips' frames differ in shape.
    """
    shapes = {tuple(clip.frames.shape) for clip in clips}
    if len(shapes) != 1:
        raise ValueError(f"expected clips of one shape (T, C, H, W), found {sorted(shapes)}")
    steps = clips[0].frames.shape[0]
    targets = Targets(
        boxes=torch.cat([clip.targets.boxes for clip in clips]),
        labels=torch.cat([clip.targets.labels for clip in clips]),
        item=torch.cat([clip.targets.item + b * steps for b, clip in enumerate(clips)]),
        looked_at=torch.cat([clip.targets.looked_at for clip in clips]),
        ignored=torch.cat([clip.targets.ignored for clip in clips]),
    )
    return ClipBatch(
        frames=torch.stack([clip.frames for clip in clips]),  # (B, T, C, H, W)
        targets=targets,
        starts_stream=torch.tensor([clip.starts_stream for clip in clips]),
        valid=torch.stack([clip.valid for clip in clips]),
        views=[clip.view for clip in clips],
        videos=[clip.video for clip in clips],
        frame_indices=torch.stack([clip.frame_indices for clip in clips]),
    )
