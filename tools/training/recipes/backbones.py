"""Errors about an image network and its weights, before any data is read."""

from __future__ import annotations

from collections.abc import Sequence

import torch


def check_backbone(name: str, strides: Sequence[int], weights: str | None) -> None:
    """UserError for a network that is unknown or lacks a stride, and for weights that are neither
    a file nor a name of its library's."""
    from stadet.detect.backbones.features import FeatureBackbone
    from stadet.detect.backbones.weights import check_source

    with torch.device("meta"):
        FeatureBackbone(name, strides)
    if weights is not None:
        check_source(name, weights)
