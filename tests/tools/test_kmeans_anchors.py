"""The verb on a small COCO-video data set of frame folders."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
import yaml

from stadet.anchors.anchors import Anchors
from stadet.tools.cli import main

SIZE = (60, 80)


@pytest.fixture
def data(tmp_path):
    """One video of 40 frames with a 20 x 10 or a 40 x 30 box on each."""
    folder = tmp_path / "videos" / "v"
    folder.mkdir(parents=True)
    for index in range(40):
        cv2.imwrite(str(folder / f"{index:05d}.jpg"), np.zeros((*SIZE, 3), dtype=np.uint8))
    boxes = [[5, 5, 20, 10], [5, 5, 40, 30]]
    truth = {
        "videos": [{"id": 1, "name": "v", "width": 80, "height": 60, "fps": 10}],
        "images": [{"id": i, "video_id": 1, "frame_id": i} for i in range(40)],
        "categories": [{"id": 1, "name": "wipe"}, {"id": 2, "name": "roll"}],
        "annotations": [
            {"id": i, "image_id": i, "category_id": 1 + i % 2, "track_id": 0, "bbox": boxes[i % 2]}
            for i in range(40)
        ],
    }
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    content = {
        "format": "coco-video",
        "annotations": "truth.json",
        "frame_folder_fps": 10,
        "split": {"block_seconds": 0.5, "val": 0.25},
    }
    (tmp_path / "dataset.yaml").write_text(yaml.safe_dump(content))
    return tmp_path


def run(data, *options):
    given = ["--data", str(data / "dataset.yaml"), "--out", str(data / "anchors.yaml"), *options]
    return main(["kmeans-anchors", "--overwrite", *given])


@pytest.mark.parametrize(
    ("resize", "scale"), [("letterbox", (1.6, 1.6)), ("stretch", (1.6, 128 / 60))]
)
def test_anchors_are_the_boxes_in_network_pixels(data, capsys, resize, scale):
    code = run(
        data,
        "--size",
        "128",
        "128",
        "--strides",
        "32",
        "--anchors",
        "2",
        "--resize",
        resize,
        "--plot",
        str(data / "anchors.png"),
    )
    assert code == 0
    anchors = Anchors.load(data / "anchors.yaml")
    expected = np.array([[20, 10], [40, 30]]) * scale
    np.testing.assert_allclose(anchors.levels[0], expected, atol=0.01)
    assert anchors.strides == (32,) and anchors.network_size == (128, 128)
    assert (data / "anchors.png").stat().st_size > 5000
    text = capsys.readouterr().out
    assert "yolov3-coco" in text and "wipe" in text
    boxes = int(text.split()[0])
    assert 20 <= boxes < 40  # the validation side's stay out


def test_every_strategy_side_by_side(data, capsys):
    assert (
        run(data, "--size", "64", "96", "--strides", "16", "32", "--anchors", "2", "--compare") == 0
    )
    text = capsys.readouterr().out
    assert all(f"\n{name} " in text for name in ("kmeans", "spread", "coverage", "per-level"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--size", "100", "128"), "multiples of 32"),
        (("--strategy", "kmean"), "did you mean kmeans"),
        (("--anchors", "9"), "2 different sizes"),
        (("--anchors", "2"), "at least one anchor a level"),
        (("--data", "missing.yaml"), "missing.yaml"),
    ],
)
def test_mistakes_are_one_line_and_write_nothing(data, capsys, options, message):
    assert run(data, *options) == 2
    error = capsys.readouterr().err.strip()
    assert message in error and "\n" not in error
    assert not (data / "anchors.yaml").exists()


def test_anchors_of_a_configuration_fit_it(data, capsys):
    """The command that README gives: training reads what it wrote."""
    config = data / "train.yaml"
    content = {
        "data": {"dataset": str(data / "dataset.yaml"), "size": [96, 128], "resize": "stretch"},
        "yolo": {"strides": [8, 16], "num_anchors": 2, "width": 0.0625, "depth": 0.01},
    }
    config.write_text(yaml.safe_dump(content))
    out = str(data / "anchors.yaml")
    assert main(["kmeans-anchors", "--config", str(config), "--out", out]) == 0
    anchors = Anchors.load(out)
    assert (anchors.strides, len(anchors), anchors.resize) == ((8, 16), 2, "stretch")
    assert anchors.network_size == (96, 128)
    given = ["--config", str(config), "--out", out, "--overwrite"]
    assert main(["kmeans-anchors", *given, "yolo.strides=[16, 32]"]) == 0
    assert Anchors.load(out).strides == (16, 32)
    capsys.readouterr()
    assert main(["kmeans-anchors", *given, "--strides", "32"]) == 2
    assert "--strides: the configuration says it" in capsys.readouterr().err
    run = ["train", str(config), f"yolo.anchors={out}", f"output={data / 'run'}"]
    assert main(run) == 2
    assert "expected levels of strides 8, 16" in capsys.readouterr().err


def test_strides_stand_finest_first(data, capsys):
    assert run(data, "--size", "64", "96", "--strides", "16", "8") == 2
    assert "finest first" in capsys.readouterr().err
