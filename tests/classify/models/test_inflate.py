"""A still clip through an inflated network gives what the image network gives on its frame."""

import torch
from torch import nn
from torch.nn.functional import conv2d, conv3d
from torchvision import models

from stadet.classify.models.inflate import inflate
from stadet.classify.models.registry import build_model
from stadet.classify.models.weights import fill


def randomise_statistics(network):
    """Batch norms that do something in evaluation."""
    generator = torch.Generator().manual_seed(3)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)
            nn.init.uniform_(module.weight, 0.5, 1.5, generator=generator)
            nn.init.normal_(module.bias, 0, 0.1, generator=generator)
    return network.eval()


def test_one_convolution():
    weight, image = torch.randn(4, 3, 3, 3), torch.randn(1, 3, 8, 10)
    still = image[:, :, None].expand(-1, -1, 7, -1, -1)
    deep = conv3d(still, inflate(weight, 5))  # no padding: every output sees five frames
    torch.testing.assert_close(deep[:, :, 1], conv2d(image, weight), atol=1e-5, rtol=1e-5)


def test_resnet_50():
    torch.manual_seed(0)
    flat = randomise_statistics(models.resnet50(num_classes=4))
    deep = build_model("i3d_resnet", 4, time_padding="replicate", normalisation="unit").eval()
    report = fill(deep, flat.state_dict(), "resnet50")
    assert not report.missing and not report.unused
    assert "53 inflated" in str(report)
    image = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        expected = flat(image)
        found = deep(image[:, None].expand(-1, 9, -1, -1, -1))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_zero_padding_of_time_darkens_the_ends_only():
    """Why `time_padding` exists: the padded ends of a still clip see fewer frames."""
    torch.manual_seed(0)
    deep = build_model("i3d_resnet", 4, width=0.1).eval()
    still = torch.rand(1, 1, 3, 64, 64).expand(-1, 16, -1, -1, -1)
    with torch.no_grad():
        stem = deep.conv1(still.transpose(1, 2))
    torch.testing.assert_close(stem[:, :, 2], stem[:, :, 4], atol=1e-5, rtol=1e-5)
    assert not torch.allclose(stem[:, :, 0], stem[:, :, 4], atol=1e-3)


def test_inception_v1():
    torch.manual_seed(0)
    flat = models.googlenet(num_classes=4, aux_logits=False, init_weights=False)
    randomise_statistics(flat)
    deep = build_model("i3d", 4, time_padding="replicate", normalisation="unit").eval()
    report = fill(deep, flat.state_dict(), "googlenet")
    assert set(report.missing) == {"head.weight", "head.bias"}
    assert set(report.unused) == {"fc.weight", "fc.bias"}
    deep.head.load_state_dict(flat.fc.state_dict())
    # I3D pads its stem as TensorFlow does, one pixel less before than after.
    flat.conv1.conv.padding = (0, 0)
    flat.conv1.conv.register_forward_pre_hook(
        lambda _module, inputs: nn.functional.pad(inputs[0], (2, 3, 2, 3))
    )
    image = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        expected = flat(image)
        found = deep(image[:, None].expand(-1, 9, -1, -1, -1))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
