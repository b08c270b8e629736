import numpy as np
import pytest

from stadet.detect.structures import AnnotationSet, VideoAnnotations
from stadet.tools.training.class_weights import class_weights
from stadet.tools.training.config import DataConfig, RecurrentConfig
from stadet.tools.training.data import class_counts, open_footage
from stadet.tools.training.recipes.streams import training_sequences

NAMES = ("often", "seldom", "never")


def annotated(counts):
    """One video with a box a frame; `counts` boxes of each class."""
    labels = np.repeat(np.eye(len(counts)), counts, axis=0)
    frames = np.arange(len(labels))
    boxes = np.tile((0.0, 0.0, 10.0, 10.0), (len(labels), 1))
    video = VideoAnnotations.build("v", (64, 64), 25.0, np.ones(len(labels)), frames, boxes, labels)
    return AnnotationSet(NAMES, {"v": video})


def test_counts_are_of_boxes():
    assert class_counts(annotated((8, 2, 0))).tolist() == [8, 2, 0]


@pytest.mark.parametrize("power", [0.5, 1.0])
def test_class_weights_rise_as_classes_become_rare(power):
    weights = class_weights(np.array([8, 2, 0]), power)
    assert weights == pytest.approx([(5 / 8) ** power, (5 / 2) ** power, 1.0])


def test_sequences_of_a_recurrent_model_stay_on_their_side(footage):
    opened = open_footage(DataConfig(dataset=str(footage.dataset), size=(64, 96), workers=0))
    train = opened.dataset.side("train")
    clips = training_sequences(RecurrentConfig(), opened, train)
    shown = {name: np.zeros(video.num_frames, bool) for name, video in train.videos.items()}
    for clip in clips:
        allowed = opened.dataset.split.visible("train", clip.video, len(shown[clip.video]))
        assert allowed[clip.start : clip.stop].all()
        shown[clip.video][clip.start : clip.stop] = True
    for video in train:  # no labelled frame is left out
        assert shown[video.name][video.frames].all()


def test_rare_classes_are_shown_more_often(footage):
    opened = open_footage(DataConfig(dataset=str(footage.dataset), size=(64, 96), workers=0))
    train = opened.dataset.side("train")
    plain = training_sequences(RecurrentConfig(), opened, train)
    balanced = training_sequences(RecurrentConfig(balance_threshold=1.0), opened, train)
    assert {clip.repeats for clip in plain} == {1}
    assert max(clip.repeats for clip in balanced) > 1
