"""Image classifiers by name: torchvision's (`resnet50`) and, where it is installed, timm's
(`timm/resnet18`)."""

from __future__ import annotations

from typing import Any

from torch import nn

from stadet.detect.normalisation import NORMALISATIONS, PixelStatistics
from stadet.engine.errors import UserError, neighbours

TIMM = "timm/"  # before the names of timm's networks
AUXILIARY: dict[str, dict[str, Any]] = {  # with classifiers of training only, which are left out
    "googlenet": {"aux_logits": False, "init_weights": False},
    "inception_v3": {"aux_logits": False, "init_weights": False},
}


def image_network(name: str, **options: Any) -> nn.Module:
    """An image classifier with random weights; nothing is downloaded. UserError for another name.

    options: further arguments of timm's `create_model` or torchvision's builder.
    """
    if name.startswith(TIMM):
        return timm_network(name, **options)
    from torchvision import models  # slow to import

    known = models.list_models(module=models)
    if name not in known:
        raise UserError(f"no torchvision image network {name!r}{neighbours(name, known)}")
    return models.get_model(name, weights=None, **AUXILIARY.get(name, {}), **options)


def timm_network(name: str, *, pretrained: bool = False, **options: Any) -> nn.Module:
    """One of timm's networks. pretrained: download its weights, or take them from the cache.

    UserError for an unknown name, for options that it does not take, and where timm is missing.
    """
    timm, own = import_timm(), name.removeprefix(TIMM)
    if not timm.is_model(own):
        raise UserError(f"no network {own!r} in timm{neighbours(own, timm.list_models())}")
    try:
        return timm.create_model(own, pretrained=pretrained, **options)
    except (RuntimeError, AssertionError, AttributeError, TypeError) as error:
        raise UserError(f"{name}: timm cannot build it so ({error}); take another") from error


def import_timm() -> Any:
    """The `timm` package, or one line on how to get it."""
    try:
        import timm
    except ImportError as error:
        raise UserError(
            "expected the package timm, which is not installed: pip install 'stadet[timm]', or "
            "name one of torchvision's networks, without timm/"
        ) from error
    return timm


def pixel_statistics(name: str) -> PixelStatistics:
    """What the network's public weights were trained on; all of torchvision's share ImageNet's."""
    if not name.startswith(TIMM):
        return NORMALISATIONS["imagenet"]
    config = import_timm().get_pretrained_cfg(name.removeprefix(TIMM))
    if config is None:
        return NORMALISATIONS["imagenet"]
    return PixelStatistics(tuple(config.mean), tuple(config.std))
