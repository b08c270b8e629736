"""A detector from outside the toolkit: a package of its own would look like this file."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from stadet.datasets.clips.samplers import frame_sampler
from stadet.detect.batch import Predictions, normalise_frames
from stadet.detect.detector import Detector
from stadet.engine.errors import UserError
from stadet.engine.training_step import TrainingStep
from stadet.tools.training.recipe import Recipe

HEIGHT = 0.5  # of every box, in shares of the picture


@dataclass
class ToyConfig:
    """channels: of the hidden layer."""

    channels: int = 4

    def __post_init__(self) -> None:
        if self.channels < 1:
            raise UserError(f"toy.channels: expected at least 1, found {self.channels}")


class ToyDetector(Detector):
    """One box in the middle of each frame, with a score for each class. No anchors."""

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.hidden = nn.Conv2d(3, channels, 3, stride=2)
        self.head = nn.Linear(channels, num_classes)

    def forward(self, frames, state=None, starts_stream=None, valid=None):
        images = normalise_frames(frames.flatten(0, 1))
        logits = self.head(self.hidden(images).relu().mean((2, 3)))
        sides = images.new_tensor([[1 - HEIGHT, 1 - HEIGHT, 1 + HEIGHT, 1 + HEIGHT]]) / 2
        height, width = images.shape[-2:]
        boxes = sides * images.new_tensor([width, height, width, height])
        return [logits, boxes + 0 * logits[:, :1]], None  # one for each image, in ONNX too

    def decode(self, maps):
        logits, boxes = maps
        scores = logits.sigmoid()[:, None]
        return Predictions(boxes[:, None], torch.ones_like(scores[..., 0]), scores)


class ToyStep(TrainingStep):
    """Which classes are anywhere on a looked-at frame."""

    def __call__(self, model, batch, carry):
        (logits, _), _ = model(batch.frames)
        targets = batch.targets
        present = torch.zeros_like(logits).index_add(0, targets.item, targets.labels).clamp(max=1)
        rows = targets.looked_at
        loss = functional.binary_cross_entropy_with_logits(logits[rows], present[rows])
        return {"class": loss}, carry


class ToyRecipe(Recipe):
    key = "toy"
    section = ToyConfig

    def build_base(self, num_classes, anchors):
        return ToyDetector(self.own.channels, num_classes)

    def step(self, anchors, train):
        return ToyStep()

    def sampler(self, footage, train):
        return frame_sampler(train, self.config.data.batch, seed=self.config.seed)


class Clashing(Recipe):
    """Wants a section that the toolkit has already."""

    key = "yowo"
    section = ToyConfig


not_a_recipe = ToyDetector
