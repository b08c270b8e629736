"""The region loss against a loop over every cell and box, in float64 and plain Python."""

import math

import numpy as np
import pytest
import torch

from stadet.anchors.anchors import Anchors
from stadet.detect.batch import Targets
from stadet.yowo.loss import RegionLoss, focal_softmax_loss
from tests.yowo.tiny import NUM_CLASSES, SIZE, anchors, targets

CELLS = (SIZE[0] // 32, SIZE[1] // 32)
SIZES = anchors().levels[0].tolist()
ROWS = [
    (0, (0.0, 8.0, 30.0, 40.0), [1]),  # at x == 0: the public label list would end here
    (0, (50.0, 20.0, 90.0, 60.0), [2]),
    (0, (0.0, 0.0, 12.0, 18.0), [0, 2]),  # two labels
    (2, (33.0, 33.0, 60.0, 62.0), [0]),
    (2, (33.0, 33.0, 59.0, 60.0), [1]),  # wants the same anchor of the same cell, fits it worse
    (3, (10.0, 10.0, 50.0, 50.0), [0]),  # nobody looked at image 3
]
LOOKED_AT = [True, True, True, False]


def raw_map(seed=0, images=4, classes=NUM_CLASSES, scale=1.0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(images, 3, 5 + classes, *CELLS, generator=generator) * scale


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def iou(a, b):
    w = min(a[2], b[2]) - max(a[0], b[0])
    h = min(a[3], b[3]) - max(a[1], b[1])
    if w <= 0 or h <= 0:
        return 0.0
    area = lambda box: (box[2] - box[0]) * (box[3] - box[1])  # noqa: E731
    return w * h / (area(a) + area(b) - w * h)


def ciou_loss(a, b):
    """1 - CIoU (arXiv 1911.08287)."""
    centre = lambda box: ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)  # noqa: E731
    (ax, ay), (bx, by) = centre(a), centre(b)
    diagonal = (max(a[2], b[2]) - min(a[0], b[0])) ** 2 + (max(a[3], b[3]) - min(a[1], b[1])) ** 2
    angle = math.atan((b[2] - b[0]) / (b[3] - b[1])) - math.atan((a[2] - a[0]) / (a[3] - a[1]))
    v = 4 / math.pi**2 * angle**2
    overlap = iou(a, b)
    alpha = v / (1 - overlap + v)
    return 1 - overlap + ((ax - bx) ** 2 + (ay - by) ** 2) / diagonal + alpha * v


def smooth_l1(x):
    return 0.5 * x * x if abs(x) < 1 else abs(x) - 0.5


def decoded(values, anchor, row, column):
    x, y = (sigmoid(values[0]) + column) * 32, (sigmoid(values[1]) + row) * 32
    w, h = SIZES[anchor][0] * math.exp(values[2]), SIZES[anchor][1] * math.exp(values[3])
    return (x - w / 2, y - h / 2, x + w / 2, y + h / 2)


def slow_loss(
    level, rows, looked_at, *, box="smooth_l1", gamma=2.0, multi=0, class_weights=None, ignore=0.6
):
    level = level.double().numpy()
    classes = level.shape[2] - 5
    owners = {}
    for number, (image, truth, _) in enumerate(rows):
        if not looked_at[image]:
            continue
        w, h = truth[2] - truth[0], truth[3] - truth[1]
        fits = [min(w, a) * min(h, b) for a, b in SIZES]
        fits = [inter / (w * h + a * b - inter) for inter, (a, b) in zip(fits, SIZES, strict=True)]
        anchor = fits.index(max(fits))
        column, row = int((truth[0] + w / 2) // 32), int((truth[1] + h / 2) // 32)
        slot = (image, anchor, row, column)
        if slot not in owners or owners[slot][0] < fits[anchor]:
            owners[slot] = (fits[anchor], number)
    sums = {"box": 0.0, "confidence": 0.0, "class": 0.0}
    for image in range(len(level)):
        if not looked_at[image]:
            continue
        for anchor in range(3):
            for row in range(CELLS[0]):
                for column in range(CELLS[1]):
                    values = level[image, anchor, :, row, column]
                    own = decoded(values, anchor, row, column)
                    confidence = sigmoid(values[4])
                    slot = (image, anchor, row, column)
                    if slot not in owners:
                        best = max((iou(own, t) for i, t, _ in rows if i == image), default=0.0)
                        sums["confidence"] += 0.0 if best > ignore else confidence**2 / 2
                        continue
                    _, truth, labels = rows[owners[slot][1]]
                    sums["confidence"] += 5 * (confidence - iou(own, truth)) ** 2 / 2
                    w, h = truth[2] - truth[0], truth[3] - truth[1]
                    wanted = [
                        (truth[0] + w / 2) / 32 - column,
                        (truth[1] + h / 2) / 32 - row,
                        math.log(w / SIZES[anchor][0]),
                        math.log(h / SIZES[anchor][1]),
                    ]
                    said = [sigmoid(values[0]), sigmoid(values[1]), values[2], values[3]]
                    if box == "ciou":
                        sums["box"] += ciou_loss(own, truth)
                    else:
                        pairs = zip(said, wanted, strict=True)
                        sums["box"] += sum(smooth_l1(a - b) for a, b in pairs) / 2
                    logits, shared = values[5:], classes - multi
                    weight = 1.0
                    if class_weights:
                        weight = sum(class_weights[c] for c in labels) / len(labels)
                    within = [c for c in labels if c < shared]
                    exp = np.exp(logits[:shared] - logits[:shared].max())
                    for c in within:
                        p = exp[c] / exp.sum()
                        sums["class"] -= weight * (1 - p) ** gamma * math.log(p) / len(within)
                    for c in range(shared, classes):
                        p = sigmoid(logits[c])
                        sums["class"] -= weight * math.log(p if c in labels else 1 - p)
    return sums


def assert_same(found, expected):
    assert set(found) == set(expected)
    for name, value in expected.items():
        assert float(found[name]) == pytest.approx(value, rel=1e-4, abs=1e-6), name


@pytest.mark.parametrize("box", ["smooth_l1", "ciou"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_equals_the_slow_loop(box, seed):
    level = raw_map(seed)
    loss = RegionLoss(anchors(), box=box)
    found = loss([level], targets(ROWS, 4, LOOKED_AT))
    assert_same(found, slow_loss(level, ROWS, LOOKED_AT, box=box))


@pytest.mark.parametrize("gamma", [0.0, 2.0])
def test_class_weights_and_focal_power(gamma):
    level, weights = raw_map(3), [0.5, 2.0, 3.0]
    loss = RegionLoss(anchors(), class_weights=weights, focal_gamma=gamma)
    expected = slow_loss(level, ROWS, LOOKED_AT, gamma=gamma, class_weights=weights)
    assert_same(loss([level], targets(ROWS, 4, LOOKED_AT)), expected)


def test_several_sigmoids_beside_one_softmax():
    level = raw_map(4, classes=6)
    rows = [
        (0, (0.0, 8.0, 30.0, 40.0), [1, 4, 5]),
        (0, (50.0, 20.0, 90.0, 60.0), [2]),
        (1, (33.0, 33.0, 60.0, 62.0), [3]),  # no class of the softmax
    ]
    loss = RegionLoss(anchors(), multi_label_classes=3)
    found = loss([level], targets(rows, 4, [True] * 4, classes=6))
    assert_same(found, slow_loss(level, rows, [True] * 4, multi=3))


def test_a_prediction_that_overlaps_a_truth_is_let_be():
    """A prediction exactly on a truth that another anchor is responsible for costs nothing."""
    level = torch.full((1, 3, 8, *CELLS), -20.0)
    level[:, :, :4] = 0
    level[0, 2, 4, 0, 0] = 20  # sure of itself
    level[0, 2, 2, 0, 0], level[0, 2, 3, 0, 0] = math.log(30 / 40), math.log(24 / 60)
    rows = [(0, (1.0, 4.0, 31.0, 28.0), [0])]  # anchor 1 is responsible
    found = RegionLoss(anchors())([level], targets(rows, 1))
    assert float(found["confidence"]) == pytest.approx(5 * 1.0 / 2, rel=1e-3)  # anchor 1's own


def test_nothing_there_and_nobody_looked():
    level = raw_map(5).requires_grad_()
    loss = RegionLoss(anchors())
    found = loss([level], targets([], 4))
    assert_same(
        {k: v.detach() for k, v in found.items()}, slow_loss(level.detach(), [], [True] * 4)
    )
    sum(found.values()).backward()
    assert torch.isfinite(level.grad).all() and level.grad.abs().sum() > 0
    unseen = loss([level], targets([], 4, [False] * 4))
    assert all(float(value.detach()) == 0 for value in unseen.values())
    sum(unseen.values()).backward()  # still connected to the graph, for other processes' sake


def test_the_rest_is_not_hidden_by_a_box_at_the_left_edge():
    level = raw_map(6)
    loss = RegionLoss(anchors())
    both = loss([level], targets(ROWS[:2], 4))
    alone = loss([level], targets(ROWS[:1], 4))
    assert float(both["box"]) > float(alone["box"])


def test_the_loss_falls_to_nothing_on_a_perfect_map():
    rows = [(0, (4.0, 8.0, 34.0, 32.0), [1])]
    level = torch.zeros(1, 3, 8, *CELLS)
    level[:, :, 4] = -20
    x, y = 19 / 32, 20 / 32
    level[0, 1, :4, 0, 0] = torch.tensor([math.log(x / (1 - x)), math.log(y / (1 - y)), 0, 0])
    level[0, 1, 4, 0, 0], level[0, 1, 6, 0, 0] = 20, 30
    found = RegionLoss(anchors())([level], targets(rows, 1))
    assert sum(float(v) for v in found.values()) < 1e-5


def test_focal_loss_of_gamma_0_is_cross_entropy():
    logits = torch.randn(5, 4)
    labels = torch.nn.functional.one_hot(torch.tensor([0, 3, 1, 1, 2]), 4).float()
    expected = torch.nn.functional.cross_entropy(logits, labels.argmax(1), reduction="none")
    torch.testing.assert_close(focal_softmax_loss(logits, labels, 0.0), expected)


def test_an_ignored_region_is_neither_object_nor_background():
    loss = RegionLoss(Anchors((np.array([[16.0, 16.0]]),), (16,), (48, 48)))
    maps = [torch.randn(1, 1, 5 + 2, 3, 3, generator=torch.Generator().manual_seed(0))]
    region = Targets(
        torch.tensor([[-500.0, -500.0, 600.0, 600.0]]),
        torch.ones(1, 2),
        torch.zeros(1, dtype=torch.int64),
        torch.ones(1, dtype=torch.bool),
        torch.ones(1, dtype=torch.bool),
    )
    assert all(value == 0 for value in loss(maps, region).values())
