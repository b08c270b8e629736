import pytest
import torch

from datasets.splits import Split
from engine.checkpoint import save_checkpoint
from engine.errors import UserError
from tests.yowo.tiny import anchors, network
from tools.detectors import checkpoint_description
from tools.starting_weights import load_yowo_weights
from tools.training_config import TrainConfig, YowoConfig

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


def test_nothing_asked_for():
    assert load_yowo_weights(network(), YowoConfig(), SPLIT) == []
