"""Recurrent YOLO: a YOLO with memory, trained on streams through action sequences."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from stadet.detect.detector import Detector
from stadet.tools.training.recipes.streams import StreamRecipe
from stadet.tools.training.recipes.yolo import YoloRecipe

if TYPE_CHECKING:
    from stadet.recurrent_yolo.model import RecurrentYOLO


class RecurrentYoloRecipe(StreamRecipe, YoloRecipe):
    """The frame detector is that of `yolo`; the memory and the streams are those of `recurrent`."""

    def freeze(self, model: Detector) -> None:
        cast("RecurrentYOLO", model).freeze(self.config.yolo.freeze)
