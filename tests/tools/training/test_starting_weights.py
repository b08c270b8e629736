import numpy as np
import pytest
import torch

from stadet.anchors.anchors import Anchors
from stadet.datasets.splits.split import Split
from stadet.detect.yolo.darknet_weights import save_darknet_weights
from stadet.detect.yolo.yolov3_tiny import YOLOv3Tiny
from stadet.engine.checkpoint import save_checkpoint
from stadet.engine.errors import UserError
from stadet.tools.inference.detectors import checkpoint_description
from stadet.tools.training.config import TrainConfig, YowoConfig
from stadet.tools.training.recipes.yowo import load_yowo_weights
from stadet.tools.training.starting_weights import (
    load_matching,
    load_starting_weights,
)
from tests.yowo.tiny import anchors, network

SPLIT = Split({})


def our_checkpoint(path, model, backbone):
    config = TrainConfig(model="yowo", yowo=YowoConfig(backbone=backbone))
    description = checkpoint_description(config, ("a", "b", "c"), anchors(), SPLIT.record())
    save_checkpoint(path, {**description, "model": model.state_dict(), "progress": {}})
    return YowoConfig(backbone=backbone, weights=str(path))


def test_a_checkpoint_of_ours(tmp_path):
    source, target = network(seed=1), network(seed=2)
    (report,) = load_yowo_weights(
        target, our_checkpoint(tmp_path / "a.pt", source, "resnet18"), SPLIT
    )
    assert not report.missing
    for name, tensor in source.state_dict().items():
        assert torch.equal(target.state_dict()[name], tensor)


def test_a_checkpoint_of_ours_of_another_backbone(tmp_path):
    config = our_checkpoint(tmp_path / "a.pt", network("resnet50"), "resnet50")
    with pytest.raises(UserError, match="expected a YOWO of resnet18, found one of resnet50"):
        load_yowo_weights(network(), config, SPLIT)


def test_a_public_checkpoint_and_one_of_a_branch(tmp_path):
    source, target = network(seed=1), network(seed=2)
    state = {f"module.{name}": tensor for name, tensor in source.state_dict().items()}
    torch.save({"epoch": 1, "state_dict": state}, tmp_path / "yowo.pth")
    other = network(seed=3)
    torch.save(other.backbone_3d.state_dict(), tmp_path / "kinetics.pth")
    config = YowoConfig(
        weights=str(tmp_path / "yowo.pth"), weights_3d=str(tmp_path / "kinetics.pth")
    )
    reports = load_yowo_weights(target, config, SPLIT)
    assert [report.source for report in reports] == ["yowo.pth", "kinetics.pth"]
    assert torch.equal(target.conv_final.weight, source.conv_final.weight)
    assert torch.equal(target.backbone_3d.conv1.weight, other.backbone_3d.conv1.weight)


def test_a_file_that_is_not_there():
    with pytest.raises(UserError, match=r"weights absent\.pth: no such file"):
        load_yowo_weights(network(), YowoConfig(weights="absent.pth"), SPLIT)


def test_files_in_the_wrong_place_are_named(tmp_path):
    torch.save({"state_dict": network().state_dict()}, tmp_path / "public.pth")
    (tmp_path / "yolo.weights").write_bytes(bytes(range(1, 200)))
    for settings, message in (
        ({"weights": tmp_path}, "expected a file, found a folder"),
        ({"weights_3d": tmp_path}, "expected a file, found a folder"),
        ({"weights_3d": tmp_path / "yolo.weights"}, "Darknet's weights are for yowo.weights_2d"),
        ({"weights_2d": tmp_path / "public.pth"}, "found a torch checkpoint"),
    ):
        config = YowoConfig(**{key: str(path) for key, path in settings.items()})
        with pytest.raises(UserError, match=message) as found:
            load_yowo_weights(network(), config, SPLIT)
        assert "weights_only" not in str(found.value)  # torch's advice to load it unsafely


