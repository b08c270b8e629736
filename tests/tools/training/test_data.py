"""Training on footage of mixed sizes and lengths, and what a data set's sides are made into."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml

from stadet.anchors.presets import PRESETS
from stadet.datasets.formats.coco_video import write_coco_video
from stadet.detect.detector import Detector
from stadet.detect.structures import AnnotationSet, VideoAnnotations
from stadet.engine.errors import UserError
from stadet.engine.runlog import read_events
from stadet.tools.cli import main
from stadet.tools.inference.detectors import open_detector
from stadet.tools.training.config import DataConfig
from stadet.tools.training.data import (
    box_sizes,
    choose_anchors,
    expect_boxes,
    frames_within_reach,
    open_footage,
)
from stadet.tools.training.scoring import score
from tests.datasets.numbered_videos import write_numbered
from tests.processes import spawn

VIDEOS = {"short": (3, (64, 112)), "tall": (26, (160, 96)), "wide": (20, (64, 160))}
NAMES = ("put", "take")


def annotated(name: str) -> VideoAnnotations:
    count, size = VIDEOS[name]
    frames = np.arange(0, count, 2)
    boxes = np.tile((8.0, 10.0, 40.0, 50.0), (len(frames), 1))
    boxes[:, :2] += frames[:, None] % 8  # 32 x 40 pixels and less
    labels = np.eye(2)[frames // 2 % 2]
    return VideoAnnotations.build(name, size, 30.0, np.ones(count), frames, boxes, labels)


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """A data set of three videos that agree in neither size nor length; the last one validates."""
    folder = tmp_path_factory.mktemp("mixed")
    (folder / "videos").mkdir()
    for name, (count, size) in VIDEOS.items():
        write_numbered(folder / "videos" / f"{name}.mp4", count=count, size=size)
    write_coco_video(
        folder / "truth.json", AnnotationSet(NAMES, {name: annotated(name) for name in VIDEOS})
    )
    sides = {"train": ["short", "tall"], "val": ["wide"]}
    content = {
        "format": "coco-video",
        "annotations": "truth.json",
        "split": {"method": "lists", "lists": sides},
    }
    (folder / "dataset.yaml").write_text(yaml.safe_dump(content))
    return folder / "dataset.yaml"


@pytest.mark.parametrize("resize", ["stretch", "letterbox"])
@pytest.mark.parametrize("model", ["yolo", "recurrent-yolo", "stacked-yolo", "yowo"])
def test_sizes_and_lengths_may_differ(mixed, tmp_path, model, resize):
    """More lanes than sequences, windows and clips longer than a video."""
    settings = [
        f"model={model}",
        f"data.dataset={mixed}",
        f"output={tmp_path / 'run'}",
        "data.size=[64, 96]",
        f"data.resize={resize}",
        "data.batch=3",
        "data.workers=0",
        "yolo.width=0.0625",
        "yolo.depth=0.1",
        "yolo.num_anchors=3",
        "recurrent.memory.hidden=4",
        "recurrent.sampler.lanes=5",
        "recurrent.sampler.window=8",
        "yowo.backbone=resnet18",
        "yowo.width=0.125",
        "yowo.clip_length=8",
        "yowo.num_anchors=2",
        "loop.epochs=1",
        "loop.max_steps=4",
        "loop.log_every=1",
    ]
    assert main(["train", *settings]) == 0
    losses = [event["box"] for event in read_events(tmp_path / "run" / "metrics.jsonl", "train")]
    assert losses and np.isfinite(losses).all()
    (judged,) = read_events(tmp_path / "run" / "metrics.jsonl", "validation")
    assert 0 <= judged["frame_map_50"] <= 1


def config_of(mixed) -> DataConfig:
    return DataConfig(dataset=str(mixed), size=(64, 96), resize="letterbox", workers=0)


@pytest.mark.parametrize("every", ["frame", "stream", "key frame"])
def test_every_looked_at_frame_of_a_side_is_asked_for_once(mixed, every):
    class Model(Detector):
        predicts = "last_frame" if every == "key frame" else "every_frame"
        context_frames = {"frame": 0, "stream": None, "key frame": 7}[every]
        clip_length = {"frame": 1, "stream": 8, "key frame": 8}[every]

    footage = open_footage(config_of(mixed))
    answered = []
    for batch in footage.evaluation_loader("train", Model()):
        for lane, valid in enumerate(batch.valid.tolist()):
            steps = [-1] if every == "key frame" else range(len(valid))
            answered += [
                (batch.videos[lane], int(batch.frame_indices[lane, step]))
                for step in steps
                if valid[step]
            ]
    wanted = [(name, frame) for name in ("short", "tall") for frame in range(VIDEOS[name][0])]
    assert sorted(answered) == wanted


def test_box_sizes_are_those_the_network_sees(mixed):
    footage = open_footage(config_of(mixed))
    sizes = np.array([(32 - frame % 8, 40 - frame % 8) for frame in range(0, 20, 2)])
    found = box_sizes(footage.dataset.side("val"), (64, 96), "letterbox")
    np.testing.assert_allclose(found, sizes * 0.6, rtol=1e-6)  # 64 x 160 into 64 x 96
    stretched = box_sizes(footage.dataset.side("val"), (64, 96), "stretch")
    np.testing.assert_allclose(stretched, sizes * (0.6, 1.0), rtol=1e-6)


def test_anchors_by_strategy_preset_or_file(mixed, tmp_path):
    train, data = open_footage(config_of(mixed)).dataset.side("train"), config_of(mixed)
    found = choose_anchors("kmeans", 3, [8, 16, 32], train, data, seed=0)
    assert found.strides == (8, 16, 32) and len(found.sizes) == 3
    found.save(tmp_path / "anchors.yaml")
    again = choose_anchors(str(tmp_path / "anchors.yaml"), 3, [8, 16, 32], train, data, seed=1)
    assert again.to_dict() == found.to_dict()
    one = choose_anchors("kmeans", 3, [32], train, data, seed=0)
    one.save(tmp_path / "one.yaml")
    finer = choose_anchors(str(tmp_path / "one.yaml"), 3, [16], train, data, seed=0)
    assert finer.strides == (16,) and np.array_equal(finer.sizes, one.sizes)
    preset = choose_anchors("yolov3-coco", 9, [8, 16, 32], train, data, seed=0)
    assert preset.to_dict() == PRESETS["yolov3-coco"].scaled_to((64, 96)).to_dict()


@pytest.mark.parametrize(
    ("strides", "count", "message"),
    [
        ([4, 8, 16, 32], 12, "expected levels of strides 4, 8, 16, 32, .* found 8, 16, 32; make"),
        ([8, 16], 3, "set the strides to .8, 16, 32"),
        ([8, 16, 32], 9, "expected 9 anchors .num_anchors., found 3; .*set num_anchors to 3"),
    ],
)
def test_anchors_of_other_levels_are_refused(mixed, tmp_path, strides, count, message):
    train, data = open_footage(config_of(mixed)).dataset.side("train"), config_of(mixed)
    choose_anchors("kmeans", 3, [8, 16, 32], train, data, seed=0).save(tmp_path / "a.yaml")
    with pytest.raises(UserError, match=message):
        choose_anchors(str(tmp_path / "a.yaml"), count, strides, train, data, seed=0)


def test_anchors_for_frames_of_another_shape_are_told(mixed, tmp_path, caplog):
    train, data = open_footage(config_of(mixed)).dataset.side("train"), config_of(mixed)
    found = choose_anchors("kmeans", 3, [8, 16, 32], train, data, seed=0)
    other = "stretch" if data.resize == "letterbox" else "letterbox"
    for resize, told in ((other, True), (data.resize, False)):
        replace(found, resize=resize).save(tmp_path / "a.yaml")
        choose_anchors(str(tmp_path / "a.yaml"), 3, [8, 16, 32], train, data, seed=0)
        assert ("their shapes do not fit" in caplog.text) == told
        caplog.clear()


def test_a_side_without_boxes_is_refused():
    nothing = VideoAnnotations.build(
        "v", (64, 64), 25.0, np.ones(7), np.zeros(0), np.zeros((0, 4)), np.zeros((0, 2))
    )
    with pytest.raises(UserError, match="boxes on side 'val', found none on its 7 frames"):
        expect_boxes(AnnotationSet(NAMES, {"v": nothing}), "val")
    expect_boxes(AnnotationSet(NAMES, {"v": nothing, "short": annotated("short")}), "val")


def judge(checkpoint) -> dict[str, float]:
    detector = open_detector(checkpoint)
    footage = open_footage(detector.config.data)
    side = footage.dataset.side("val")
    loader = footage.evaluation_loader("val", detector.model)
    settings, cpu = detector.config.inference, torch.device("cpu")
    return score(detector.model, loader, side, settings, cpu)


def judge_in_a_group(rank, world, checkpoint, folder):
    (folder / f"rank{rank}").write_text(json.dumps(judge(checkpoint)))


@pytest.mark.slow
@pytest.mark.parametrize("model", ["yolo", "recurrent-yolo"])
def test_two_processes_find_the_figure_of_one(footage, tmp_path, model):
    more = ("loop.max_steps=2", "inference.max_detections=100")
    assert footage.train(tmp_path / "run", f"model={model}", *more) == 0
    checkpoint = tmp_path / "run" / "best.pt"
    spawn(judge_in_a_group, 2, checkpoint, tmp_path)
    alone = judge(checkpoint)
    assert alone["frame_map_50"] > 0
    for rank in range(2):
        assert json.loads((tmp_path / f"rank{rank}").read_text()) == pytest.approx(alone, rel=1e-6)


def test_only_frames_that_a_clip_can_show_are_cached(mixed):
    footage = open_footage(config_of(mixed), reach=(3, 0))
    looked_at = np.zeros(20, dtype=bool)
    looked_at[[1, 9, 11, 19]] = True
    sparse = footage.dataset.annotations.videos["wide"].narrowed(looked_at)
    needed = frames_within_reach(AnnotationSet(NAMES, {"wide": sparse}), 3)["wide"]
    slow = {max(0, key - back) for key in (1, 9, 11, 19) for back in range(4)}
    assert needed.tolist() == sorted(slow)
    both = frames_within_reach(AnnotationSet(NAMES, {"wide": sparse}), 1, 2)["wide"]
    wanted = {key + near for key in (1, 9, 11, 19) for near in (-1, 0, 1, 2)} - {20, 21}
    assert both.tolist() == sorted(wanted)
    empty = sparse.narrowed(np.zeros(20, dtype=bool))
    assert len(frames_within_reach(AnnotationSet(NAMES, {"wide": empty}), 3)["wide"]) == 0
