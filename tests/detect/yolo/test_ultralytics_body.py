import os

import pytest
import torch

from stadet.anchors.anchors import Anchors
from stadet.anchors.presets import preset
from stadet.detect.yolo.ultralytics_body import (
    keep_offline,
    load_ultralytics_body,
    read_ultralytics_checkpoint,
)
from stadet.detect.yolo.yolov3 import YOLOv3
from stadet.engine.errors import UserError

ANCHORS = preset("yolov3-coco")


WIDTH = 0.25  # their width multiplier gives the same channels as ours


def make_peer(width):
    """A randomly initialised ultralytics yolov3 whose batch norms are not trivial."""
    keep_offline()
    from ultralytics.nn.tasks import DetectionModel, yaml_model_load

    torch.manual_seed(0)
    config = {**yaml_model_load("yolov3.yaml"), "width_multiple": width}
    model = DetectionModel(config, nc=3, verbose=False).eval()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_var, 0.5, 2)
            torch.nn.init.normal_(module.running_mean, std=0.1)
    return model


def ours(num_classes=2, anchors=ANCHORS, width=WIDTH):
    return YOLOv3(num_classes, anchors, width=width, body="ultralytics").eval()


@pytest.fixture(scope="module")
def peer():
    return make_peer(WIDTH)


def peer_features(peer, images):
    """The inputs of their Detect head, finest first."""
    outputs = []
    x = images
    for layer in peer.model[:-1]:
        sources = [layer.f] if isinstance(layer.f, int) else layer.f
        inputs = [x if f == -1 else outputs[f] for f in sources]
        x = layer(inputs[0] if isinstance(layer.f, int) else inputs)
        outputs.append(x)
    return [outputs[f] for f in peer.model[-1].f]


@pytest.mark.parametrize("width", [WIDTH, pytest.param(1.0, marks=pytest.mark.slow)])
def test_the_body_is_exactly_theirs(width):
    peer, model = make_peer(width), ours(num_classes=5, width=width)
    report = load_ultralytics_body(model, peer.state_dict())
    assert len(report.used) == 75 - 3
    assert report.missing == tuple(f"scales.{i}.output" for i in range(3))
    assert {key.split(".")[1] for key in report.unused} == {"28"}  # their Detect head
    images = torch.rand(2, 3, 64, 96)
    with torch.no_grad():
        found = model.forward_head_features(model.forward_features(images))
        expected = peer_features(peer, images)
    assert tuple(f.shape[1] for f in found) == model.head_channels
    assert max((a - b).abs().max().item() for a, b in zip(found, expected, strict=True)) == 0.0


def test_from_their_checkpoint_file(peer, tmp_path):
    path = tmp_path / "yolov3u.pt"
    torch.save({"model": peer, "ema": None, "epoch": -1, "train_args": {"imgsz": 64}}, path)
    weights = read_ultralytics_checkpoint(path)
    assert all(torch.equal(weights[key], tensor) for key, tensor in peer.state_dict().items())
    report = load_ultralytics_body(ours(), path)
    assert str(report).startswith("yolov3u.pt: used 72, missing 3 (scales.0.output,")


def test_a_stride_4_level_keeps_its_start(peer):
    finer = Anchors(((ANCHORS.levels[0] / 2), *ANCHORS.levels), (4, 8, 16, 32), (416, 416))
    report = load_ultralytics_body(ours(anchors=finer), peer.state_dict())
    assert len(report.used) == 72
    assert "scales.3.lateral" in report.missing and "scales.3.head" in report.missing


def test_another_body_is_refused(peer):
    published = YOLOv3(2, ANCHORS, width=WIDTH)
    with pytest.raises(UserError, match=r"model.2.cv1.conv.weight of shape \(8, 16, 1, 1\)"):
        load_ultralytics_body(published, peer.state_dict())
    with pytest.raises(UserError, match=r"model.0.conv.weight of shape \(16, 3, 3, 3\)"):
        load_ultralytics_body(ours(width=0.5), peer.state_dict())
    with pytest.raises(UserError, match="found nothing"):
        load_ultralytics_body(ours(), {})


class Malicious:
    def __reduce__(self):
        return os.system, ("touch /nonexistent/marker",)


def test_bad_files_are_refused_unopened(tmp_path):
    path = tmp_path / "a.pt"
    torch.save({"model": Malicious()}, path)
    with pytest.raises(UserError, match=r"network modules only, found posix.system"):
        read_ultralytics_checkpoint(path)
    torch.save({"model": 3}, path)
    with pytest.raises(UserError, match="expected an ultralytics checkpoint, found none"):
        read_ultralytics_checkpoint(path)
    for content in (b"", b"not a checkpoint"):
        path.write_bytes(content)
        expected = "expected an ultralytics checkpoint|found an empty file"
        with pytest.raises(UserError, match=expected):
            read_ultralytics_checkpoint(path)
    with pytest.raises(UserError, match="No such file"):
        read_ultralytics_checkpoint(tmp_path / "none.pt")
