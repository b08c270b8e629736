"""`yolo.network: backbone` from a configuration to a checkpoint that opens by itself."""

import json

import pytest
import torch
from torchvision import models

from stadet.engine.checkpoint import load_checkpoint
from stadet.engine.errors import UserError
from stadet.tools.cli import main
from stadet.tools.inference.detectors import open_detector
from stadet.tools.training.config import TrainConfig, YoloConfig, YowoConfig
from stadet.tools.training.starting_weights import load_starting_weights
from tests.tools.small_checkpoints import save_small_checkpoint

BACKBONE = ["yolo.network=backbone", "yolo.backbone=mobilenet_v3_small", "yolo.width=0.1"]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "network.pth"
    torch.manual_seed(3)
    torch.save(models.mobilenet_v3_small(weights=None).state_dict(), path)
    return path


def test_a_run_from_a_file_and_a_memory_on_its_checkpoint_alone(footage, weights, tmp_path, capsys):
    local = tmp_path / "local.pth"
    local.write_bytes(weights.read_bytes())
    frozen = [f"yolo.backbone_weights={local}", "yolo.freeze=[backbone]"]
    assert footage.train(tmp_path / "frame", *BACKBONE, *frozen) == 0
    said = "mobilenet_v3_small from local.pth: used "
    assert f"starting weights: {said}" in capsys.readouterr().out
    (kept,) = json.loads((tmp_path / "frame/environment.json").read_text())["starting_weights"]
    assert kept.startswith(said)
    local.unlink()  # checkpoints need no file beside them
    found = open_detector(tmp_path / "frame/best.pt")
    public = torch.load(weights, weights_only=True)
    for key, tensor in found.model.backbone.network.state_dict().items():
        assert torch.equal(tensor, public[key]), key
    around = ["model=recurrent-yolo", f"yolo.weights={tmp_path / 'frame/best.pt'}"]
    arguments = [
        one for one in footage.settings(tmp_path / "memory", *around) if "yolo.width" not in one
    ]
    assert main(["train", *arguments]) == 0
    config = load_checkpoint(tmp_path / "memory/best.pt")["config"]["yolo"]
    assert (config["network"], config["backbone"]) == ("backbone", "mobilenet_v3_small")
    assert config["backbone_weights"] is None
    open_detector(tmp_path / "memory/best.pt")


@pytest.mark.parametrize("kind", ["yolo backbone", "recurrent-yolo backbone"])
@torch.no_grad()
def test_a_checkpoint_answers_as_the_network_it_was_saved_from(kind, tmp_path):
    path = save_small_checkpoint(tmp_path / "best.pt", kind)
    content, found = load_checkpoint(path)["model"], open_detector(path).model
    for key, tensor in found.state_dict().items():
        assert torch.equal(tensor, content[key]), key
    frames = torch.randint(0, 256, (1, 3, 3, 32, 64), dtype=torch.uint8)
    maps, _ = found(frames)
    floats, _ = found(frames / 255)
    for ours, theirs in zip(maps, floats, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"network": "backbone"}, "yolo.backbone: expected the name of an image network"),
        ({"backbone": "resnet18"}, "yolo.backbone: expected yolo.network=backbone beside it"),
        ({"backbone_weights": "DEFAULT"}, "yolo.backbone_weights: expected yolo.network=backbone"),
        ({"network": "backbone", "backbone": "swin_t"}, "its stages have 32"),
        ({"network": "backbone", "backbone": "resnet81"}, "no torchvision image network"),
        (
            {"network": "backbone", "backbone": "resnet18", "backbone_weights": "DEFAULTS"},
            "neither a file nor one of torchvision's for resnet18 .*DEFAULT",
        ),
    ],
)
def test_configurations_that_no_data_can_make_work(settings, message):
    with pytest.raises(UserError, match=message) as error:
        TrainConfig(yolo=YoloConfig(**settings)).recipe.check()
    assert "\n" not in str(error.value)


def test_yowo_from_a_file_of_its_2d_branch(footage, weights, tmp_path, capsys):
    yowo = ["model=yowo", "yowo.backbone=resnet18", "yowo.width=0.0625", "yowo.clip_length=8"]
    yowo += ["yowo.backbone_2d=mobilenet_v3_small", "yowo.freeze=[2d]", "yowo.stride=16"]
    assert footage.train(tmp_path / "run", *yowo, f"yowo.weights_2d={weights}") == 0
    assert f"mobilenet_v3_small from {weights.name}: used " in capsys.readouterr().out
    public = torch.load(weights, weights_only=True)
    found = open_detector(tmp_path / "run/best.pt").model
    for key, tensor in found.backbone_2d.backbone.network.state_dict().items():
        assert torch.equal(tensor, public[key]), key
    other = [*yowo[:4], f"yowo.weights={tmp_path / 'run/best.pt'}"]
    assert footage.train(tmp_path / "other", *other) != 0
    assert "found one of mobilenet_v3_small; set yowo.backbone_2d to it" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"backbone_2d": "resnet81"}, "no torchvision image network"),
        ({"backbone_2d": "swin_t", "stride": 8}, "its stages have 32"),
        ({"backbone_2d": "resnet18", "weights_2d": "darknet.weights"}, "neither a file nor one of"),
    ],
)
def test_2d_branches_that_will_not_do(settings, message):
    with pytest.raises(UserError, match=message) as error:
        TrainConfig(model="yowo", yowo=YowoConfig(**settings)).recipe.check()
    assert "\n" not in str(error.value)


def test_weights_of_a_backbone_are_no_checkpoint(weights, tmp_path):
    model = open_detector(save_small_checkpoint(tmp_path / "best.pt", "yolo backbone")).model
    for name in ("a.pth", "a.pt"):
        (tmp_path / name).write_bytes(weights.read_bytes())
        with pytest.raises(UserError, match=r"are for yolo\.backbone_weights"):
            load_starting_weights(model, tmp_path / name, None)
