import math

import numpy as np
import pytest
import torch

from stadet.anchors.anchors import Anchors
from stadet.detect.batch import Targets
from stadet.detect.yolo.loss import YoloLoss

ANCHORS = Anchors(
    (np.array([[8.0, 8], [12, 20]]), np.array([[30.0, 30], [20, 50]])), (8, 16), (48, 64)
)
CLASSES = 3
SHAPES = [(2, 5 + CLASSES, 6, 8), (2, 5 + CLASSES, 3, 4)]


def random_maps(images=2, seed=0, scale=1.0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    maps = [torch.randn(images, *shape, generator=generator) * scale for shape in SHAPES]
    return [m.to(dtype).requires_grad_() for m in maps]


def make_targets(rows, images=2, looked_at=None):
    """rows: (item, x1, y1, x2, y2, labels)."""
    boxes = torch.tensor([row[1:5] for row in rows], dtype=torch.float32).reshape(-1, 4)
    labels = torch.zeros(len(rows), CLASSES)
    for i, row in enumerate(rows):
        labels[i, list(row[5])] = 1
    item = torch.tensor([row[0] for row in rows], dtype=torch.int64)
    looked_at = torch.ones(images, dtype=torch.bool) if looked_at is None else looked_at
    return Targets(boxes, labels, item, looked_at)


ROWS = [
    (0, 10, 10, 18, 19, [0]),
    (0, 30, 4, 60, 40, [1, 2]),
    (1, 3, 3, 14, 22, []),
    (1, 40, 20, 64, 48, [2]),
]


def sigmoid(v):
    return 1 / (1 + math.exp(-v))


def cross_entropy(p, y, gamma=0.0):
    p_true = p if y else 1 - p
    return -((1 - p_true) ** gamma) * math.log(p_true)


def iou_and_ciou(a, b):
    """By the formulas of arXiv 1911.08287."""
    w = max(0, min(a[2], b[2]) - max(a[0], b[0]))
    h = max(0, min(a[3], b[3]) - max(a[1], b[1]))
    area = lambda c: (c[2] - c[0]) * (c[3] - c[1])  # noqa: E731
    iou = w * h / (area(a) + area(b) - w * h)
    hull = (min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3]))
    diagonal = (hull[2] - hull[0]) ** 2 + (hull[3] - hull[1]) ** 2
    apart = ((a[0] + a[2] - b[0] - b[2]) ** 2 + (a[1] + a[3] - b[1] - b[3]) ** 2) / 4
    angle = lambda c: math.atan((c[2] - c[0]) / (c[3] - c[1]))  # noqa: E731
    v = 4 / math.pi**2 * (angle(b) - angle(a)) ** 2
    return iou, 1 - iou + apart / diagonal + v * v / (1 - iou + v)


def slow_loss(maps, rows, looked_at, class_weights, ignore_iou=0.7, match_iou=0.3):
    """The whole loss by loops over images, cells and truths (no two truths share a slot here)."""
    flat = [(level, a) for level in range(2) for a in range(2)]
    positives = {}
    divisor = sum(looked_at)
    for t, (item, x1, y1, x2, y2, _) in enumerate(rows):
        if not looked_at[item]:
            continue
        fits = []
        for level, a in flat:
            w, h = ANCHORS.levels[level][a]
            common = min(x2 - x1, w) * min(y2 - y1, h)
            fits.append(common / ((x2 - x1) * (y2 - y1) + w * h - common))
        for index, (level, a) in enumerate(flat):
            if index == int(np.argmax(fits)) or fits[index] > match_iou:
                stride = ANCHORS.strides[level]
                row, column = int((y1 + y2) / 2 / stride), int((x1 + x2) / 2 / stride)
                assert (level, item, a, row, column) not in positives
                positives[(level, item, a, row, column)] = t
                divisor += 1
    terms = {"box": 0.0, "objectness": 0.0, "class": 0.0}
    for level, level_map in enumerate(maps):
        values = level_map.detach().double().numpy()
        stride = ANCHORS.strides[level]
        for n, a, i, j in np.ndindex(values.shape[0], 2, *values.shape[3:]):
            if not looked_at[n]:
                continue
            tx, ty, tw, th, objectness, *classes = values[n, a, :, i, j]
            cx, cy = (sigmoid(tx) + j) * stride, (sigmoid(ty) + i) * stride
            w, h = ANCHORS.levels[level][a] * np.exp([tw, th])
            box = (cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2)
            t = positives.get((level, n, a, i, j))
            if t is not None:
                terms["objectness"] += cross_entropy(sigmoid(objectness), 1, 1.5)
                terms["box"] += 5 * iou_and_ciou(box, rows[t][1:5])[1]
                for c in range(CLASSES):
                    known = cross_entropy(sigmoid(classes[c]), c in rows[t][5])
                    terms["class"] += class_weights[c] * known
            elif not any(iou_and_ciou(box, r[1:5])[0] > ignore_iou for r in rows if r[0] == n):
                terms["objectness"] += cross_entropy(sigmoid(objectness), 0, 1.5)
    return {name: value / divisor for name, value in terms.items()}


@pytest.mark.parametrize("looked_at", [(True, True), (True, False)])
@pytest.mark.parametrize("ignore_iou", [0.3, 0.7])
def test_against_loops(looked_at, ignore_iou):
    maps = random_maps(scale=0.5)
    weights = [1.0, 0.5, 3.0]
    loss = YoloLoss(ANCHORS, class_weights=weights, ignore_iou=ignore_iou)
    found = loss(maps, make_targets(ROWS, looked_at=torch.tensor(looked_at)))
    expected = slow_loss(maps, ROWS, looked_at, weights, ignore_iou)
    assert {k: float(v.detach()) for k, v in found.items()} == pytest.approx(expected, rel=1e-4)


