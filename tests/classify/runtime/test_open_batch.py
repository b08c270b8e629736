"""The mode that marks the batch, against torch without it."""

import pytest
import torch
from torch.nn.functional import adaptive_avg_pool2d

from stadet.classify.runtime.open_batch import OpenBatch


@pytest.mark.parametrize("size", [1, 4, (3, 5), (None, 2), (9, 7)])
def test_adaptive_pools_as_products_are_those_of_torch(size):
    torch.manual_seed(0)
    x = torch.rand(2, 3, 9, 14)
    expected = adaptive_avg_pool2d(x, size)
    with OpenBatch(x):
        found = adaptive_avg_pool2d(x, size)
    torch.testing.assert_close(found, expected)


def test_shapes_zeros_and_reshapes_are_those_of_torch():
    x = torch.arange(24.0).reshape(2, 3, 4)
    with OpenBatch(x):
        assert tuple(x.shape) == (2, 3, 4) and x.size(1) == 3 and x.size(-1) == 4
        batch = x.shape[0]
        assert torch.equal(torch.zeros(5, batch, 2), torch.zeros(5, 2, 2))
        assert torch.equal(x.new_zeros((batch, 7)), torch.zeros(2, 7))
        assert torch.equal(x.flatten(0, 1).unflatten(0, (batch, 3)), x)
        assert torch.equal(x.reshape(batch, -1), x.flatten(1))
        assert x.reshape(batch * 3, 4).shape == (6, 4)
        token = torch.ones(1, 1, 4)
        assert torch.equal(token.expand(batch, -1, -1), torch.ones(2, 1, 4))
