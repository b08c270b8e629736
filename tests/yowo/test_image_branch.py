"""The 2D branch on an image network."""

import pytest
import torch
from torchvision import models
from torchvision.transforms.functional import normalize

from stadet.engine.checkpoint import seed_everything
from stadet.engine.errors import UserError
from stadet.yowo.darknet19 import Darknet19
from stadet.yowo.freezing import freeze_branches
from stadet.yowo.image_branch import ImageBranch
from stadet.yowo.model import YOWO
from tests.yowo.tiny import anchors

NAME = "mobilenet_v3_small"


def network(stride=32, **kwargs):
    seed_everything(0)
    return YOWO(
        3,
        anchors(stride),
        backbone="resnet18",
        backbone_2d=NAME,
        width=0.125,
        clip_length=4,
        **kwargs,
    )


@torch.no_grad()
def test_it_stands_in_for_darknet():
    images = torch.rand(2, 3, 64, 96)
    ours, darknet = ImageBranch(NAME, finest=8).eval(), Darknet19(finest=8).eval()
    for mine, other in zip(ours(images), darknet(images), strict=True):
        assert mine.shape[-2:] == other.shape[-2:]
    assert ours.out_channels == darknet.out_channels == ours(images)[0].shape[1]
    assert ours.finer_channels == [x.shape[1] for x in ours(images)[1:]]


@torch.no_grad()
def test_the_key_frame_is_normalised_as_the_public_weights_expect():
    branch = ImageBranch(NAME).eval()
    whole = models.get_model(NAME, weights=None).eval()
    whole.load_state_dict(branch.backbone.network.state_dict(), strict=False)
    images = torch.rand(1, 3, 64, 64)
    features = whole.features(normalize(images, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    torch.testing.assert_close(branch(images)[0], branch.last(features))


@pytest.mark.parametrize("stride", [8, 16, 32])
def test_every_parameter_of_yowo_gets_a_gradient(stride):
    model = network(stride)
    (level,), _ = model(torch.randint(0, 256, (2, 4, 3, 64, 96), dtype=torch.uint8))
    assert level.shape[-2:] == (64 // stride, 96 // stride)
    level.square().mean().backward()
    assert all(p.grad is not None for p in model.parameters())


@torch.no_grad()
def test_only_the_2d_branch_knows_how_its_pixels_are_normalised():
    model = network().eval()
    clips = torch.randint(0, 256, (1, 4, 3, 64, 96), dtype=torch.uint8)
    spatial = model.backbone_2d(clips[:, -1] / 255)
    temporal = model.backbone_3d(clips.transpose(1, 2) / 255)
    torch.testing.assert_close(model(clips)[0][0], model.forward_fusion(spatial, temporal))
    with pytest.raises(UserError, match=r"normalises its images itself, found 0\.45 and 0\.225"):
        network(input_mean=0.45, input_std=0.225)


def test_frozen_it_keeps_its_last_convolution():
    model = network()
    frozen = freeze_branches(model, ["2d"])
    trained = [n for n, p in model.named_parameters() if p.requires_grad and "2d" in n]
    assert sorted(trained) == ["backbone_2d.last.bias", "backbone_2d.last.weight"]
    assert any(n.startswith("backbone_2d.backbone.network.") for n in frozen)
