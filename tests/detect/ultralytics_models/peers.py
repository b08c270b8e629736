"""Networks of ultralytics that have seen something, and what theirs say of the same pixels."""

from __future__ import annotations

import torch

from stadet.detect.ultralytics_models.detector import UltralyticsDetector

SIZE = (64, 96)  # (height, width)


def settled(network: str, num_classes: int = 3, seed: int = 0, **options) -> UltralyticsDetector:
    """A network that `tell_apart` has been at."""
    torch.manual_seed(seed)
    return tell_apart(UltralyticsDetector(network, num_classes, **options))


@torch.no_grad()
def tell_apart(model: UltralyticsDetector, size: tuple[int, int] = SIZE) -> UltralyticsDetector:
    """Batch norms with statistics of frames; last convolutions that tell places apart."""
    head = model.network.model[-1]
    dual = [head.one2one_cv2, head.one2one_cv3] if model.has_one_to_one else []
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None  # the mean over all frames that it has seen
    model.train()
    for turn in range(2):
        model(frames(4, 1, turn, size))
    for branch in (head.cv3, *dual[1:]):
        for level in branch:
            torch.nn.init.normal_(level[-1].weight, std=0.25)
            torch.nn.init.normal_(level[-1].bias, mean=-1.0, std=0.5)
    for branch in (head.cv2, *dual[:1]):
        for level in branch:  # sides of about two cells
            torch.nn.init.normal_(level[-1].weight, std=0.2)
            about = 2.0 - (torch.arange(model.bins) - 2.0).square() * (model.bins > 1)
            level[-1].bias.copy_(about.repeat(4))
    return model.eval()


def frames(batch: int, steps: int, seed: int = 0, size: tuple[int, int] = SIZE) -> torch.Tensor:
    """Blotches of 8 pixels: noise alone looks the same everywhere after a few convolutions."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(batch * steps, 3, size[0] // 8, size[1] // 8, generator=generator)
    large = torch.nn.functional.interpolate(coarse, size, mode="bilinear")
    return (255 * large).byte().unflatten(0, (batch, steps))
