"""Files of `yolo train`: read without their code, predicted with, refused by one line."""

import pathlib

import numpy as np
import pytest
import torch

from stadet.detect.ultralytics_models.checkpoint import is_ultralytics_file, read_ultralytics_file
from stadet.detect.yolo.ultralytics_body import keep_offline
from stadet.engine.errors import UserError
from stadet.tools.inference.detectors import open_detector
from tests.detect.ultralytics_models.peers import frames, settled

NAMES = ("pick up", "put back", "wipe")


def save(path, network, *, size=96, nothing=False):
    """As ultralytics' trainer saves: half precision, the running average in `ema`."""
    network.names = dict(enumerate(NAMES))
    network.args = {"imgsz": size, "task": "detect"}
    half = network.half()
    content = {"epoch": -1, "model": None if nothing else half, "ema": half if nothing else None}
    torch.save({**content, "train_args": {"imgsz": size}, "version": "8.4.0"}, path)
    return path


def build(name, **extra):
    keep_offline()
    from ultralytics.nn import tasks

    kind = "SegmentationModel" if "-seg" in name else "DetectionModel"
    torch.manual_seed(0)
    return getattr(tasks, kind)(name + ".yaml", nc=len(NAMES), verbose=False, **extra)


@pytest.mark.parametrize("name", ["yolo11n", "yolo26n", "yolov8n"])
@torch.no_grad()
def test_a_file_of_ultralytics_opens_as_the_network_in_it(name, tmp_path):
    network = settled(name, len(NAMES)).network
    path = save(tmp_path / "best.pt", network)
    assert is_ultralytics_file(path)
    found = open_detector(path)
    assert found.names == NAMES and found.config.ultralytics.network == name
    assert tuple(found.config.data.size) == (96, 96) and found.config.data.resize == "letterbox"
    assert found.config.inference.iou_threshold == 0.7
    network = network.float().eval()
    images = frames(2, 1, 3, (96, 96))
    theirs = network(images[:, 0] / 255)[0].transpose(1, 2)  # (N, K, 4 + C), cx cy w h
    ours = found.model.decode(found.model(images)[0])
    if theirs.shape[-1] == 4 + len(NAMES):  # not where they answer by the head without suppression
        torch.testing.assert_close(ours.scores, theirs[..., 4:], atol=1e-5, rtol=0)
        centres = (ours.boxes[..., :2] + ours.boxes[..., 2:]) / 2
        torch.testing.assert_close(centres, theirs[..., :2], atol=1e-3, rtol=0)
    for key, tensor in network.state_dict().items():
        assert torch.equal(found.model.network.state_dict()[key], tensor), key


def test_last_pt_of_a_running_training_holds_the_average_alone(tmp_path):
    path = save(tmp_path / "last.pt", build("yolo11n"), nothing=True)
    assert read_ultralytics_file(path).network == "yolo11n"


def test_other_files_are_refused_in_a_line(tmp_path):
    segments = save(tmp_path / "seg.pt", build("yolo11n-seg"))
    changed = build("yolo11n")
    changed.yaml["backbone"] = changed.yaml["backbone"][:-1]
    changed = save(tmp_path / "changed.pt", changed)
    unnamed = build("yolo11n")
    path = save(tmp_path / "unnamed.pt", unnamed)
    content = torch.load(path, weights_only=False)
    content["model"].names = ["a", "a", "b"]
    torch.save(content, path)
    for file, message in (
        (segments, "another task, segmentation"),
        (changed, "is not one of the detector configurations"),
        (path, "the names of its classes, each once"),
    ):
        with pytest.raises(UserError, match=message) as error:
            read_ultralytics_file(file)
        assert "\n" not in str(error.value)


class Code:
    def __reduce__(self):
        return print, ("ran",)


def test_code_is_not_run(tmp_path, capsys):
    path = tmp_path / "code.pt"
    network = build("yolo11n")
    torch.save({"model": network, "extra": Code()}, path)
    with pytest.raises(UserError) as error:
        open_detector(path)
    assert "\n" not in str(error.value) and "ran" not in capsys.readouterr().out


def test_what_is_saved_beside_the_network_is_passed_over(tmp_path):
    """A score of numpy (`yolo train val=False`), paths, the loss (before ultralytics 8.3)."""
    network = build("yolo11n")
    from ultralytics.cfg import get_cfg

    network.args = get_cfg()
    network.criterion = network.init_criterion()
    path = save(tmp_path / "last.pt", network)
    content = torch.load(path, weights_only=False)
    content |= {"best_fitness": np.float64(0.5), "train_metrics": {"fitness": np.zeros(3)}}
    content["train_args"]["project"] = pathlib.Path("runs")
    torch.save(content, path)
    found = open_detector(path)
    for key, tensor in network.float().state_dict().items():
        assert torch.equal(found.model.network.state_dict()[key], tensor), key
