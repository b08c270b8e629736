import numpy as np
import pytest
import torch

from stadet.anchors.anchors import Anchors
from stadet.anchors.presets import preset
from stadet.detect.yolo.darknet53 import count_parameters
from stadet.detect.yolo.head import OBJECTNESS_PRIOR, decode_maps
from stadet.detect.yolo.yolov3 import YOLOv3
from stadet.detect.yolo.yolov3_tiny import YOLOv3Tiny
from stadet.engine.errors import UserError


def anchors_for(*strides, per_level=3):
    levels = tuple(np.outer(np.arange(1, per_level + 1), (1.0, 1.5)) * s for s in strides)
    return Anchors(levels, strides, (128, 128))


def small(strides=(8, 16, 32), num_classes=4, **options):
    return YOLOv3(num_classes, anchors_for(*strides), width=0.125, depth=0.1, **options)


def test_published_parameter_counts():
    assert count_parameters(YOLOv3(80, preset("yolov3-coco"))) == 61_949_149
    assert count_parameters(YOLOv3Tiny(80, preset("yolov3-tiny-coco"))) == 8_852_366


@pytest.mark.parametrize("strides", [(8, 16, 32), (4, 8, 16, 32), (4, 8), (16,)])
def test_levels_follow_the_anchors(strides):
    model = small(strides)
    images = torch.rand(2, 3, 64, 96)
    backbone = model.forward_backbone(images)
    neck = model.forward_neck(backbone)
    heads = model.forward_head_features(neck)
    maps = model.forward_output(heads)
    for features, channels in [
        (backbone, model.backbone_channels),
        (neck, model.neck_channels),
        (heads, model.head_channels),
    ]:
        assert tuple(f.shape[1] for f in features) == channels
    assert [tuple(m.shape) for m in maps] == [(2, 3, 9, 64 // s, 96 // s) for s in strides]


@pytest.mark.parametrize("body", ["published", "ultralytics"])
def test_every_parameter_receives_a_gradient(body):
    model = small(body=body)
    maps, state = model(torch.rand(1, 2, 3, 64, 64))
    sum(m.square().sum() for m in maps).backward()
    assert state is None
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


def test_tiny_gradients_channels_and_sizes():
    model = YOLOv3Tiny(2, anchors_for(16, 32), width=0.25)
    maps, _ = model(torch.rand(1, 1, 3, 64, 96))
    assert [tuple(m.shape) for m in maps] == [(1, 3, 7, 4, 6), (1, 3, 7, 2, 3)]
    neck = model.forward_features(torch.rand(1, 3, 64, 96))
    assert tuple(f.shape[1] for f in neck) == model.neck_channels
    assert tuple(f.shape[1] for f in model.forward_head_features(neck)) == model.head_channels
    sum(m.square().sum() for m in maps).backward()
    assert all(p.grad is not None for p in model.parameters())


def test_uint8_equals_scaled_floats_and_batched_equals_single():
    model = small().eval()
    frames = torch.randint(0, 256, (2, 3, 3, 64, 32), dtype=torch.uint8)
    with torch.no_grad():
        maps, _ = model(frames)
        floats, _ = model(frames.float() / 255)
        single = [model(frames[b : b + 1, t : t + 1])[0] for b in range(2) for t in range(3)]
    for level, level_map in enumerate(maps):
        torch.testing.assert_close(level_map, floats[level])
        torch.testing.assert_close(level_map, torch.cat([s[level] for s in single]))


def test_wrong_sizes_strides_and_bodies_are_said_plainly():
    with pytest.raises(UserError, match=r"divisible by 32, found \(64, 100\); use \(64, 96\)"):
        small()(torch.rand(1, 1, 3, 64, 100))
    with pytest.raises(UserError, match="run of the strides"):
        small((8, 32))
    with pytest.raises(UserError, match="run of the strides"):
        small((2, 4))
    with pytest.raises(UserError, match="strides \\(16, 32\\)"):
        YOLOv3Tiny(2, anchors_for(8, 16))
    with pytest.raises(UserError, match="expected body published or ultralytics"):
        small(body="v4")


def test_start_is_quiet():
    predictions = small().eval().decode(small().eval()(torch.rand(1, 1, 3, 64, 64))[0])
    assert abs(predictions.objectness.mean().item() - OBJECTNESS_PRIOR) < 0.005


def test_decode_against_a_loop():
    torch.manual_seed(0)
    anchors = anchors_for(8, 16, per_level=2)
    maps = [torch.randn(2, 2, 5 + 3, 4, 6), torch.randn(2, 2, 5 + 3, 2, 3)]
    tensors = [torch.tensor(level, dtype=torch.float32) for level in anchors.levels]
    predictions = decode_maps(maps, tensors, anchors.strides)
    sigmoid = lambda v: 1 / (1 + np.exp(-v))  # noqa: E731
    for n in range(2):
        k = 0
        for level_map, sizes, stride in zip(maps, anchors.levels, anchors.strides, strict=True):
            values = level_map[n].double().numpy()
            for a in range(2):
                for i in range(values.shape[2]):
                    for j in range(values.shape[3]):
                        tx, ty, tw, th, objectness, *classes = values[a, :, i, j]
                        x, y = (sigmoid(tx) + j) * stride, (sigmoid(ty) + i) * stride
                        w, h = sizes[a] * np.exp([tw, th])
                        box = [x - w / 2, y - h / 2, x + w / 2, y + h / 2]
                        np.testing.assert_allclose(predictions.boxes[n, k], box, rtol=1e-4)
                        score = sigmoid(objectness) * sigmoid(np.array(classes))
                        np.testing.assert_allclose(predictions.scores[n, k], score, rtol=1e-4)
                        k += 1
        assert k == predictions.boxes.shape[1]


def test_decode_survives_wild_values():
    level_map = torch.full((1, 1, 6, 1, 1), 1e4)
    predictions = decode_maps([level_map], [torch.ones(1, 2)], [8])
    assert torch.isfinite(predictions.boxes).all()


def test_bfloat16_and_channels_last():
    model = small().eval().to(memory_format=torch.channels_last)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        maps, _ = model(torch.rand(1, 1, 3, 64, 64))
    assert maps[0].dtype == torch.bfloat16
    assert model.decode(maps).boxes.dtype == torch.float32
