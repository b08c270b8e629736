import pytest
import yaml

from stadet.anchors.anchors import Anchors
from stadet.engine.checkpoint import load_checkpoint
from stadet.tools.cli import main
from stadet.tools.training.data import fixed_anchors
from stadet.tools.training.inherit import load_train_config
from tests.tools.small_checkpoints import save_small_checkpoint


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return save_small_checkpoint(tmp_path_factory.mktemp("weights") / "best.pt", "yolo")


@pytest.mark.parametrize("model", ["recurrent-yolo", "stacked-yolo"])
def test_a_model_around_a_detector_takes_what_its_checkpoint_knows(weights, model, caplog):
    config = load_train_config(None, [f"model={model}", f"yolo.weights={weights}"])
    known = load_checkpoint(weights)["config"]
    assert list(config.data.size) == list(known["data"]["size"])
    assert config.data.resize == known["data"]["resize"]
    for key in ("network", "width", "depth", "body", "strides"):  # the file's own, unchecked
        assert getattr(config.yolo, key) == known["yolo"][key]
    assert f"taken from {weights}: data.size=" in caplog.text
    wanted = Anchors.from_dict(load_checkpoint(weights)["anchors"])
    found = fixed_anchors(config.yolo.anchors, tuple(config.data.size), wanted.strides)
    assert found.to_dict() == wanted.to_dict()


def test_what_is_given_stays(weights, tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump({"model": "recurrent-yolo", "yolo": {"depth": 0.7}}))
    given = [f"yolo.weights={weights}", "data.size=[32, 64]", "yolo.anchors=yolov3-coco"]
    config = load_train_config(file, given)
    assert (list(config.data.size), config.yolo.depth) == ([32, 64], 0.7)
    assert config.yolo.anchors == "yolov3-coco"
    assert config.yolo.width == load_checkpoint(weights)["config"]["yolo"]["width"]


def test_a_frame_detector_takes_nothing_from_its_starting_weights(weights):
    config = load_train_config(None, [f"yolo.weights={weights}"])
    assert config.yolo.width == 1.0 and config.yolo.anchors == "kmeans"


def test_printed_configurations_hold_what_was_taken(weights, capsys):
    settings = ["model=recurrent-yolo", f"yolo.weights={weights}"]
    assert main(["train", *settings, "--print-config"]) == 0
    printed = yaml.safe_load(capsys.readouterr().out)
    assert printed["yolo"]["width"] == load_checkpoint(weights)["config"]["yolo"]["width"]
