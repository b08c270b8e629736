import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.ops import box_iou

import stadet.detect.yolo.assignment
from stadet.detect.batch import Targets
from stadet.detect.yolo.assignment import assign, match_anchors, overlaps_truth, shape_iou

ANCHORS = [torch.tensor([[8.0, 8], [12, 20]]), torch.tensor([[30.0, 30], [20, 50], [60, 40]])]
STRIDES = (8, 16)
SIZES = [(6, 8), (3, 4)]  # of an image of 48 x 64


def targets(boxes, item=None, looked_at=(True, True), labels=None):
    boxes = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    labels = torch.ones(len(boxes), 2) if labels is None else torch.tensor(labels)
    item = torch.zeros(len(boxes)) if item is None else torch.tensor(item)
    return Targets(boxes, labels, item.long(), torch.tensor(looked_at))


def slow_assign(truths, match_iou):
    """{(level, item, anchor, row, column): truth} by loops."""
    flat = [(level, a) for level, sizes in enumerate(ANCHORS) for a in range(len(sizes))]
    best_fit, owner = {}, {}
    for t, box in enumerate(truths.boxes.tolist()):
        x1, y1, x2, y2 = box
        w, h = np.float32(x2) - np.float32(x1), np.float32(y2) - np.float32(y1)
        if w <= 0 or h <= 0 or not truths.looked_at[truths.item[t]]:
            continue
        fits = []
        for level, a in flat:
            aw, ah = ANCHORS[level][a].tolist()
            common = min(w, aw) * min(h, ah)
            fits.append(common / (w * h + aw * ah - common))
        for index, (level, a) in enumerate(flat):
            if index != int(np.argmax(fits)) and not fits[index] > match_iou:
                continue
            height, width = SIZES[level]
            cx, cy = (x1 + x2) / 2 / STRIDES[level], (y1 + y2) / 2 / STRIDES[level]
            if not (0 <= cx <= width and 0 <= cy <= height):
                continue
            cell = (int(truths.item[t]), a, min(int(cy), height - 1), min(int(cx), width - 1))
            slot = (level, *cell)
            if slot not in owner or fits[index] > best_fit[slot]:
                owner[slot], best_fit[slot] = t, fits[index]
    return owner


def as_dict(assignments):
    out = {}
    for level, a in enumerate(assignments):
        rows = torch.stack([a.item, a.anchor, a.row, a.column, a.truth], 1).tolist()
        for *slot, truth in rows:
            assert (level, *slot) not in out
            out[(level, *slot)] = truth
    return out


# quarters of pixels and sizes of halves: centres fall on cell borders and shapes repeat
corner = st.integers(-40, 260).map(lambda v: v / 4)
side = st.integers(0, 120).map(lambda v: v / 2)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(corner, corner, side, side, st.integers(0, 1)), max_size=12),
    st.sampled_from([0.3, 0.6, 1.0]),
    st.sampled_from([(True, True), (True, False)]),
)
def test_against_loops(rows, match_iou, looked_at):
    boxes = [[x, y, x + w, y + h] for x, y, w, h, _ in rows]
    truths = targets(boxes, [item for *_, item in rows], looked_at)
    found = as_dict(assign(truths, ANCHORS, STRIDES, SIZES, match_iou))
    expected = slow_assign(truths, match_iou)
    assert found.keys() == expected.keys()
    iou, _ = match_anchors(truths, torch.cat(ANCHORS), match_iou)
    for (level, item, anchor, *cell), truth in expected.items():
        # equals in float64 need not be equals in float32: compare the fit, not the row
        column = anchor + level * len(ANCHORS[0])
        other = found[(level, item, anchor, *cell)]
        assert iou[other, column] == pytest.approx(float(iou[truth, column]), abs=1e-6)


@pytest.mark.parametrize(
    ("centre", "cell"),
    [
        ((16, 8), (1, 2)),  # on a border: the cell right and below
        ((15.99, 7.99), (0, 1)),
        ((64, 48), (5, 7)),  # the right bottom corner: the last cell
        ((0, 0), (0, 0)),
        ((64.1, 20), None),  # outside
        ((20, -0.1), None),
    ],
)
def test_centres_on_borders_and_outside(centre, cell):
    cx, cy = centre
    fine, coarse = assign(targets([[cx - 4, cy - 4, cx + 4, cy + 4]]), ANCHORS, STRIDES, SIZES)
    assert len(coarse) == 0
    assert [(int(r), int(c)) for r, c in zip(fine.row, fine.column, strict=True)] == (
        [cell] if cell else []
    )


def test_two_boxes_of_one_cell_and_anchor():
    fits, fits_worse = [16.0, 16, 24, 24], [15.0, 16, 25, 24]
    fine, _ = assign(targets([fits_worse, fits]), ANCHORS, STRIDES, SIZES)
    assert fine.truth.tolist() == [1]
    fine, _ = assign(targets([fits, fits]), ANCHORS, STRIDES, SIZES)
    assert fine.truth.tolist() == [0]
    fine, _ = assign(targets([fits, fits], item=[0, 1]), ANCHORS, STRIDES, SIZES)
    assert sorted(fine.item.tolist()) == [0, 1]


def test_no_truth_and_no_area():
    for boxes in ([], [[8, 8, 8, 20]], [[20, 20, 10, 30]], [[float("nan")] * 4]):
        assert all(len(a) == 0 for a in assign(targets(boxes), ANCHORS, STRIDES, SIZES, 0.3))


def test_shape_iou_is_the_iou_of_centred_boxes():
    sizes = torch.rand(20, 2) * 50 + 1
    anchors = torch.cat(ANCHORS)
    centred = lambda s: torch.cat([-s / 2, s / 2], 1)  # noqa: E731
    torch.testing.assert_close(shape_iou(sizes, anchors), box_iou(centred(sizes), centred(anchors)))


@pytest.mark.parametrize("pairs_at_once", [1, 100, 1 << 22])
def test_overlaps_against_torchvision(monkeypatch, pairs_at_once):
    monkeypatch.setattr(stadet.detect.yolo.assignment, "PAIRS_AT_ONCE", pairs_at_once)
    torch.manual_seed(0)
    corners = torch.rand(3, 40, 2) * 30
    boxes = torch.cat([corners, corners + 5 + torch.rand(3, 40, 2) * 20], 2)
    truths = targets(boxes[[0, 0, 2], [3, 7, 9]].tolist(), [0, 0, 2], (True,) * 3)
    found = overlaps_truth(boxes, truths, 0.4)
    assert not found[1].any()
    for n in (0, 2):
        own = truths.boxes[truths.item == n]
        assert torch.equal(found[n], (box_iou(boxes[n], own) > 0.4).any(1))