def test_gradient_against_finite_differences():
    maps = random_maps(images=1, scale=0.5)
    truths = make_targets([(0, *r[1:]) for r in ROWS[:2]], images=1)
    loss = YoloLoss(ANCHORS, class_gamma=2.0)
    sum(loss(maps, truths).values()).backward()
    for level, level_map in enumerate(maps):
        slopes = level_map.grad.abs()
        # CIoU takes the weight of its aspect term as a constant, so tw and th differ by design
        slopes[:, :, 2:4] = 0
        busy = slopes.flatten().topk(12).indices.tolist()
        for index in busy:
            values = []
            for step in (1e-2, -1e-2):
                moved = [m.detach().clone() for m in maps]
                moved[level].view(-1)[index] += step
                values.append(float(sum(loss(moved, truths).values())))
            slope = (values[0] - values[1]) / 2e-2
            assert slope == pytest.approx(float(level_map.grad.view(-1)[index]), abs=2e-3, rel=0.02)


@pytest.mark.parametrize("looked_at", [True, False])
@pytest.mark.parametrize("rows", [[], [(0, 8, 8, 8, 20, [0])], [(0, 70, 10, 80, 20, [0])]])
def test_nothing_to_assign_keeps_the_graph(rows, looked_at):
    maps = random_maps(images=1)
    loss = YoloLoss(ANCHORS)
    truths = make_targets(rows, images=1, looked_at=torch.tensor([looked_at]))
    terms = loss(maps, truths)
    sum(terms.values()).backward()
    assert float(terms["box"].detach()) == 0 and float(terms["class"].detach()) == 0
    assert (float(terms["objectness"].detach()) > 0) == looked_at
    for level_map in maps:
        assert level_map.grad.isfinite().all()
        assert (level_map.grad[:, :, 4] != 0).any() == looked_at


def test_images_not_looked_at_get_no_gradient():
    maps = random_maps()
    loss = YoloLoss(ANCHORS)
    truths = make_targets(ROWS, looked_at=torch.tensor([True, False]))
    sum(loss(maps, truths).values()).backward()
    assert all((m.grad[1] == 0).all() and (m.grad[0] != 0).any() for m in maps)


def test_parts_with_a_shared_divisor_add_up_to_the_whole():
    maps = random_maps()
    loss = YoloLoss(ANCHORS)
    truths = make_targets(ROWS)
    whole = loss(maps, truths)
    divisor = loss.count_positives(truths)
    parts = []
    for n in range(2):
        rows = [(0, *row[1:]) for row in ROWS if row[0] == n]
        own = make_targets(rows, images=1)
        parts.append((loss([m[n : n + 1] for m in maps], own, divisor), loss.count_positives(own)))
    for name, value in whole.items():
        torch.testing.assert_close(value, sum(terms[name] for terms, _ in parts))
    assert divisor == sum(count for _, count in parts)


def test_a_perfect_map_costs_nothing_and_scores_its_truth():
    truths = make_targets([(0, 12.0, 12, 20, 20, [1])], images=1)  # centre 16, 16: the border
    maps = [torch.full((1, *shape), -20.0) for shape in SHAPES]
    maps[0][:, :, :4] = 0
    maps[1][:, :, :4] = 0
    maps[0][0, 0, :, 2, 2] = torch.tensor([-20.0, -20, 0, 0, 20, -20, 20, -20])
    terms = YoloLoss(ANCHORS, match_iou=1.0)(maps, truths)
    assert all(float(value) < 1e-3 for value in terms.values())


def test_half_precision_maps_are_computed_in_float32():
    truths = make_targets(ROWS)
    maps = random_maps(dtype=torch.bfloat16)
    terms = YoloLoss(ANCHORS)(maps, truths)
    assert all(value.dtype == torch.float32 for value in terms.values())
    exact = YoloLoss(ANCHORS)([m.float() for m in maps], truths)
    assert all(torch.equal(terms[name], exact[name]) for name in terms)
    wild = [m.detach() * 1e4 for m in random_maps()]
    assert all(value.isfinite() for value in YoloLoss(ANCHORS)(wild, truths).values())


def test_a_single_object_is_learnt():
    maps = random_maps(images=1, scale=0.1)
    truths = make_targets([(0, 13, 9, 27, 31, [2])], images=1)
    loss = YoloLoss(ANCHORS)
    optimiser = torch.optim.Adam(maps, lr=0.2)
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.01, total_iters=200)
    for _ in range(200):
        optimiser.zero_grad()
        total = sum(loss(maps, truths).values())
        total.backward()
        optimiser.step()
        schedule.step()
    assert float(total.detach()) < 0.05


def test_an_ignored_region_is_neither_object_nor_background():
    maps = random_maps(images=1)
    loss = YoloLoss(ANCHORS)

    def terms(rows, ignored):
        targets = make_targets(rows, images=1)
        targets.ignored = torch.tensor(ignored)
        return targets, loss(maps, targets, torch.tensor(1.0))

    everywhere = (0, -500.0, -500.0, 600.0, 600.0, [0])
    targets, values = terms([everywhere], [True])
    assert all(value == 0 for value in values.values())
    assert loss.count_positives(targets) == 1  # the looked-at image alone
    # objects inside it still count, in full
    _, both = terms([everywhere, (0, 10, 10, 18, 19, [0])], [True, False])
    _, alone = terms([(0, 10, 10, 18, 19, [0])], [False])
    assert both["box"] == alone["box"] and both["class"] == alone["class"]
    assert 0 < both["objectness"] < alone["objectness"]
