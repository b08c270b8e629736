import pytest
import torch

from stadet.detect.yolo.darknet53 import (
    ULTRALYTICS,
    ConvBlock,
    Darknet53,
    count_parameters,
    scaled_channels,
)


def test_parameters_and_shapes_as_published():
    backbone = Darknet53()
    assert count_parameters(backbone) == 40_584_928  # Darknet-53's 41,609,928 less its classifier
    assert sum(isinstance(m, ConvBlock) for m in backbone.modules()) == 52
    features = Darknet53(width=0.125)(torch.rand(2, 3, 64, 96))
    assert [f.shape[-2:] for f in features] == [(32, 48), (16, 24), (8, 12), (4, 6), (2, 3)]


@pytest.mark.parametrize(
    ("channels", "width", "expected"), [(32, 1, 32), (32, 0.25, 8), (64, 0.01, 8), (512, 0.3, 152)]
)
def test_scaled_channels(channels, width, expected):
    assert scaled_channels(channels, width) == expected


def test_depth_and_max_stride_shorten_the_network():
    short = Darknet53(width=0.125, depth=0.25, max_stride=16)
    assert [len(stage.blocks) for stage in short.stages] == [1, 1, 2, 2]
    assert short.strides == (2, 4, 8, 16)


def test_block_styles():
    published, other = ConvBlock(3, 8, 3), ConvBlock(3, 8, 3, style=ULTRALYTICS)
    assert published.norm.eps == 1e-5 and other.norm.eps == 1e-3
    x = torch.tensor([-1.0, 2.0])
    torch.testing.assert_close(published.activation(x.clone()), torch.tensor([-0.1, 2.0]))
    torch.testing.assert_close(other.activation(x.clone()), x * torch.sigmoid(x))
