import re

import pytest
import torch

from stadet.anchors.presets import YOWO_UCF24
from stadet.tools.cli import main
from stadet.tools.inference.detectors import open_detector
from stadet.tools.training.config import TrainConfig, YowoConfig
from tests.yowo.tiny import SIZE, frames

CONFIG = """\
model: yowo
data: {size: [64, 96]}
yowo: {backbone: resnet18, width: 0.0625, clip_length: 8, anchors: yowo-ucf24}
"""


@pytest.fixture
def public(tmp_path):
    """(folder with a configuration and a checkpoint of 24 classes, the network that made it)."""
    torch.manual_seed(3)
    config = TrainConfig(model="yowo", yowo=YowoConfig("resnet18", 0.0625, clip_length=8))
    network = config.recipe.build(24, YOWO_UCF24.scaled_to(SIZE)).eval()
    state = {f"module.{name}": tensor for name, tensor in network.state_dict().items()}
    torch.save({"epoch": 5, "state_dict": state, "score": 0.8}, tmp_path / "public.pth")
    (tmp_path / "config.yaml").write_text(CONFIG)
    return tmp_path, network


def imported(folder, *more, names="ucf24", weights="public.pth"):
    setting = f"yowo.weights={folder / weights}"
    target = ["--names", str(names), "--out", str(folder / "ours.pt")]
    return main(["import-weights", str(folder / "config.yaml"), setting, *more, *target])


def test_a_public_checkpoint_becomes_one_of_ours(public, capsys):
    folder, network = public
    assert imported(folder) == 0
    assert "yowo of 24 classes" in capsys.readouterr().out
    opened = open_detector(folder / "ours.pt")
    assert opened.names[:2] == ("Basketball", "BasketballDunk") and opened.threshold is None
    with torch.no_grad():
        torch.testing.assert_close(opened.model(frames())[0][0], network(frames())[0][0])


@pytest.mark.parametrize(
    ("more", "names", "message"),
    [
        ([], "jhmdb21", "weights of 21 classes and 5 anchors for the whole network, found none"),
        ([], "nobody.txt", "expected ucf24, jhmdb21 or a text file, found 'nobody.txt'"),
        (["yowo.anchors=kmeans"], "ucf24", "anchors 'kmeans': expected a preset"),
        (["yowo.stride=16"], "ucf24", "expected weights of 24 classes .* found none for fine_grid"),
        (["yowo.backbone=resnet50"], "ucf24", "check backbone and width"),
        (["model=recurrent-yolo"], "ucf24", "expected yolo or yowo"),
    ],
)
def test_mistakes(public, capsys, more, names, message):
    folder, _ = public
    assert imported(folder, *more, names=names) == 2
    assert re.search(message, capsys.readouterr().err)
    assert not (folder / "ours.pt").exists()


def test_names_from_a_file(public, capsys):
    folder, _ = public
    (folder / "names.txt").write_text("\n".join(f"class {n}" for n in range(24)) + "\n")
    assert imported(folder, names=folder / "names.txt") == 0
    assert open_detector(folder / "ours.pt").names[23] == "class 23"
    (folder / "ours.pt").unlink()  # else it is refused for being there
    (folder / "names.txt").write_text("a\na\n")
    assert imported(folder, names=folder / "names.txt") == 2
    assert "one class a line, each once" in capsys.readouterr().err
