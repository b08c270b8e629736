import pytest
import torch

from stadet.anchors.anchors import Anchors
from stadet.classify.models.resnet3d import ResNet3dClassifier, backbone_weights
from stadet.classify.models.weights import fill
from stadet.engine.errors import UserError
from stadet.yowo.model import YOWO

ANCHORS = Anchors((((40.0, 60.0),),), (32,), (64, 64))


def tiny_yowo():
    return YOWO(3, ANCHORS, backbone="resnet18", width=0.1, clip_length=8)


def test_the_trunk_goes_to_yowo_and_back():
    torch.manual_seed(0)
    classifier = ResNet3dClassifier(5, width=0.1, clip_length=8).eval()
    yowo = tiny_yowo().eval()
    yowo.backbone_3d.load_state_dict(backbone_weights(classifier.state_dict()))
    frames = torch.rand(2, 8, 3, 64, 64)
    with torch.no_grad():
        maps = yowo.backbone_3d(frames.transpose(1, 2))
        features = classifier.forward_features(frames)
    torch.testing.assert_close(features.mean(dim=2), maps)

    other = ResNet3dClassifier(7, width=0.1, clip_length=8).eval()
    report = fill(other, yowo.state_dict(), "a YOWO checkpoint")
    assert set(report.missing) == {"head.weight", "head.bias"}
    assert all(name.startswith(("backbone_2d.", "cfam.", "conv_final")) for name in report.unused)
    with torch.no_grad():
        torch.testing.assert_close(other.forward_features(frames), features)


def test_weights_without_a_trunk_are_refused():
    with pytest.raises(UserError, match="found none"):
        backbone_weights({"conv1.weight": torch.zeros(1)})


@pytest.mark.parametrize("backbone", ["mobilenetv2_1x", "shufflenetv2_2x", "resnext101"])
def test_other_branches(backbone):
    torch.manual_seed(0)
    model = ResNet3dClassifier(5, backbone=backbone, width=0.1, clip_length=16).eval()
    with torch.no_grad():
        assert model(torch.rand(1, 16, 3, 32, 64)).shape == (1, 5)
    model.get_submodule(model.cam_layer)