def test_a_head_of_other_classes_is_said_to_start_anew(tmp_path):
    target, source = network(), network()
    weights = dict(source.state_dict())
    weights["conv_final.weight"] = weights["conv_final.weight"][:-1]
    report = load_matching(target, weights, "ours.pt")
    assert report.missing == ("conv_final.weight",) and "initial weights" in str(report)
    assert "initial weights" not in str(load_matching(target, source.state_dict(), "ours.pt"))


def test_nothing_asked_for():
    assert load_yowo_weights(network(), YowoConfig(), SPLIT) == []


def frame_detector(num_classes=3, width=0.125, seed=0):
    torch.manual_seed(seed)
    levels = tuple(np.array([(8.0, 12.0), (20.0, 24.0)]) * n for n in (1, 2))
    return YOLOv3Tiny(num_classes, Anchors(levels, (16, 32), (64, 96)), width=width)


def saved(path, model, names=("a", "b", "c"), split=SPLIT):
    description = checkpoint_description(TrainConfig(), names, anchors(), split.record())
    save_checkpoint(path, {**description, "model": model.state_dict(), "progress": {}})
    return path


def test_another_number_of_classes_gives_all_but_the_outputs(tmp_path):
    source, target = frame_detector(2, seed=1), frame_detector(3, seed=2)
    before = {name: tensor.clone() for name, tensor in target.state_dict().items()}
    report = load_starting_weights(target, saved(tmp_path / "a.pt", source), SPLIT)
    theirs, ours = source.state_dict(), target.state_dict()
    for name in ours:
        kept = theirs[name].shape != ours[name].shape
        assert torch.equal(ours[name], before[name] if kept else theirs[name]), name
        assert (name in report.missing) == kept
    assert report.missing and len(report.missing) < 10


def test_a_checkpoint_of_another_width(tmp_path):
    path = saved(tmp_path / "a.pt", frame_detector(width=0.25))
    with pytest.raises(UserError, match=r"a\.pt: fit \d+ of the model's \d+ tensors"):
        load_starting_weights(frame_detector(), path, SPLIT)


def test_darknet_weights_and_a_file_of_another_network(tmp_path):
    source, target = frame_detector(seed=1), frame_detector(seed=2)
    save_darknet_weights(source, tmp_path / "a.weights")
    load_starting_weights(target, tmp_path / "a.weights", SPLIT)
    for name, tensor in source.state_dict().items():
        if "num_batches" not in name:
            assert torch.equal(target.state_dict()[name], tensor), name
    with pytest.raises(UserError, match=r"a\.weights"):
        load_starting_weights(frame_detector(width=0.25), tmp_path / "a.weights", SPLIT)


def test_weights_trained_on_what_judges(tmp_path):
    seen = Split({"train": {"kitchen": np.ones(50, bool)}})
    judged = Split({"val": {"kitchen": np.arange(60) >= 40}})
    path = saved(tmp_path / "a.pt", frame_detector(), split=seen)
    with pytest.raises(UserError, match=r"10 frames of this split's val side.*set allow_overlap"):
        load_starting_weights(frame_detector(), path, judged)
    load_starting_weights(frame_detector(), path, judged, allow_overlap=True)
    load_starting_weights(frame_detector(), path, seen)


def test_a_file_of_torch_for_yolov3_tiny_is_refused_in_a_line(tmp_path):
    torch.save({"model.0.conv.weight": torch.zeros(3)}, tmp_path / "yolov8n.pt")
    with pytest.raises(UserError, match="for a YOLOv3Tiny, found a file of torch; ultra"):
        load_starting_weights(frame_detector(), tmp_path / "yolov8n.pt", SPLIT)


def test_a_darknet_file_is_known_by_its_content(tmp_path):
    save_darknet_weights(frame_detector(seed=1), tmp_path / "named.pt")
    assert not load_starting_weights(frame_detector(), tmp_path / "named.pt", SPLIT).missing
