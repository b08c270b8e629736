import pytest
import torch

from stadet.classify.models.image_backbone import ImageBackbone
from stadet.detect.normalisation import NORMALISATIONS, Normalise
from stadet.engine.errors import UserError


def test_alexnet_gives_report_000s_vector_at_its_size():
    backbone = ImageBackbone("alexnet").eval()
    frames = torch.rand(1, 2, 3, 128, 128)
    with torch.no_grad():
        plain = backbone.network.features(frames[0]).flatten(1)  # 3x3 at 128 pixels: unpooled
        torch.testing.assert_close(backbone(frames)[0], plain)
    assert backbone.out_channels == 2304


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "shufflenet_v2_x0_5"])
def test_other_networks_give_what_their_classifier_would_see(name):
    backbone = ImageBackbone(name).eval()
    with torch.no_grad():
        assert backbone(torch.rand(2, 3, 3, 64, 48)).shape == (2, 3, backbone.out_channels)
    backbone.get_submodule(backbone.cam_layer)


@pytest.mark.parametrize("name", ["resnet_18", "r3d_18", "squeezenet1_0"])
def test_networks_that_will_not_do(name):
    with pytest.raises(UserError):
        ImageBackbone(name)


def test_normalisations_map_their_mean_to_zero():
    for name, statistics in NORMALISATIONS.items():
        mean = torch.tensor(statistics.mean).view(1, 1, 3, 1, 1)
        frames = mean + torch.tensor(statistics.std).view(1, 1, 3, 1, 1)
        torch.testing.assert_close(
            Normalise(name)(mean.expand(1, 1, 3, 2, 2)),
            torch.zeros(1, 1, 3, 2, 2),
            atol=1e-5,
            rtol=0,
        )
        torch.testing.assert_close(Normalise(name)(frames), torch.ones(1, 1, 3, 1, 1))


def test_sports_1m_is_in_opencvs_order():
    red = torch.zeros(1, 1, 3, 1, 1, dtype=torch.uint8)
    red[:, :, 0] = 255
    assert Normalise("sports1m")(red).flatten().tolist() == pytest.approx([-90, -98, 153], abs=1e-3)


def test_an_unknown_normalisation_is_refused():
    with pytest.raises(UserError, match="imagenet"):
        Normalise("image-net")


@pytest.mark.parametrize("name", ["resnet18", "mobilenetv3_small_050", "vit_tiny_patch16_224"])
@torch.no_grad()
def test_timm_gives_what_its_classifier_would_see(name):
    timm = pytest.importorskip("timm")
    backbone = ImageBackbone(f"timm/{name}").eval()
    whole = timm.create_model(name, pretrained=False).eval()
    whole.load_state_dict(backbone.network.state_dict(), strict=False)
    images = torch.rand(2, 3, 224, 224)
    vectors = backbone(images[:, None])[:, 0]
    assert vectors.shape == (2, backbone.out_channels)
    torch.testing.assert_close(whole.get_classifier()(vectors), whole(images))
    config = timm.get_pretrained_cfg(name)
    assert backbone.statistics.mean == tuple(config.mean)
