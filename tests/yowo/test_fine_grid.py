import pytest
import torch
from torch.nn.functional import batch_norm, conv2d

from stadet.yowo.fine_grid import FineGrid
from tests.yowo.tiny import SIZE, frames, network


def literal_block(block, x, padding):
    """Convolution, batch norm in evaluation and ReLU over a block's weights."""
    conv, norm = block[0], block[1]
    x = conv2d(x, conv.weight, padding=padding)
    x = batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=1e-5)
    return x.clamp(min=0)


def test_without_finer_features_it_is_the_identity():
    grid = FineGrid(24)
    x = torch.randn(2, 24, 2, 3)
    assert grid(x) is x and grid.out_channels == 24 and not grid.state_dict()


def test_two_steps_literally():
    torch.manual_seed(0)
    grid = FineGrid(48, [10, 6]).eval()
    for module in grid.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -0.5, 0.5)
            torch.nn.init.uniform_(module.running_var, 0.5, 2.0)
    x = torch.randn(2, 48, 2, 3)
    finer = [torch.randn(2, 10, 4, 6), torch.randn(2, 6, 8, 12)]
    with torch.no_grad():
        found, expected = grid(x, finer), x
        for step in range(2):
            small = literal_block(grid.reduce[step], expected, 0)
            raised = torch.empty(*small.shape[:2], small.shape[2] * 2, small.shape[3] * 2)
            for row in range(raised.shape[2]):
                for column in range(raised.shape[3]):
                    raised[:, :, row, column] = small[:, :, row // 2, column // 2]
            both = torch.cat([raised, finer[step]], dim=1)
            expected = literal_block(grid.merge[step], both, 1)
    assert found.shape == (2, grid.out_channels, 8, 12) and grid.out_channels == 12
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_features_missing():
    with pytest.raises(ValueError):
        FineGrid(16, [4])(torch.zeros(1, 16, 2, 2))


@pytest.mark.parametrize("stride", [8, 16])
def test_the_key_frames_finer_features_of_that_stride(stride):
    """Each has its stride, and is what the 2D branch has just before it halves its map again."""
    model = network(stride=stride).eval()
    image = frames()[:, -1] / 255
    with torch.no_grad():
        coarse, *finer = model.backbone_2d(image)
        (alone,) = network().eval().backbone_2d(image)
    assert torch.equal(coarse, alone)
    strides = [16, 8][: len(finer)]
    assert strides[-1] == stride
    for own, features in zip(strides, finer, strict=True):
        assert features.shape[-2:] == (SIZE[0] // own, SIZE[1] // own)
        x, pools = image, 0
        for block in model.backbone_2d.models:
            before, x = x, block(x)
            pools += isinstance(block, torch.nn.MaxPool2d)
            if 2**pools == own * 2:
                assert torch.equal(before, features)
                break


def test_the_published_weights_fit_beside_it():
    plain, fine = network().state_dict(), network(stride=8).state_dict()
    new = set(fine) - set(plain)
    assert new and all(name.startswith("fine_grid.") for name in new) and set(plain) < set(fine)
    other = {name for name in plain if plain[name].shape != fine[name].shape}
    assert other == {"conv_final.weight"}


def test_a_box_smaller_than_a_coarse_cell_is_told_from_its_neighbour():
    """Two boxes in one cell of stride 32 with one shape: only a finer grid has room for both."""
    from stadet.detect.yolo.assignment import assign
    from tests.yowo.tiny import targets

    truth = targets([(0, (2, 2, 14, 20), [0]), (0, (17, 2, 29, 20), [1])], 1)
    cells = {}
    for stride in (32, 8):
        model = network(stride=stride)
        sizes = [(SIZE[0] // stride, SIZE[1] // stride)]
        (own,) = assign(truth, [model.anchor_sizes], [stride], sizes)
        cells[stride] = len(set(zip(own.row.tolist(), own.column.tolist(), strict=True)))
    assert cells == {32: 1, 8: 2}
