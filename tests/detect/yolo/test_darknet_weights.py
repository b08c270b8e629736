"""The loader against a literal construction: the published configurations as lists, a file written
in Darknet's documented order, and an interpreter of the lists in plain functions."""

import copy
import struct

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from stadet.anchors.presets import preset
from stadet.detect.yolo.darknet53 import Darknet53
from stadet.detect.yolo.darknet_weights import (
    load_darknet_weights,
    read_darknet_file,
    save_darknet_weights,
)
from stadet.detect.yolo.yolov3 import YOLOv3
from stadet.detect.yolo.yolov3_tiny import YOLOv3Tiny
from stadet.engine.errors import UserError

ANCHORS, TINY_ANCHORS = preset("yolov3-coco"), preset("yolov3-tiny-coco")
CLASSES = 3
OUT = 3 * (5 + CLASSES)


def conv(filters, size, stride=1, linear=False):
    return ("conv", filters, size, stride, linear)


def yolov3_cfg(scale):
    """yolov3.cfg after [net], channels divided by `scale`."""
    cfg = [conv(32 // scale, 3)]
    for filters, blocks in [(64, 1), (128, 2), (256, 8), (512, 8), (1024, 4)]:
        filters //= scale
        cfg.append(conv(filters, 3, 2))
        for _ in range(blocks):
            cfg += [conv(filters // 2, 1), conv(filters, 3), ("shortcut", -3)]
    for filters, skip in [(512, None), (256, 61), (128, 36)]:
        filters //= scale
        if skip is not None:
            cfg += [("route", -4), conv(filters, 1), ("upsample",), ("route", -1, skip)]
        cfg += [conv(filters, 1), conv(2 * filters, 3)] * 3 + [conv(OUT, 1, linear=True), ("yolo",)]
    return cfg


def tiny_cfg(scale):
    """yolov3-tiny.cfg after [net], channels divided by `scale`."""
    cfg = []
    for filters in (16, 32, 64, 128, 256):
        cfg += [conv(filters // scale, 3), ("maxpool", 2)]
    cfg += [conv(512 // scale, 3), ("maxpool", 1), conv(1024 // scale, 3), conv(256 // scale, 1)]
    cfg += [conv(512 // scale, 3), conv(OUT, 1, linear=True), ("yolo",)]
    cfg += [("route", -4), conv(128 // scale, 1), ("upsample",), ("route", -1, 8)]
    return [*cfg, conv(256 // scale, 3), conv(OUT, 1, linear=True), ("yolo",)]


def write_and_run(cfg, path, image):
    """Random numbers for `cfg` written to `path`; the maps it computes, coarsest first."""
    rng = np.random.default_rng(0)
    outputs, maps, x = [], [], image
    with open(path, "wb") as stream:
        stream.write(struct.pack("<iiiq", 0, 2, 0, 32013312))
        for kind, *options in cfg:
            if kind == "conv":
                filters, size, stride, linear = options
                kernel = rng.normal(
                    0, (2 / (x.shape[1] * size**2)) ** 0.5, (filters, x.shape[1], size, size)
                )
                bias = rng.normal(0, 0.1, filters)
                if linear:
                    numbers = [bias, kernel]
                else:
                    gamma, mean = rng.uniform(0.5, 1.2, filters), rng.normal(0, 0.1, filters)
                    var = rng.uniform(0.5, 2, filters)
                    numbers = [bias, gamma, mean, var, kernel]
                tensors = [torch.tensor(n, dtype=torch.float32) for n in numbers]
                for tensor in tensors:
                    stream.write(tensor.numpy().astype("<f4").tobytes())
                if linear:
                    x = F.conv2d(x, tensors[1], tensors[0], stride, size // 2)
                else:
                    beta, gamma, mean, var, weight = (
                        t.view(-1, 1, 1) if t.ndim == 1 else t for t in tensors
                    )
                    x = F.conv2d(x, weight, None, stride, size // 2)
                    x = F.leaky_relu((x - mean) / (var + 1e-5).sqrt() * gamma + beta, 0.1)
            elif kind == "shortcut":
                x = x + outputs[options[0]]
            elif kind == "route":
                x = torch.cat([outputs[i] for i in options], 1)
            elif kind == "upsample":
                x = x.repeat_interleave(2, -1).repeat_interleave(2, -2)
            elif kind == "maxpool":
                padded = F.pad(x, (0, 1, 0, 1), value=-1e9) if options[0] == 1 else x
                x = F.max_pool2d(padded, 2, options[0])
            elif kind == "yolo":
                maps.append(x)
            outputs.append(x)
    return maps


@pytest.mark.parametrize(
    ("cfg", "build"),
    [
        (yolov3_cfg(4), lambda: YOLOv3(CLASSES, ANCHORS, width=0.25)),
        (tiny_cfg(2), lambda: YOLOv3Tiny(CLASSES, TINY_ANCHORS, width=0.5)),
    ],
    ids=["yolov3", "tiny"],
)
def test_a_hand_written_file_gives_the_function_it_stands_for(tmp_path, cfg, build):
    image = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    path = tmp_path / "hand.weights"
    expected = write_and_run(cfg, path, image)
    model = build().eval()
    report = load_darknet_weights(model, path)
    assert not report.missing and not report.unused
    assert len(report.used) == sum(kind == "conv" for kind, *_ in cfg)
    with torch.no_grad():
        maps, _ = model(image[:, None])
    for found, level_map in zip(reversed(maps), expected, strict=True):
        torch.testing.assert_close(found.flatten(1, 2), level_map, rtol=1e-3, atol=1e-4)


def shuffled(model):
    """A copy of `model` in which every number differs."""
    other = copy.deepcopy(model)
    with torch.no_grad():
        for tensor in other.state_dict().values():
            tensor.add_(torch.rand_like(tensor.float()).to(tensor.dtype) + 1)
    return other


def parts_equal(a, b, prefix=""):
    other = b.state_dict()
    return {
        name: torch.equal(tensor, other[name])
        for name, tensor in a.state_dict().items()
        if name.startswith(prefix) and not name.endswith("num_batches_tracked")
    }


@pytest.mark.parametrize(
    "model",
    [
        YOLOv3(CLASSES, ANCHORS, width=0.125),
        YOLOv3Tiny(CLASSES, TINY_ANCHORS, width=0.25),
        Darknet53(width=0.125),
    ],
    ids=["yolov3", "tiny", "backbone"],
)
def test_round_trip(tmp_path, model):
    save_darknet_weights(model, tmp_path / "a.weights", images_seen=2**40)
    other = shuffled(model)
    assert not any(parts_equal(model, other).values())
    report = load_darknet_weights(other, tmp_path / "a.weights")
    assert all(parts_equal(model, other).values())
    assert str(report) == f"a.weights: used {len(report.used)}, missing 0, unused 0"
    assert read_darknet_file(tmp_path / "a.weights")[1] == 2**40


def test_old_headers_count_images_in_32_bits(tmp_path):
    model = Darknet53(width=0.125)
    save_darknet_weights(model, tmp_path / "new.weights")
    numbers = (tmp_path / "new.weights").read_bytes()[20:]
    (tmp_path / "old.weights").write_bytes(struct.pack("<iiii", 0, 1, 0, 7) + numbers)
    other = shuffled(model)
    load_darknet_weights(other, tmp_path / "old.weights")
    assert all(parts_equal(model, other).values())
    assert read_darknet_file(tmp_path / "old.weights")[1] == 7


def test_backbone_file_fills_the_backbone(tmp_path):
    source = shuffled(YOLOv3(CLASSES, ANCHORS, width=0.125))
    save_darknet_weights(source.backbone, tmp_path / "darknet53.conv.74")
    model = YOLOv3(7, ANCHORS, width=0.125)
    report = load_darknet_weights(model, tmp_path / "darknet53.conv.74")
    assert len(report.used) == 52 and len(report.missing) == 75 - 52 and not report.unused
    assert all(parts_equal(source.backbone, model.backbone).values())


def test_other_classes_leave_only_the_outputs(tmp_path):
    source = shuffled(YOLOv3Tiny(80, TINY_ANCHORS, width=0.25))
    save_darknet_weights(source, tmp_path / "coco.weights")
    model = YOLOv3Tiny(2, TINY_ANCHORS, width=0.25)
    before = model.scales[1].output.weight.clone()
    report = load_darknet_weights(model, tmp_path / "coco.weights")
    assert report.missing == ("scales.0.output", "scales.1.output")
    assert [name.split(",")[0] for name in report.unused] == list(report.missing)
    assert torch.equal(model.scales[1].output.weight, before)
    assert all(parts_equal(source.scales[1].head, model.scales[1].head).values())


def test_published_sizes():
    """Bytes of the published yolov3.weights, darknet53.conv.74 and yolov3-tiny.weights."""
    count = lambda m: sum(  # noqa: E731
        t.numel() for n, t in m.state_dict().items() if not n.endswith("num_batches_tracked")
    )
    model = YOLOv3(80, ANCHORS)
    assert 20 + 4 * count(model) == 248_007_048
    assert 20 + 4 * count(model.backbone) == 162_482_580
    assert 20 + 4 * count(YOLOv3Tiny(80, TINY_ANCHORS)) == 35_434_956


def test_broken_files(tmp_path):
    model = YOLOv3Tiny(CLASSES, TINY_ANCHORS, width=0.25)
    path = tmp_path / "a.weights"
    save_darknet_weights(model, path)
    content = path.read_bytes()
    expected = f"{(len(content) - 20) // 4:,}"
    path.write_bytes(content[:-400])
    found = f"{(len(content) - 420) // 4:,}"
    with pytest.raises(UserError, match=f"expected {expected} or .* found {found}; .*truncated"):
        load_darknet_weights(model, path)
    path.write_bytes(content[:-3])
    with pytest.raises(UserError, match="whole numbers of 4"):
        load_darknet_weights(model, path)
    for short in (b"", content[:10], content[:18]):
        path.write_bytes(short)
        with pytest.raises(UserError, match=r"header|empty file"):
            load_darknet_weights(model, path)
    path.write_bytes(content[:20])
    with pytest.raises(UserError, match="found 0;"):
        load_darknet_weights(model, path)
    with pytest.raises(UserError, match="No such file"):
        load_darknet_weights(model, tmp_path / "none.weights")


def test_the_classifier_darknet53_gives_the_backbone(tmp_path):
    """The published darknet53.weights: the backbone, then a 1x1 convolution to 1000 classes."""
    source, model = YOLOv3(CLASSES, ANCHORS, width=0.125), YOLOv3(CLASSES, ANCHORS, width=0.125)
    save_darknet_weights(source.backbone, tmp_path / "backbone.weights")
    content = (tmp_path / "backbone.weights").read_bytes()
    (tmp_path / "darknet53.weights").write_bytes(content + bytes(4 * 1000 * 1025))
    report = load_darknet_weights(model, tmp_path / "darknet53.weights")
    assert len(report.used) == 52 and report.unused == ("the classifier of ImageNet",)
    assert all(parts_equal(source.backbone, model.backbone).values())
