import copy

import pytest
import torch
from torchvision import models
from torchvision.transforms.functional import normalize

from stadet.detect.backbones.features import FeatureBackbone
from stadet.engine.errors import UserError

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


@pytest.mark.parametrize(
    ("name", "channels"),
    [
        ("mobilenet_v2", (32, 96, 1280)),
        ("mobilenet_v3_small", (24, 48, 576)),
        ("resnet18", (128, 256, 512)),
        ("efficientnet_b0", (40, 112, 1280)),
        ("convnext_tiny", (192, 384, 768)),
        ("shufflenet_v2_x0_5", (48, 96, 1024)),
    ],
)
def test_strides_and_channels(name, channels):
    """Channels: of the stages in the networks' papers."""
    backbone = FeatureBackbone(name, (8, 16, 32))
    with torch.no_grad():
        maps = backbone(torch.rand(2, 3, 96, 64))
    assert backbone.channels == channels
    sizes = [(96 // s, 64 // s) for s in (8, 16, 32)]
    assert [tuple(x.shape) for x in maps] == [
        (2, c, *size) for c, size in zip(channels, sizes, strict=True)
    ]


def test_a_run_of_strides_leaves_the_rest_of_the_network_out():
    backbone = FeatureBackbone("resnet18", (4, 8))
    assert backbone.channels == (64, 128)
    assert not any(key.startswith("layer3") for key in backbone.network.state_dict())


@torch.no_grad()
def test_features_are_those_of_torchvision_on_the_same_normalised_pixels():
    backbone = FeatureBackbone("resnet18", (8, 16, 32)).eval()
    whole = models.resnet18(weights=None).eval()
    whole.load_state_dict(backbone.network.state_dict(), strict=False)
    frames = torch.randint(0, 256, (2, 3, 64, 96), dtype=torch.uint8)
    x = normalize(frames / 255, MEAN, STD)
    x = whole.maxpool(whole.relu(whole.bn1(whole.conv1(x))))
    wanted = [x := whole.layer2(whole.layer1(x)), x := whole.layer3(x), whole.layer4(x)]
    for ours, theirs in zip(backbone(frames / 255), wanted, strict=True):
        torch.testing.assert_close(ours, theirs)


@torch.no_grad()
def test_the_last_map_is_what_torchvision_classifies():
    whole = models.mobilenet_v2(weights=None).eval()
    backbone = FeatureBackbone("mobilenet_v2", (8, 16, 32)).eval()
    weights = {k: v for k, v in whole.state_dict().items() if k in backbone.network.state_dict()}
    backbone.network.load_state_dict(weights)
    images = torch.rand(1, 3, 64, 64)
    found = whole.classifier(backbone(images)[-1].mean((2, 3)))
    torch.testing.assert_close(found, whole(normalize(images, MEAN, STD)))


def test_a_copy_trains_as_the_original():
    """The average of weights is a deep copy, made in training and used in evaluation."""
    backbone = FeatureBackbone("mobilenet_v3_small", (16, 32)).train()
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        copied = copy.deepcopy(backbone)
        for mode in (True, False):
            for ours, theirs in zip(
                backbone.train(mode)(images), copied.train(mode)(images), strict=True
            ):
                torch.testing.assert_close(ours, theirs)
    counts = [
        buffer.item()
        for key, buffer in copied.named_buffers()
        if key.endswith("num_batches_tracked")
    ]
    assert set(counts) == {1}


@torch.no_grad()
def test_stacked_frames_are_normalised_one_by_one():
    backbone = FeatureBackbone("resnet18", (32,)).eval()
    first = backbone.network.get_submodule("conv1")
    first.weight = torch.nn.Parameter(torch.cat([torch.zeros_like(first.weight), first.weight], 1))
    first.in_channels = 6
    images = torch.rand(1, 3, 64, 64)
    (stacked,) = backbone(torch.cat([torch.rand(1, 3, 64, 64), images], 1))
    first.weight = torch.nn.Parameter(first.weight[:, 3:])
    first.in_channels = 3
    torch.testing.assert_close(stacked, backbone(images)[0])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mobilenet_v22", "no torchvision image network .*mobilenet_v2"),
        ("swin_t", "expected maps of the strides 8, 16, 32, its stages have 32"),
        ("alexnet", "its stages have none"),
        ("vit_b_32", "does not take images of any size"),
    ],
)
def test_networks_that_will_not_do(name, message):
    with pytest.raises(UserError, match=message) as error:
        FeatureBackbone(name, (8, 16, 32))
    assert "\n" not in str(error.value)


@torch.no_grad()
def test_timm():
    timm = pytest.importorskip("timm")
    backbone = FeatureBackbone("timm/resnet18", (8, 16, 32)).eval()
    assert backbone.channels == (128, 256, 512)
    whole = timm.create_model("resnet18", pretrained=False).eval()
    whole.load_state_dict(backbone.network.state_dict(), strict=False)
    images = torch.rand(1, 3, 64, 96)
    wanted = whole.forward_features(normalize(images, MEAN, STD))
    torch.testing.assert_close(backbone(images)[-1], wanted)
    for name in ("timm/vit_tiny_patch16_224", "timm/swin_tiny_patch4_window7_224", "timm/resnt18"):
        with pytest.raises(UserError):
            FeatureBackbone(name, (8, 16, 32))


@pytest.mark.parametrize(
    ("name", "wanted"), [("resnet18", "imagenet"), ("tf_mobilenetv3_small_100", "signed")]
)
def test_pixels_as_timms_weights_want_them(name, wanted):
    timm = pytest.importorskip("timm")
    normalise = FeatureBackbone(f"timm/{name}", (32,)).normalise
    assert normalise.name == wanted
    assert tuple(normalise.mean.flatten().tolist()) == pytest.approx(
        timm.get_pretrained_cfg(name).mean
    )
