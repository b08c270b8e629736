"""What the recipes of frame detectors share: a loss of single frames, in random order."""

from __future__ import annotations

from stadet.anchors.anchors import Anchors
from stadet.datasets.clips.samplers import frame_sampler
from stadet.detect.detection_loss import DetectionLoss
from stadet.detect.structures import AnnotationSet
from stadet.detect.yolo.training import FrameTrainingStep
from stadet.engine.training_step import EpochSampler, TrainingStep
from stadet.tools.training.data import Footage, process_share
from stadet.tools.training.recipe import Recipe


class FrameRecipe(Recipe):
    """A detector that answers for every frame. A subclass gives `build_base` and `loss`."""

    def loss(self, anchors: Anchors | None, train: AnnotationSet) -> DetectionLoss:
        """The loss of the frames. train: the truth of the training side."""
        raise NotImplementedError(f"{type(self).__name__}.loss")

    def step(self, anchors: Anchors | None, train: AnnotationSet) -> TrainingStep:
        return FrameTrainingStep(self.loss(anchors, train))

    def sampler(self, footage: Footage, train: AnnotationSet) -> EpochSampler:
        data = self.config.data
        return frame_sampler(
            train,
            data.batch,
            negatives=data.negatives,
            balance=data.balance,
            seed=self.config.seed,
            share=process_share(),
        )
