import numpy as np
import pytest
import torch
from torchvision.ops import nms

from stadet.detect.batch import Predictions
from stadet.detect.boxes import pairwise_iou
from stadet.detect.nms import suppress, to_detections
from stadet.detect.view import View


def random_predictions(images=3, boxes=60, classes=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(images, boxes, 2, generator=generator) * 60
    size = torch.rand(images, boxes, 2, generator=generator) * 40 + 4
    objectness = torch.rand(images, boxes, generator=generator)
    scores = objectness[..., None] * torch.rand(images, boxes, classes, generator=generator)
    return Predictions(torch.cat([corner, corner + size], -1), objectness, scores)


def greedy_pairs(boxes, scores, floor, threshold):
    """The obvious loop: {(box, class)} that survive class-wise suppression."""
    survivors = set()
    for c in range(scores.shape[1]):
        waiting = [k for k in np.argsort(-scores[:, c], kind="stable") if scores[k, c] > floor]
        while waiting:
            best = waiting.pop(0)
            survivors.add((int(best), c))
            overlaps = pairwise_iou(boxes[best : best + 1], boxes[waiting])[0]
            waiting = [k for k, iou in zip(waiting, overlaps, strict=True) if iou <= threshold]
    return survivors


def test_class_wise_against_a_greedy_loop():
    predictions = random_predictions()
    for n, kept in enumerate(suppress(predictions, 0.2, 0.4, max_detections=1000)):
        boxes, scores = predictions.boxes[n].numpy(), predictions.scores[n].numpy()
        expected = greedy_pairs(boxes, scores, 0.2, 0.4)
        found = set()
        for box, row in zip(kept.boxes, kept.scores, strict=True):
            k = int((predictions.boxes[n] == box).all(1).nonzero())
            for c in row.nonzero()[:, 0].tolist():
                assert row[c] == predictions.scores[n, k, c]
                found.add((k, c))
        assert found == expected
        best = kept.scores.amax(1)
        assert (best[:-1] >= best[1:]).all()


def test_class_agnostic_is_nms_on_the_best_score():
    predictions = random_predictions(seed=1)
    for n, kept in enumerate(suppress(predictions, 0.0, 0.4, 1000, class_agnostic=True)):
        expected = nms(predictions.boxes[n], predictions.scores[n].amax(1), 0.4)
        torch.testing.assert_close(kept.boxes, predictions.boxes[n][expected])
        torch.testing.assert_close(kept.scores, predictions.scores[n][expected])


@pytest.mark.parametrize("class_agnostic", [False, True])
def test_batched_equals_single(class_agnostic):
    predictions = random_predictions(images=4, seed=2)
    batched = suppress(predictions, 0.1, 0.5, 20, class_agnostic)
    for n, kept in enumerate(batched):
        alone = Predictions(
            predictions.boxes[n : n + 1],
            predictions.objectness[n : n + 1],
            predictions.scores[n : n + 1],
        )
        for a, b in zip(kept, suppress(alone, 0.1, 0.5, 20, class_agnostic)[0], strict=True):
            assert torch.equal(a, b)


def test_a_box_keeps_several_classes_and_loses_suppressed_ones():
    boxes = torch.tensor([[[0.0, 0, 10, 10], [0, 0, 10, 9]]])
    scores = torch.tensor([[[0.9, 0.2, 0.01], [0.5, 0.6, 0.0]]])
    (kept,) = suppress(Predictions(boxes, torch.ones(1, 2), scores), 0.05, 0.5, 10)
    assert kept.scores.tolist() == torch.tensor([[0.9, 0, 0], [0, 0.6, 0]]).tolist()
    (kept,) = suppress(Predictions(boxes, torch.ones(1, 2), scores), 0.05, 0.5, 10, True)
    assert kept.scores.tolist() == torch.tensor([[0.9, 0.2, 0]]).tolist()


@pytest.mark.parametrize("class_agnostic", [False, True])
@pytest.mark.parametrize(("images", "boxes"), [(1, 0), (0, 5), (2, 5)])
def test_nothing_above_the_floor(images, boxes, class_agnostic):
    predictions = Predictions(
        torch.rand(images, boxes, 4), torch.zeros(images, boxes), torch.zeros(images, boxes, 3)
    )
    out = suppress(predictions, 0.1, 0.5, 10, class_agnostic)
    assert len(out) == images
    assert all(kept.boxes.shape == (0, 4) and kept.scores.shape == (0, 3) for kept in out)
    assert all(len(to_detections(kept, View.resize((8, 8), (8, 8)))) == 0 for kept in out)


def test_max_detections_counts_boxes_and_keeps_the_best():
    predictions = random_predictions(images=1, seed=3)
    (everything,) = suppress(predictions, 0.05, 0.5, 1000)
    (few,) = suppress(predictions, 0.05, 0.5, 5)
    for all_rows, first_rows in zip(everything, few, strict=True):
        assert torch.equal(all_rows[:5], first_rows)


def test_home_through_a_letterbox_clipped():
    view = View.letterbox((100, 200), (64, 64))
    inside, over_the_edge = np.array([20.0, 10, 60, 40]), np.array([150.0, 50, 230, 120])
    network = view.to_network(np.stack([inside, over_the_edge]))
    grey = [[0.0, 0.0, 64.0, 10.0]]  # on the border above the picture
    boxes = torch.tensor(np.concatenate([network, grey]))[None]
    predictions = Predictions(boxes, torch.full((1, 3), 0.9), torch.rand(1, 3, 2) + 0.1)
    (kept,) = suppress(predictions, 0.05, 0.9, 10)
    found = to_detections(kept, view)
    assert len(found) == 2
    ordered = found.boxes[found.boxes[:, 0].argsort()]
    np.testing.assert_allclose(ordered, [inside, [150, 50, 200, 100]], atol=1e-4)
