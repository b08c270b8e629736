"""Stacked YOLO: the memoryless rival, trained on the same streams as Recurrent YOLO."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from stadet.detect.detector import Detector
from stadet.tools.training.recipes.recurrent_yolo import RecurrentYoloRecipe
from stadet.tools.training.recipes.yolo import freeze_children

if TYPE_CHECKING:
    from stadet.detect.yolo.head import YoloDetector
    from stadet.recurrent_yolo.stacked import StackedYOLO


class StackedYoloRecipe(RecurrentYoloRecipe):
    """The frame detector of `yolo` on `recurrent.stacked_frames` frames at once."""

    def complete(self, base: Detector) -> Detector:
        from stadet.recurrent_yolo.stacked import StackedYOLO

        recurrent = self.config.recurrent
        return StackedYOLO(
            cast("YoloDetector", base),
            recurrent.stacked_frames,
            clip_length=recurrent.sampler.window,
        )

    def freeze(self, model: Detector) -> None:
        freeze_children(cast("StackedYOLO", model).detector, self.config.yolo.freeze)
