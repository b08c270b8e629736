import math

import numpy as np
import pytest
import torch

from stadet.anchors.anchors import Anchors
from stadet.engine.errors import UserError
from stadet.yowo.model import BACKBONES, YOWO
from tests.yowo.tiny import NUM_CLASSES, SIZE, anchors, frames, network, targets

WIDE = [name for name in BACKBONES if name[-3:] != "_18"]  # those that have a width


@pytest.mark.parametrize("backbone", WIDE)
@pytest.mark.parametrize("stride", [32, 8])
def test_every_parameter_gets_a_gradient(backbone, stride):
    model = network(backbone, stride=stride, clip_length=16)
    (out,), state = model(frames(steps=16))
    assert out.shape == (2, 3, 5 + NUM_CLASSES, 64 // stride, 96 // stride) and state is None
    torch.nn.init.constant_(model.cfam.sc.gamma, 0.5)
    (out,), _ = model(frames(steps=16))
    out.square().sum().backward()
    assert [n for n, p in model.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize("stride", [32, 16])
def test_clips_together_are_clips_alone(stride):
    model = network(stride=stride).eval()
    clips = frames(3)
    with torch.no_grad():
        together = model(clips)[0][0]
        alone = torch.cat([model(clip[None])[0][0] for clip in clips])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_uint8_frames_are_unit_floats():
    model = network().eval()
    with torch.no_grad():
        torch.testing.assert_close(model(frames())[0][0], model(frames() / 255)[0][0])


def test_the_inputs_mean_and_deviation():
    plain, ava = network().eval(), network(input_mean=0.45, input_std=0.225).eval()
    clip = torch.rand(1, 8, 3, *SIZE)
    with torch.no_grad():
        torch.testing.assert_close(ava(clip)[0][0], plain((clip - 0.45) / 0.225)[0][0])
    with pytest.raises(UserError, match="input_std above 0"):
        network(input_std=0.0)


def test_the_2d_branch_sees_the_last_frame():
    model = network().eval()
    clips = frames(1)
    seen = []
    model.backbone_2d.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    with torch.no_grad():
        model(clips)
    torch.testing.assert_close(seen[0], clips[:, -1] / 255)


@pytest.mark.parametrize("length", [8, 16, 32])
@pytest.mark.parametrize("size", [(64, 64), (32, 128), (96, 64)])
def test_lengths_and_rectangles(length, size):
    model = network(clip_length=length).eval()
    clip = torch.rand(1, length, 3, *size)
    with torch.no_grad():
        maps, _ = model(clip)
        found = model.decode(maps)
    count = 3 * (size[0] // 32) * (size[1] // 32)
    assert found.boxes.shape == (1, count, 4) and found.scores.shape == (1, count, NUM_CLASSES)


@pytest.mark.parametrize("stride", [32, 16, 8])
def test_decode_is_the_papers(stride):
    """Of one cell by hand; boxes run over anchors, rows and columns."""
    model = network(stride=stride)
    level = torch.zeros(1, 3, 5 + NUM_CLASSES, 2, 3)
    level[0, 1, :, 1, 2] = torch.tensor([0.4, -0.3, 0.2, -0.1, 1.5, 0.0, 1.0, 2.0])
    found = model.decode([level])
    row = 1 * 6 + 1 * 3 + 2
    sigmoid = lambda v: 1 / (1 + math.exp(-v))  # noqa: E731
    x, y = (2 + sigmoid(0.4)) * stride, (1 + sigmoid(-0.3)) * stride
    w, h = 30 * math.exp(0.2), 24 * math.exp(-0.1)
    expected = [x - w / 2, y - h / 2, x + w / 2, y + h / 2]
    np.testing.assert_allclose(found.boxes[0, row].numpy(), expected, rtol=1e-5)
    assert float(found.objectness[0, row]) == pytest.approx(sigmoid(1.5))
    share = np.exp([0, 1, 2]) / np.exp([0, 1, 2]).sum()
    np.testing.assert_allclose(found.scores[0, row].numpy(), sigmoid(1.5) * share, rtol=1e-5)


def test_the_last_classes_have_a_sigmoid_each():
    model = network(multi_label_classes=2)
    level = torch.randn(1, 3, 5 + NUM_CLASSES, 2, 3)
    found = model.decode([level])
    classes = found.scores[0, 0] / found.objectness[0, 0]
    assert float(classes[0]) == pytest.approx(1.0)  # one class alone in the softmax
    torch.testing.assert_close(classes[1:], level[0, 0, 6:, 0, 0].sigmoid())


def test_more_sigmoids_than_classes():
    with pytest.raises(UserError, match="expected 0 to 3 multi_label_classes, found 4"):
        network(multi_label_classes=4)


def test_a_length_that_a_backbone_cannot_take():
    message = r"ShuffleNet3d: expected clips of 16, 32, 48, \.\. frames, found 8"
    with pytest.raises(UserError, match=message):
        network("shufflenet_2x", clip_length=8)
    with pytest.raises(UserError, match=message):
        network("shufflenet_2x", clip_length=16)(frames(steps=8))


def test_a_size_that_does_not_divide():
    with pytest.raises(UserError, match=r"divisible by 32, found \(60, 100\); use \(64, 96\)"):
        network()(torch.rand(1, 8, 3, 60, 100))


def test_anchors_of_other_levels():
    two = Anchors((np.ones((2, 2)), np.ones((2, 2)) * 9), (16, 32), SIZE)
    with pytest.raises(UserError, match=r"of stride 8, 16 or 32, found strides \(16, 32\)"):
        YOWO(NUM_CLASSES, two)


def test_a_width_that_torchvision_does_not_have():
    with pytest.raises(UserError, match=r"r3d_18: torchvision's network has one width"):
        network("r3d_18")


@pytest.mark.parametrize("stride", [32, 16, 8])
def test_an_encoded_box_is_decoded_again(stride):
    """What the loss asks of the map is what decode reads from it."""
    from stadet.yowo.loss import RegionLoss

    model = network(stride=stride)
    truth = targets([(0, (20.0, 10.0, 55.0, 40.0), [2])], 1)
    grid = (64 // stride, 96 // stride)
    level = torch.zeros(1, 3, 5 + NUM_CLASSES, *grid, requires_grad=True)
    loss = RegionLoss(anchors(stride))
    optimiser = torch.optim.Adam([level], lr=0.1)
    for _ in range(300):
        optimiser.zero_grad()
        sum(loss([level], truth).values()).backward()
        optimiser.step()
    found = model.decode([level.detach()])
    best = int(found.objectness[0].argmax())
    torch.testing.assert_close(found.boxes[0, best], truth.boxes[0], rtol=0, atol=0.5)
    assert int(found.scores[0, best].argmax()) == 2
