import numpy as np
import pytest
import torch

from stadet.detect.batch import ClipBatch, Predictions, Targets
from stadet.detect.detector import Detector
from stadet.detect.inference import InferenceConfig
from stadet.detect.structures import AnnotationSet, VideoAnnotations
from stadet.detect.view import View
from stadet.tools.training.scoring import score

BOX = (10.0, 10.0, 40.0, 40.0)


class Oracle(Detector):
    """Says of every key frame the same box, of class 0."""

    predicts = "last_frame"
    objectness = 0.9

    def forward(self, frames, state, starts_stream, valid):
        return [frames], None

    def decode(self, maps):
        count = len(maps[0])
        objectness = torch.full((count, 1), self.objectness)
        scores = objectness[..., None] * torch.tensor([0.8, 0.2])
        return Predictions(torch.tensor(BOX).repeat(count, 1, 1), objectness, scores)


def batch(frames):
    count = len(frames)
    no_targets = Targets(torch.zeros(0, 4), torch.zeros(0, 2), torch.zeros(0).long(), torch.ones(0))
    return ClipBatch(
        torch.zeros(count, 2, 3, 64, 64, dtype=torch.uint8),
        no_targets,
        torch.ones(count, dtype=torch.bool),
        torch.ones(count, 2, dtype=torch.bool),
        [View.resize((64, 64), (64, 64))] * count,
        ["v"] * count,
        torch.tensor([(frame, frame) for frame in frames]),
    )


def truth(classes, boxes):
    count = len(classes)
    video = VideoAnnotations.build(
        "v", (64, 64), 25, np.ones(4), np.arange(count), boxes, np.eye(2)[list(classes)]
    )
    return AnnotationSet(("put", "take"), {"v": video})


def test_localization_and_classification_stand_beside_the_map():
    annotations = truth((0, 1, 0), [BOX, BOX, (50, 50, 60, 60)])
    found = score(
        Oracle(),
        [batch([0, 1]), batch([2, 3])],
        annotations,
        InferenceConfig(),
        torch.device("cpu"),
    )
    assert found["localization_recall"] == pytest.approx(2 / 3)
    assert found["classification_accuracy"] == 0.5
    assert 0 < found["frame_map_50"] < 1


def test_what_cannot_be_counted_is_left_out():
    model = Oracle()
    model.objectness = 0.2  # below the bar of a found box
    found = score(model, [batch([0])], truth((0,), [BOX]), InferenceConfig(), torch.device("cpu"))
    assert found["localization_recall"] == 0 and "classification_accuracy" not in found
    model.predicts = "every_frame"
    assert "localization_recall" not in score(
        model, [], truth((0,), [BOX]), InferenceConfig(), torch.device("cpu")
    )
