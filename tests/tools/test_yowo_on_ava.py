"""YOWO on sparse, multi-label truth: one key frame a second, as AVA has it."""

import cv2
import numpy as np
import pytest
import torch

from stadet.datasets.clips.augment import AugmentConfig
from stadet.datasets.clips.loader import build_loader
from stadet.tools.training.config import DataConfig, TrainConfig, YowoConfig
from stadet.tools.training.data import choose_anchors, open_footage
from stadet.tools.training.scoring import score

FPS, SECONDS = 10, 6
LABEL_MAP = "label_id,label_name\n11,sit\n12,stand\n17,carry\n80,watch\n"


@pytest.fixture
def config(tmp_path):
    for name in ("a", "b"):
        folder = tmp_path / "videos" / name
        folder.mkdir(parents=True)
        for frame in range(FPS * SECONDS):
            image = np.full((64, 96, 3), 3 * frame, np.uint8)
            cv2.imwrite(str(folder / f"{frame + 1:05d}.png"), image)
    rows = [
        f"{name},{second},0.1,0.2,0.5,0.8,{action},1"
        for name in "ab"
        for second in (901, 903)
        for action in (12, 17, 80)
    ]
    (tmp_path / "ava.csv").write_text("\n".join(rows) + "\n")
    (tmp_path / "map.csv").write_text(LABEL_MAP)
    (tmp_path / "dataset.yaml").write_text(
        "format: ava\nannotations: ava.csv\nlabel_map: map.csv\nkey_seconds: [901, 904]\n"
        "first_second: 900\nframe_folder_fps: 10\n"
        "split: {method: lists, lists: {train: [a], val: [b]}}\n"
    )
    return TrainConfig(
        model="yowo",
        data=DataConfig(
            str(tmp_path / "dataset.yaml"), (64, 96), "stretch", batch=2, negatives=0.5, workers=0
        ),
        yowo=YowoConfig(
            "resnet18", 0.0625, clip_length=8, steps=[1], num_anchors=1, multi_label_classes=2
        ),
    )


def test_clips_show_the_frames_between_key_frames_and_train(config):
    footage = open_footage(config.data, config.recipe.reach())
    for cached in footage.cache.videos.values():  # key frames every 10 frames, clips of 8
        assert set(np.diff(cached.frames)) == {1, 3}
    train = footage.dataset.side("train")
    assert train.names == ("sit", "stand", "carry", "watch")
    sampler = config.recipe.sampler(footage, train)
    sampler.set_epoch(0)
    requests = [request for batch in sampler for request in batch]
    assert {request.frames[-1] for request in requests} <= {10, 20, 30, 40}
    for request in requests:
        key = request.frames[-1]
        assert request.frames == tuple(range(key - 7, key + 1))
    anchors = choose_anchors("kmeans", 1, [32], train, config.data, 0)
    model = config.recipe.build(len(train.names), anchors)
    step = config.recipe.step(anchors, train)
    loader = build_loader(footage.clips(train, AugmentConfig()), sampler, workers=0)
    for batch in loader:
        losses, _ = step(model, batch, None)
        total = sum(losses.values())
        total.backward()
        assert torch.isfinite(total)
    found = score(
        model,
        footage.evaluation_loader("val", model),
        footage.dataset.side("val"),
        config.inference,
        torch.device("cpu"),
    )
    assert set(found) >= {"frame_map_50", "localization_recall"}


def test_every_label_of_a_box_reaches_the_loss(config):
    footage = open_footage(config.data)
    train = footage.dataset.side("train")
    sampler = config.recipe.sampler(footage, train)
    labels = torch.cat(
        [b.targets.labels for b in build_loader(footage.clips(train, None), sampler, workers=0)]
    )
    assert len(labels) == 2 and labels.tolist() == [[0.0, 1.0, 1.0, 1.0]] * 2
