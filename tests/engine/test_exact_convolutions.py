import copy

import pytest
import torch
from torch import nn

from stadet.engine.exact_convolutions import ExactSmallConvolutions

BF16 = torch.bfloat16


def gradients(conv, x, seed, *, autocast=False):
    """Of the output's product with fixed noise, with respect to the weight and to x."""
    conv, x = copy.deepcopy(conv), x.clone().requires_grad_()
    with torch.autocast("cpu", BF16, enabled=autocast):
        y = conv(x)
    noise = torch.randn(y.shape, generator=torch.Generator().manual_seed(seed))
    (y.float() * noise).sum().backward()
    return conv.weight.grad, x.grad


@pytest.mark.parametrize(
    ("conv", "size"),
    [
        (nn.Conv3d(16, 16, 3, padding=1), (2, 4, 8)),
        (nn.Conv3d(16, 16, (3, 1, 1), padding=(1, 0, 0)), (2, 8, 8)),
        (nn.Conv3d(16, 16, 7, padding=3, stride=(1, 2, 2)), (4, 8, 8)),
        (nn.Conv3d(16, 16, 3, padding=1, groups=4), (2, 4, 4)),
        (nn.Conv2d(16, 16, 3, padding=1), (6, 1)),
    ],
)
def test_gradients_are_those_of_float32(conv, size):
    x = torch.randn(4, 16, *size)
    for seed in range(3):  # without the mode some of them are right by chance
        with ExactSmallConvolutions():
            found = gradients(conv, x, seed, autocast=True)
        for ours, wanted in zip(found, gradients(conv, x, seed), strict=True):
            assert torch.equal(ours, wanted)


def test_larger_maps_stay_in_half_precision():
    x = torch.randn(2, 16, 4, 8, 8)
    conv = nn.Conv3d(16, 16, 3, padding=1)
    with ExactSmallConvolutions(), torch.autocast("cpu", BF16):
        assert conv(x).dtype == BF16
        assert conv(x[:, :, :2]).dtype == torch.float32
    with torch.autocast("cpu", BF16):
        assert conv(x[:, :, :2]).dtype == BF16
    with ExactSmallConvolutions():
        assert conv(x.double()[:, :, :2].float()).dtype == torch.float32


def test_without_autocast_nothing_changes():
    conv = nn.Conv3d(2, 2, 3, padding=1).double()
    x = torch.randn(1, 2, 2, 4, 4, dtype=torch.float64)
    with ExactSmallConvolutions():
        assert torch.equal(conv(x), torch.conv3d(x, conv.weight, conv.bias, padding=1))
