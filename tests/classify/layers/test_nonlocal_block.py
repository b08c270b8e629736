import math

import pytest
import torch
from torch.nn.functional import max_pool3d

from stadet.classify.layers.nonlocal_block import NonLocalBlock3d
from tests.classify.tiny_models import tiny_model


def loop_over_positions(block, x):
    """Equation by equation, one pair of positions at a time."""
    pooled = max_pool3d(x, (1, 2, 2)) if isinstance(block.pool, torch.nn.MaxPool3d) else x
    theta, phi, g = block.theta(x), block.phi(pooled), block.g(pooled)
    y = torch.zeros_like(theta)
    places = list(torch.cartesian_prod(*(torch.arange(n) for n in pooled.shape[2:])))
    for b in range(len(x)):
        for t in range(x.shape[2]):
            for i in range(x.shape[3]):
                for j in range(x.shape[4]):
                    query = theta[b, :, t, i, j]
                    f = [
                        math.exp(float(query @ phi[b, :, u, k, m]) * block.scale)
                        for u, k, m in places
                    ]
                    values = [g[b, :, u, k, m] for u, k, m in places]
                    total = sum(w * v for w, v in zip(f, values, strict=True))
                    y[b, :, t, i, j] = total / sum(f)
    return block.bn(block.out(y)) + x


@pytest.mark.parametrize("options", [{}, {"scale": True}, {"scale": True, "subsample": True}])
def test_against_a_loop_over_positions(options):
    torch.manual_seed(0)
    block = NonLocalBlock3d(6, **options)
    torch.nn.init.normal_(block.out.weight)
    x = torch.randn(2, 6, 2, 4, 3)
    with torch.no_grad():
        torch.testing.assert_close(block(x), loop_over_positions(block, x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("batch_norm", [False, True])
def test_a_new_block_changes_nothing_and_still_learns(batch_norm):
    block = NonLocalBlock3d(6, batch_norm=batch_norm)
    x = torch.randn(2, 6, 2, 4, 4)
    y = block(x)
    torch.testing.assert_close(y, x, atol=0, rtol=0)
    y.square().sum().backward()
    learning = block.bn.weight if batch_norm else block.out.weight
    assert learning.grad.abs().max() > 0


def test_nl_i3d_starts_as_the_i3d_whose_weights_it_takes():
    from stadet.classify.models.registry import build_model
    from stadet.classify.models.weights import fill

    plain = tiny_model("i3d").eval()
    extended = build_model("nl_i3d", 3, width=0.1).eval()
    report = fill(extended, plain.state_dict(), "i3d")
    assert {name.split(".")[0] for name in report.missing} == {"nonlocal_4e", "nonlocal_5b"}
    frames = torch.randint(0, 256, (1, 8, 3, 64, 64), dtype=torch.uint8)
    with torch.no_grad():
        torch.testing.assert_close(extended(frames), plain(frames))
