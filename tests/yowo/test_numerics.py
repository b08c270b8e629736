"""The places where a port of YOWO goes wrong, one by one, against plain loops."""

import numpy as np
import pytest
import torch

from stadet.engine.errors import UserError
from stadet.yowo.cfam import ChannelAttention
from stadet.yowo.darknet19 import reorganise
from stadet.yowo.model import BACKBONES, build_backbone3d
from stadet.yowo.resnet3d import ZeroPadShortcut
from stadet.yowo.shufflenet3d import ShuffleNet3d, ShuffleUnit, channel_shuffle


def test_reorg_puts_the_sub_pixel_before_the_channel():
    x = torch.arange(2 * 3 * 4 * 6.0).view(2, 3, 4, 6)
    out = reorganise(x)
    assert out.shape == (2, 12, 2, 3)
    for row in range(2):
        for column in range(2):
            for c in range(3):
                place = (row * 2 + column) * 3 + c
                assert torch.equal(out[:, place], x[:, c, row::2, column::2])
    assert not torch.equal(out, torch.pixel_unshuffle(x.view(2, 3, 4, 6), 2))


def test_attention_is_softmax_of_what_is_missing_to_the_rows_maximum():
    module = ChannelAttention()
    x = torch.randn(2, 4, 2, 3)
    assert torch.equal(module(x), x)  # gamma starts at 0
    with torch.no_grad():
        module.gamma.fill_(0.7)
    expected = np.empty((2, 4, 6))
    for b, features in enumerate(x.reshape(2, 4, 6).double().numpy()):
        energy = features @ features.T
        for i in range(4):
            weight = np.exp(energy[i].max() - energy[i])
            expected[b, i] = 0.7 * (weight / weight.sum()) @ features + features[i]
    found = module(x).detach().reshape(2, 4, 6).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_shortcut_a_takes_every_other_value_and_appends_zeros():
    x = torch.randn(1, 2, 4, 6, 5)
    out = ZeroPadShortcut(3, 2)(x)
    assert out.shape == (1, 5, 2, 3, 3)
    assert torch.equal(out[:, :2], x[:, :, ::2, ::2, ::2]) and not out[:, 2:].any()
    assert not list(ZeroPadShortcut(3, 2).parameters())


def test_shuffle_deals_the_groups_channels_in_turn():
    x = torch.arange(6.0).view(1, 6, 1, 1, 1)
    assert channel_shuffle(x, 3).flatten().tolist() == [0, 2, 4, 1, 3, 5]


def test_the_first_unit_is_ungrouped_only_at_24_channels():
    assert ShuffleUnit(24, 240, 2, groups=3).conv1.groups == 1
    assert ShuffleUnit(48, 480, 2, groups=3).conv1.groups == 3
    assert ShuffleNet3d(2.0).layer1[0].conv1.groups == 3
    assert ShuffleNet3d(1.0).layer1[0].conv1.groups == 1


@pytest.mark.parametrize("name", BACKBONES)
@pytest.mark.parametrize("length", [8, 16, 32])
def test_features_of_every_length_a_backbone_takes(name, length):
    with torch.device("meta"):
        network = build_backbone3d(name)
        clip = torch.empty(2, 3, length, 96, 128)
    if length % network.length_multiple:
        with pytest.raises(UserError, match=r"expected clips of 16, 32, 48, \.\. frames, found 8"):
            network(clip)
        return
    assert network(clip).shape == (2, network.out_channels, 3, 4)


@pytest.mark.parametrize("name", [n for n in BACKBONES if n[-3:] != "_18"])
@pytest.mark.parametrize("width", [0.125, 0.25, 0.5])
def test_narrow_networks_keep_their_shape(name, width):
    with torch.device("meta"):
        network = build_backbone3d(name, width)
        out = network(torch.empty(1, 3, 16, 96, 96))
    assert out.shape == (1, network.out_channels, 3, 3)
    whole = build_backbone_size(name)
    assert sum(p.numel() for p in network.parameters()) < whole


def build_backbone_size(name):
    with torch.device("meta"):
        return sum(p.numel() for p in build_backbone3d(name).parameters())


def test_torchvisions_networks_are_torchvisions():
    from torchvision.models.video import r3d_18

    torch.manual_seed(0)
    source = r3d_18(weights=None).eval()
    ours = build_backbone3d("r3d_18").eval()
    kept = {k: v for k, v in source.state_dict().items() if not k.startswith("fc.")}
    ours.load_state_dict(kept)
    clip = torch.rand(1, 3, 8, 64, 64)
    with torch.no_grad():
        expected = torch.nn.functional.max_pool3d(
            source.layer4(source.layer3(source.layer2(source.layer1(source.stem(clip))))), (1, 2, 2)
        )
        torch.testing.assert_close(ours(clip), expected.mean(2))


def test_an_unknown_backbone_names_its_neighbours():
    with pytest.raises(UserError, match=r"no 3D backbone 'resnext-101' \(did you mean resnext101"):
        build_backbone3d("resnext-101")
