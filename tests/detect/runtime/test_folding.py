import pytest
import torch
from torch import nn

from stadet.detect.runtime.folding import fold_batch_norm
from stadet.engine.optimise import channels_last
from tests.recurrent_yolo import tiny


def settled(network, example):
    """Batch norms that have seen something, and are not the identity."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
    with torch.no_grad():
        network.train()(example)
    return network.eval()


def norms(model):
    return sum(isinstance(m, nn.BatchNorm2d | nn.BatchNorm3d) for m in model.modules())


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("groups", [1, 4])
def test_folding_keeps_the_function(dimensions, bias, groups):
    torch.manual_seed(0)
    conv, norm = ((nn.Conv2d, nn.BatchNorm2d), (nn.Conv3d, nn.BatchNorm3d))[dimensions - 2]
    x = torch.rand(2, 8, *[5] * dimensions)
    layers = conv(8, 12, 3, groups=groups, bias=bias), norm(12, eps=1e-3), nn.ReLU()
    network = settled(nn.Sequential(*layers), x)
    folded = fold_batch_norm(network, x)
    assert norms(network) == 1 and norms(folded) == 0
    torch.testing.assert_close(folded(x), network(x), rtol=1e-5, atol=1e-6)


def test_the_original_is_left_alone():
    network = settled(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)), torch.rand(2, 3, 8, 8))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    fold_batch_norm(network, torch.rand(1, 3, 8, 8))
    after = network.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_what_is_no_pair_stays():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.shared = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)
            self.after_relu, self.after_shared = nn.BatchNorm2d(4), nn.BatchNorm2d(4)

        def forward(self, x):
            x = self.after_relu(self.conv(x).relu())
            return self.after_shared(self.shared(x)) + self.shared(2 * x)

    x = torch.rand(2, 4, 6, 6)
    network = settled(Odd(), x)
    folded = fold_batch_norm(network, x)
    assert norms(folded) == 2
    torch.testing.assert_close(folded(x), network(x))


def test_a_yolo_folds_whole_and_channels_last_changes_nothing():
    model = tiny.detector()
    frames = tiny.frames(1, 2)
    folded = channels_last(fold_batch_norm(model, frames))
    assert norms(model) > 0 and norms(folded) == 0
    convs = [m for m in folded.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)]
    assert all(c.weight.is_contiguous(memory_format=torch.channels_last) for c in convs)
    with torch.no_grad():
        for ours, theirs in zip(folded(frames)[0], model(frames)[0], strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
