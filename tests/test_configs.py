"""Every file in configs/ resolves, and says on top how it is used."""

from pathlib import Path

import pytest
import yaml

from stadet.configs import find_config
from stadet.datasets.dataset import read_dataset_file
from stadet.engine.config import load_config, read_yaml, to_dict
from stadet.engine.errors import UserError
from stadet.engine.optimise import lr_factor
from stadet.tools.cli import main
from stadet.tools.training.config import TrainConfig

CONFIGS = Path(__file__).resolve().parent.parent / "configs"
TRAINING = sorted(CONFIGS.glob("*.yaml"))
DATA = sorted((CONFIGS / "data").glob("*.yaml"))


def config_class(path):
    """A detector's file names its model, a classifier's has a section of that name."""
    if isinstance(read_yaml(path).get("model", ""), str):
        return TrainConfig
    from stadet.tools.classification.config import ClassifierConfig

    return ClassifierConfig


def header(path):
    lines = path.read_text().splitlines()
    return "\n".join(lines[: next(i for i, line in enumerate(lines) if not line.startswith("#"))])


@pytest.mark.parametrize("path", TRAINING, ids=lambda path: path.name)
def test_training_configurations_resolve(path):
    load_config(config_class(path), path)
    assert "stad " in header(path), "expected a header with the command"


@pytest.mark.parametrize("path", DATA, ids=lambda path: path.name)
def test_data_set_files_resolve(path):
    config = read_dataset_file(path)
    assert config.split.lists and header(path)


def published_rates(name):
    """Learning rate in the middle of each of the 10 epochs, over the first."""
    schedule = load_config(TrainConfig, CONFIGS / name).loop.schedule
    return [lr_factor(schedule, step, 1000) for step in range(50, 1000, 100)]


def test_the_published_schedules():
    """Halved at epochs 2 to 5 (UCF101-24) or 3 to 6 (J-HMDB-21, AVA) of 10, counted from 1."""
    late = [1, 1, 0.5, 0.25, 0.125, 0.0625, 0.0625, 0.0625, 0.0625, 0.0625]
    assert published_rates("yowo_ucf24.yaml") == [*late[1:], 0.0625]
    assert published_rates("yowo_jhmdb21.yaml") == published_rates("yowo_ava.yaml") == late


@pytest.mark.parametrize("name", ["yowo_ucf24.yaml", "yowo_jhmdb21.yaml", "yowo_ava.yaml"])
def test_the_published_batch_and_decay(name):
    config = load_config(TrainConfig, CONFIGS / name)
    assert config.data.batch * config.loop.accumulate == 128
    # an averaged gradient takes the decay of a summed one over the number of batches
    assert config.loop.optimiser.weight_decay * config.loop.accumulate == pytest.approx(5e-4)


@pytest.mark.parametrize(
    "name", ["restaurant_yolov3", "restaurant_yolov3.yaml", "configs/restaurant_yolov3.yaml"]
)
def test_a_configuration_is_found_by_name(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert find_config(name) == CONFIGS / "restaurant_yolov3.yaml"
    assert main(["train", name, "seed=7", "--print-config"]) == 0
    shown = yaml.safe_load(capsys.readouterr().out)
    assert (
        shown["seed"] == 7
        and shown["data"]
        == to_dict(load_config(TrainConfig, CONFIGS / "restaurant_yolov3.yaml"))["data"]
    )


def test_a_file_comes_before_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "handwash").write_text("seed: 3\n")
    assert find_config("handwash") == Path("handwash")


@pytest.mark.parametrize("name", ["restaurant_yolo", "elsewhere/handwash.yaml", "data/ucf24", ""])
def test_what_is_neither_file_nor_name_is_told(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        UserError, match=r"or one of the toolkit's by name.*the names are auto_frame"
    ):
        find_config(name)


def test_an_installation_without_its_configurations_is_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("stadet.configs.FOLDER", tmp_path)
    assert main(["train", "restaurant_yolov3", "--print-config"]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and "install stadet again" in told
