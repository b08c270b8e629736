"""`model: ultralytics` and its memory, from a configuration or a file of `yolo train`."""

import pytest
import torch

from stadet.engine.errors import UserError
from stadet.tools.cli import main
from stadet.tools.inference.detectors import open_detector
from stadet.tools.training.config import RecurrentConfig, TrainConfig, UltralyticsConfig
from tests.detect.ultralytics_models.test_checkpoint import build, save


def test_a_file_of_yolo_train_gets_a_memory_in_one_command(footage, tmp_path, capsys):
    theirs = save(tmp_path / "theirs.pt", build("yolo11n"), size=96)
    start = [f"data.dataset={footage.dataset}", f"output={tmp_path / 'run'}", "data.workers=0"]
    start += [f"ultralytics.weights={theirs}", "loop.max_steps=2", "loop.epochs=1"]
    assert main(["train", "ultralytics_recurrent", *start]) == 0
    told = capsys.readouterr()
    assert "ultralytics.network=yolo11n" in told.err and "data.size=[96, 96]" in told.err
    assert "trained by ultralytics on pick up, put back, wipe" in told.out
    found = open_detector(tmp_path / "run/best.pt")
    assert found.config.model == "recurrent-ultralytics" and len(found.names) == 8
    own, public = found.model.state_dict(), torch.load(theirs, weights_only=False)["model"]
    first = next(iter(public.state_dict()))
    (kept,) = [key for key in own if key.endswith(first)]
    assert torch.equal(own[kept], public.state_dict()[first].float())  # frozen


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"network": "yolo11"}, "expected a size with 'yolo11', one of yolo11n"),
        ({"network": "yolo11n-seg"}, "whose head is Segment"),
        ({"network": "yolo111n"}, "expected one of ultralytics' detector configurations"),
        ({"freeze": ["bakbone"]}, r"no part 'bakbone'.*backbone"),
        ({"one_to_one": True}, "expected a network with a one-to-one head"),
    ],
)
def test_networks_that_will_not_do(settings, message):
    config = TrainConfig(model="ultralytics", ultralytics=UltralyticsConfig(**settings))
    with pytest.raises(UserError, match=message) as error:
        config.recipe.check()
    assert "\n" not in str(error.value)


def test_the_memory_lies_before_the_head():
    config = TrainConfig(
        model="recurrent-ultralytics", recurrent=RecurrentConfig(placement="backbone")
    )
    with pytest.raises(UserError, match="expected neck, the features that enter"):
        config.recipe.check()
