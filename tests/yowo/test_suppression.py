"""YOWO's published suppression, box by box, against ours with `rank: objectness`."""

import numpy as np
import pytest
import torch

from stadet.configs import find_config
from stadet.detect.batch import Predictions
from stadet.detect.boxes import pairwise_iou
from stadet.detect.inference import InferenceConfig
from stadet.detect.nms import suppress
from stadet.engine.config import load_config
from stadet.engine.errors import UserError
from stadet.tools.training.config import TrainConfig


def published(boxes, objectness, classes, floor, threshold):
    """Boxes whose best class reaches the floor, by falling objectness; each that still stands takes
    away all later ones of higher IoU, of any class. Returns [(row, {class: score})]."""
    scores = objectness[:, None] * classes
    rows = [k for k in range(len(boxes)) if scores[k].max() > floor]
    rows.sort(key=lambda k: -objectness[k])
    gone, kept = set(), []
    for place, row in enumerate(rows):
        if row in gone:
            continue
        kept.append((row, {c: scores[row, c] for c in np.flatnonzero(scores[row] > floor)}))
        for other in rows[place + 1 :]:
            if pairwise_iou(boxes[row][None], boxes[other][None])[0, 0] > threshold:
                gone.add(other)
    return kept


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("threshold", [0.4, 0.5])
def test_equals_the_published_loop(seed, threshold):
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(1, 245, 2, generator=generator) * 150
    boxes = torch.cat([corner, corner + 20 + torch.rand(1, 245, 2, generator=generator) * 60], -1)
    objectness = torch.rand(1, 245, generator=generator)
    classes = torch.rand(1, 245, 24, generator=generator).mul(4).softmax(-1)
    predictions = Predictions(boxes, objectness, objectness[..., None] * classes)
    (found,) = suppress(predictions, 0.005, threshold, 1000, True, "objectness")
    want = published(
        boxes[0].double().numpy(), objectness[0].numpy(), classes[0].numpy(), 0.005, threshold
    )
    assert len(found.boxes) == len(want) > 20
    for box, row_scores, (row, scores) in zip(found.boxes, found.scores, want, strict=True):
        assert torch.equal(box, boxes[0, row])
        assert set(row_scores.nonzero()[:, 0].tolist()) == set(scores)
        np.testing.assert_allclose(row_scores[list(scores)], list(scores.values()), rtol=1e-6)
    (by_score,) = suppress(predictions, 0.005, threshold, 1000, True)
    assert {tuple(b.tolist()) for b in by_score.boxes} != {tuple(b.tolist()) for b in found.boxes}


@pytest.mark.parametrize(
    ("name", "iou"), [("yowo_ucf24", 0.4), ("yowo_jhmdb21", 0.4), ("yowo_ava", 0.5)]
)
def test_configurations_of_public_weights_suppress_as_published(name, iou):
    config = load_config(TrainConfig, find_config(f"configs/{name}.yaml"), [])
    want = InferenceConfig(0.005, iou, 1000, True, "objectness")
    assert config.inference == want == config.recipe.published_inference()
    assert f"ranked by objectness, above IoU {iou}" in config.inference.describe()


def test_objectness_ranks_all_classes_together_or_not_at_all():
    with pytest.raises(UserError, match="class_agnostic"):
        InferenceConfig(rank="objectness")
    with pytest.raises(UserError, match="score or objectness"):
        InferenceConfig(rank="confidence")
