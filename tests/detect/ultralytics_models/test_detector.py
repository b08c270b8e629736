"""Their networks in our contract give what ultralytics itself gives on the same pixels."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from stadet.detect.nms import suppress
from stadet.detect.yolo.ultralytics_body import keep_offline
from stadet.engine.errors import UserError
from stadet.recurrent_yolo.model import RecurrentYOLO
from stadet.recurrent_yolo.temporal import MemoryConfig
from tests.detect.ultralytics_models.peers import SIZE, frames, settled
from tests.recurrent_yolo.tiny import randomise

NETWORKS = ("yolov3-tiny", "yolov5n", "yolov8n", "yolov9t", "yolov10n", "yolo11n", "yolo12n")
NETWORKS += ("yolo26n", "yolo26n-p2")


@pytest.fixture(scope="module", params=NETWORKS)
def model(request):
    return settled(request.param)


@torch.no_grad()
def test_boxes_and_scores_are_theirs_bit_for_bit(model):
    images = frames(3, 1)
    theirs = copy.deepcopy(model.network).eval()
    theirs.model[-1].xyxy = True
    wanted, _ = theirs(images[:, 0].float() / 255)  # (3, 4 + C, K)
    maps, state = model(images)
    found = model.decode(maps)
    assert state is None
    assert torch.equal(found.boxes, wanted[:, :4].transpose(1, 2))
    assert torch.equal(found.scores, wanted[:, 4:].transpose(1, 2))
    assert torch.equal(found.objectness, found.scores.amax(-1))
    assert found.scores.std() > 0.05  # the answers differ from place to place


@pytest.mark.parametrize("name", ["yolov10n", "yolo26n"])
@torch.no_grad()
def test_the_one_to_one_head_is_theirs_without_suppression(name):
    model = settled(name, one_to_one=True)
    images = frames(2, 1)
    theirs = copy.deepcopy(model.network).eval()
    theirs.end2end = True
    wanted, _ = theirs(images[:, 0].float() / 255)  # (2, 126, 6), best first
    found = model.decode(model(images)[0])
    for image, rows in enumerate(wanted):
        floor = float(rows[-1, 4])
        rows = rows[rows[:, 4] > floor]
        ours = suppress(found, floor, 1.0, 300)[image]
        pairs = {
            (*box, label): score
            for box, scores in zip(ours.boxes.tolist(), ours.scores, strict=True)
            for label, score in enumerate(scores.tolist())
            if score
        }
        assert len(rows) > 10
        assert pairs == {(*row[:4], int(row[5])): row[4] for row in rows.tolist()}


@torch.no_grad()
def test_suppressed_detections_are_theirs(model):
    from ultralytics.utils.nms import non_max_suppression
    from ultralytics.utils.ops import xywh2xyxy

    images = frames(2, 1)
    theirs = copy.deepcopy(model.network).eval()
    output = theirs(images[:, 0].float() / 255)
    wanted = non_max_suppression(output, 0.3, 0.7, multi_label=True, max_det=10_000)
    predictions = model.decode(model(images)[0])
    boxes = xywh2xyxy(output[0][:, :4].transpose(1, 2))  # their way by centres rounds otherwise
    torch.testing.assert_close(predictions.boxes, boxes, rtol=1e-5, atol=1e-3)
    found = suppress(replace(predictions, boxes=boxes), 0.3, 0.7, 10_000)
    for ours, rows in zip(found, wanted, strict=True):
        row, label = ours.scores.nonzero(as_tuple=True)
        pairs = torch.cat([ours.boxes[row], ours.scores[row, label, None], label[:, None]], 1)
        assert len(pairs) == len(rows) > 3
        distance = (pairs[:, None] - rows[None]).abs().amax(-1)
        assert distance.amin(0).max() < 1e-3 and distance.amin(1).max() < 1e-3


@pytest.mark.parametrize("name", ["yolo11n", "yolo26n"])
@torch.no_grad()
def test_detections_are_those_of_their_predict(name, tmp_path):
    """Through a file, `YOLO(..).predict` on the same pixels; it folds batch norms."""
    keep_offline()
    from ultralytics import YOLO

    model = settled(name, num_classes=1)
    yolo = YOLO(f"{name}.yaml", task="detect", verbose=False)
    yolo.model = copy.deepcopy(model.network)
    yolo.model.args = YOLO(f"{name}.yaml", task="detect", verbose=False).model.args
    images = frames(2, 1)
    results = yolo.predict(
        images[:, 0].float() / 255, conf=0.3, iou=0.7, max_det=300, verbose=False, save=False
    )
    found = suppress(model.decode(model(images)[0]), 0.3, 0.7, 300)
    for ours, result in zip(found, results, strict=True):
        theirs = result.boxes.data[:, :5].numpy()
        mine = torch.cat([ours.boxes, ours.scores], 1).numpy()
        mine[:, [0, 2]] = mine[:, [0, 2]].clip(0, SIZE[1])  # they clip to the image
        mine[:, [1, 3]] = mine[:, [1, 3]].clip(0, SIZE[0])
        assert len(mine) == len(theirs) > 3
        distance = np.abs(mine[:, None] - theirs[None]).max(-1)
        assert distance.min(0).max() < 0.01 and distance.min(1).max() < 0.01


@torch.no_grad()
def test_a_fresh_memory_changes_nothing(model):
    memory = RecurrentYOLO(copy.deepcopy(model), MemoryConfig(hidden=4)).eval()
    images = frames(2, 4)
    wanted, _ = model(images)
    found, state = memory(images)
    again, _ = memory(images, state)  # with a memory that is not empty any more
    for plain, one, two in zip(wanted, found, again, strict=True):
        assert torch.equal(plain, one) and torch.equal(plain, two)


@pytest.mark.parametrize("name", ["yolo11n", "yolo26n"])
@torch.no_grad()
def test_a_stream_in_chunks_is_the_whole_stream(name):
    memory = RecurrentYOLO(settled(name), MemoryConfig(hidden=4)).eval().double()
    randomise(memory.memory)
    images = frames(1, 9)
    whole, _ = memory(images)
    plain, _ = memory.detector(images)
    assert not torch.allclose(whole[0], plain[0], atol=1e-2)
    state, parts = None, []
    for first, stop in ((0, 4), (4, 5), (5, 9)):
        maps, state = memory(images[:, first:stop], state)
        parts.append(maps)
    for level, wanted in enumerate(whole):
        found = torch.cat([maps[level] for maps in parts])
        torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-9)


def test_training_has_the_maps_of_both_heads_and_detaches_the_second():
    model = settled("yolo26n").train()
    features = [
        torch.randn(2, channels, 4 >> n, 4 >> n, requires_grad=True)
        for n, channels in enumerate(model.neck_channels)
    ]
    maps = model.forward_output(features)
    assert len(maps) == 6
    sum(level_map.sum() for level_map in maps[3:]).backward()
    assert all(x.grad is None for x in features)
    sum(level_map.sum() for level_map in maps[:3]).backward()
    assert all(x.grad.abs().sum() > 0 for x in features)


@pytest.mark.parametrize("name", ["yolov8n", "yolo26n"])
def test_every_parameter_of_the_memory_and_the_network_learns(name):
    memory = RecurrentYOLO(settled(name), MemoryConfig(hidden=4)).train()
    randomise(memory.memory)
    maps, _ = memory(frames(2, 3))
    sum(level_map.square().sum() for level_map in maps).backward()
    idle = [n for n, p in memory.named_parameters() if p.requires_grad and p.grad is None]
    assert idle == []


def test_parts_hold_every_parameter_once():
    model = settled("yolo11n")
    parts = [
        id(parameter)
        for part in ("backbone", "neck", "head")
        for module in model.modules_of(part)
        for parameter in module.parameters()
    ]
    assert sorted(parts) == sorted(id(parameter) for parameter in model.parameters())
    assert type(model.modules_of("head")[0]).__name__ == "Detect"
    assert len(model.modules_of("backbone")) == 11  # as the configuration's list


def test_a_place_or_a_size_without_room_is_one_line():
    model = settled("yolo11n")
    with pytest.raises(UserError, match="room for a memory before its head only, found 'head'"):
        RecurrentYOLO(model, placement="head")
    with pytest.raises(UserError, match=r"divisible by 32, found \(40, 64\)"):
        model(frames(1, 1, size=(40, 64)))
