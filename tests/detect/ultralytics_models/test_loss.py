"""Our targets in ultralytics' losses: theirs on the same batch, and what theirs cannot hold."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from stadet.detect.batch import Targets
from stadet.detect.ultralytics_models.architecture import network_facts
from stadet.detect.ultralytics_models.label_sets import label_sets
from stadet.detect.ultralytics_models.loss import UltralyticsLoss
from tests.detect.ultralytics_models.peers import SIZE, frames, settled

IMAGES = 4
GAINS = SimpleNamespace(box=7.5, cls=0.5, dfl=1.5, epochs=11)


def targets(**changes) -> Targets:
    """Boxes on three of four images, two of them on one place; the last image has none."""
    boxes = [[8, 8, 40, 40], [10, 6, 44, 38], [50, 20, 90, 60], [4, 30, 30, 60], [60, 5, 80, 30]]
    labels = torch.eye(3)[[0, 1, 2, 0, 1]]
    whole = Targets(
        torch.tensor(boxes).float(),
        labels,
        torch.tensor([0, 0, 1, 2, 2]),
        torch.ones(IMAGES, dtype=torch.bool),
    )
    return replace(whole, **changes)


def their_batch(truth: Targets) -> dict[str, torch.Tensor]:
    """One label a line, boxes as shares of the image: their label files."""
    height, width = SIZE
    x1, y1, x2, y2 = (truth.boxes / torch.tensor([width, height, width, height])).unbind(1)
    return {
        "batch_idx": truth.item,
        "cls": truth.labels.argmax(1).float(),
        "bboxes": torch.stack([(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1], 1),
    }


def theirs(model, images, truth, updates=0):
    """The sum of their criterion's parts over a batch, over the batch's images."""
    model.network.args = GAINS
    criterion = model.network.init_criterion()
    if updates:
        criterion.updates = updates - 1
        criterion.update()
    total, _ = criterion(model.network(images.flatten(0, 1).float() / 255), their_batch(truth))
    return total / len(images)


def ours(name, maps, truth, done=0.0, **options):
    loss = UltralyticsLoss(network_facts(name), **options)
    loss.set_progress(done)
    return loss(maps, truth, loss.count_positives(truth))


@pytest.mark.parametrize(
    "name", ["yolov5n", "yolov8n", "yolo11n", "yolo12n", "yolov10n", "yolo26n"]
)
def test_losses_and_gradients_are_theirs(name):
    model, images, truth = settled(name).train(), frames(IMAGES, 1), targets()
    parameter = model.network.model[0].conv.weight
    wanted = theirs(model, images, truth)
    (slope,) = torch.autograd.grad(wanted.sum(), parameter)
    found = ours(name, model(images)[0], truth)
    assert list(found) == ["box", "class", "distance"]
    torch.testing.assert_close(torch.stack(list(found.values())), wanted, rtol=1e-5, atol=1e-6)
    (own,) = torch.autograd.grad(sum(found.values()), parameter)
    torch.testing.assert_close(own, slope, rtol=1e-3, atol=1e-4 * float(slope.abs().max()))


@pytest.mark.parametrize("updates", [0, 1, 5, 10])
def test_the_schedule_of_two_heads_is_theirs(updates):
    """Of 11 epochs: all of their steps, from the first to the last."""
    model, images, truth = settled("yolo26n").train(), frames(IMAGES, 1), targets()
    wanted = theirs(model, images, truth, updates)
    found = ours("yolo26n", model(images)[0], truth, done=updates / (GAINS.epochs - 1))
    torch.testing.assert_close(torch.stack(list(found.values())), wanted, rtol=1e-5, atol=1e-6)
    if updates:
        start = ours("yolo26n", model(images)[0], truth)
        assert abs(float(start["box"] - found["box"])) > 1e-4


@pytest.mark.parametrize("name", ["yolo11n", "yolo26n"])
def test_images_that_nobody_looked_at_take_no_part(name):
    model, images, truth = settled(name).train(), frames(IMAGES, 1), targets()
    seen = torch.tensor([True, False, True, False])
    maps = [level_map.detach().requires_grad_() for level_map in model(images)[0]]
    found = ours(name, maps, replace(truth, looked_at=seen))
    kept = seen[truth.item]
    alone = Targets(truth.boxes[kept], truth.labels[kept], torch.tensor([0, 0, 1, 1]), seen[seen])
    wanted = ours(name, [level_map[seen] for level_map in maps], alone)
    assert found == wanted
    sum(found.values()).backward()
    for level_map in maps:
        assert level_map.grad[~seen].abs().sum() == 0 < level_map.grad[seen].abs().sum()


def test_a_batch_without_a_look_has_no_loss_but_a_graph():
    model, truth = settled("yolo26n").train(), targets()
    maps, _ = model(frames(IMAGES, 1))
    found = ours("yolo26n", maps, replace(truth, looked_at=torch.zeros(IMAGES, dtype=torch.bool)))
    assert [float(value) for value in found.values()] == [0, 0, 0]
    sum(found.values()).backward()
    assert model.network.model[0].conv.weight.grad is not None


def test_images_without_boxes_are_background():
    model = settled("yolo11n").train()
    empty = Targets(
        torch.zeros(0, 4), torch.zeros(0, 3), torch.zeros(0).long(), torch.ones(2, dtype=torch.bool)
    )
    maps, _ = model(frames(2, 1))
    found = ours("yolo11n", maps, empty)
    logits = torch.cat([level_map[:, -3:].flatten() for level_map in maps])
    wanted = 0.5 * torch.nn.functional.softplus(logits).sum()
    torch.testing.assert_close(found["class"], wanted)
    assert float(found["box"]) == float(found["distance"]) == 0


def class_slopes(name, truth, maps):
    """d loss / d class logits (N, K, C)."""
    levels = len(network_facts(name).strides)
    sum(ours(name, maps, truth).values()).backward()
    return torch.cat([level.grad[:, -3:].flatten(2) for level in maps[:levels]], 2).transpose(1, 2)


def test_a_box_may_hold_several_classes():
    model, images, truth = settled("yolo11n").train(), frames(IMAGES, 1), targets()
    with torch.no_grad():
        maps, _ = model(images)
    maps = [torch.cat([m[:, :-3], m[:, -3:] - 12], 1) for m in maps]  # all scores are too low
    truth.labels[2] = torch.tensor([1.0, 0, 1])
    slope = class_slopes("yolo11n", truth, [m.clone().requires_grad_() for m in maps])[1]
    rises = slope < 0  # where descent raises the score: only at places of that box
    assert rises[:, 0].any() and torch.equal(rises[:, 0], rises[:, 2]) and not rises[:, 1].any()


def test_a_class_that_goes_with_another_changes_no_box_term():
    """Where two classes have the same logits, a box of both is assigned as a box of one."""
    model, images, truth = settled("yolov8n").train(), frames(IMAGES, 1), targets()
    with torch.no_grad():
        maps, _ = model(images)
    maps = [torch.cat([m[:, :-1], m[:, -3:-2]], 1) for m in maps]  # class 2 as class 0
    single = torch.eye(3)[[0, 1, 0, 0, 1]]
    both = single.clone()
    both[:, 2] = single[:, 0]
    one, two = (ours("yolov8n", maps, replace(truth, labels=labels)) for labels in (single, both))
    weights = [
        ours("yolov8n", maps, replace(truth, labels=both), class_weights=w)["class"]
        for w in ([1.0, 1, 0], [0.0, 0, 1])
    ]
    assert float(weights[0] + weights[1]) == pytest.approx(float(two["class"]), rel=1e-5)
    assert float(two["box"]) > 0
    # boxes of class 1 alone weigh less beside those of two classes: judged without them
    boxes = [0, 2, 3]
    alone = [
        ours(
            "yolov8n",
            maps,
            Targets(truth.boxes[boxes], labels[boxes], truth.item[boxes], truth.looked_at),
        )
        for labels in (single, both)
    ]
    for term in ("box", "distance"):
        torch.testing.assert_close(alone[0][term], alone[1][term], rtol=1e-5, atol=1e-6)
    assert not torch.allclose(one["class"], two["class"])


def test_ignored_regions_are_neither_object_nor_background():
    model, images, truth = settled("yolo11n").train(), frames(IMAGES, 1), targets()
    with torch.no_grad():
        maps, _ = model(images)
    ignored = torch.tensor([False, False, True, False, False])
    region = replace(truth, ignored=ignored)
    slope = class_slopes("yolo11n", region, [m.clone().requires_grad_() for m in maps])[1]
    height, width = SIZE
    centres = [
        (stride * (column + 0.5), stride * (row + 0.5))
        for stride in (8, 16, 32)
        for row in range(height // stride)
        for column in range(width // stride)
    ]
    x1, y1, x2, y2 = truth.boxes[2].tolist()
    inside = torch.tensor([x1 <= x <= x2 and y1 <= y <= y2 for x, y in centres])
    assert 0 < inside.sum() < len(inside) / 2
    assert (slope[inside] == 0).all() and (slope[~inside] > 0).all()  # all others are background


def test_classes_weigh_as_asked():
    model, images, truth = settled("yolo11n").train(), frames(IMAGES, 1), targets()
    maps, _ = model(images)
    parts = [
        ours("yolo11n", maps, truth, class_weights=[float(n == label) for n in range(3)])["class"]
        for label in range(3)
    ]
    whole = ours("yolo11n", maps, truth)["class"]
    torch.testing.assert_close(sum(parts), whole)
    weighed = ours("yolo11n", maps, truth, class_weights=[1.0, 2.0, 0.5])["class"]
    torch.testing.assert_close(weighed, parts[0] + 2 * parts[1] + 0.5 * parts[2])


def test_gains_are_factors():
    model, images, truth = settled("yolov8n").train(), frames(IMAGES, 1), targets()
    maps, _ = model(images)
    plain = ours("yolov8n", maps, truth, box_gain=1, class_gain=1, distance_gain=1)
    found = ours("yolov8n", maps, truth, box_gain=2, class_gain=3, distance_gain=0.5)
    for term, factor in (("box", 2), ("class", 3), ("distance", 0.5)):
        torch.testing.assert_close(found[term], factor * plain[term])


def test_label_sets():
    labels = torch.tensor([[1.0, 0], [1, 1], [1, 0], [0, 0]])
    sets, number = label_sets(labels)
    assert len(sets) == 3 and torch.equal(sets[number], labels)
    sets, number = label_sets(torch.zeros(0, 2))
    assert sets.shape == (1, 2) and len(number) == 0
