"""ultralytics' detection networks in this toolkit's loop, alone and with memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

from stadet.anchors.anchors import Anchors
from stadet.datasets.splits.split import Split
from stadet.detect.detection_loss import DetectionLoss
from stadet.detect.detector import Detector, check_divisible
from stadet.detect.inference import InferenceConfig
from stadet.detect.structures import AnnotationSet
from stadet.detect.yolo.staged import PARTS, StagedDetector
from stadet.detect.yolo.weights_report import WeightsReport
from stadet.engine.errors import UserError, neighbours
from stadet.engine.optimise import freeze
from stadet.tools.training.class_weights import class_weights
from stadet.tools.training.config import UltralyticsConfig
from stadet.tools.training.data import class_counts
from stadet.tools.training.recipes.frames import FrameRecipe
from stadet.tools.training.recipes.streams import StreamRecipe
from stadet.tools.training.starting_weights import load_starting_weights

if TYPE_CHECKING:
    from stadet.recurrent_yolo.model import RecurrentYOLO


class UltralyticsRecipe(FrameRecipe):
    """A network of ultralytics with its own loss, trained on single frames in random order."""

    key = "ultralytics"
    section: ClassVar[type | None] = UltralyticsConfig
    has_public_weights = True
    around_detector = True
    detector = "ultralytics"

    def check(self) -> None:
        from stadet.detect.ultralytics_models.architecture import network_facts

        own = self.config.ultralytics
        facts = network_facts(own.network)
        check_divisible(self.config.data.size, max(facts.strides))
        if own.one_to_one and not facts.has_one_to_one:
            raise UserError(
                f"ultralytics.one_to_one: expected a network with a one-to-one head, such as "
                f"yolo26n, found {own.network}"
            )
        for part in own.freeze:
            if part not in PARTS:
                raise UserError(f"ultralytics.freeze: no part {part!r}{neighbours(part, PARTS)}")

    def build_base(self, num_classes: int, anchors: Anchors | None) -> Detector:
        from stadet.detect.ultralytics_models.detector import UltralyticsDetector

        own = self.config.ultralytics
        return UltralyticsDetector(own.network, num_classes, one_to_one=own.one_to_one)

    def load_weights(self, base: Detector, split: Split) -> list[WeightsReport]:
        weights = self.config.ultralytics.weights
        if not weights:
            return []
        allow = self.config.allow_overlap
        return [load_starting_weights(base, weights, split, allow_overlap=allow)]

    def published_inference(self) -> InferenceConfig:
        """The IoU and the number of boxes of `yolo predict`; a one-to-one head needs no
        suppression."""
        alone = self.config.ultralytics.one_to_one
        return InferenceConfig(iou_threshold=1.0 if alone else 0.7, max_detections=300)

    def freeze(self, model: Detector) -> None:
        for part in self.config.ultralytics.freeze:
            for module in cast(StagedDetector, model).modules_of(part):
                freeze(module)

    def loss(self, anchors: Anchors | None, train: AnnotationSet) -> DetectionLoss:
        from stadet.detect.ultralytics_models.architecture import network_facts
        from stadet.detect.ultralytics_models.loss import UltralyticsLoss

        own = self.config.ultralytics
        power = own.balance_classes
        return UltralyticsLoss(
            network_facts(own.network),
            box_gain=own.box_gain,
            class_gain=own.class_gain,
            distance_gain=own.distance_gain,
            class_weights=class_weights(class_counts(train), power) if power else None,
        )


class RecurrentUltralyticsRecipe(StreamRecipe, UltralyticsRecipe):
    """The frame detector is that of `ultralytics`; the memory and the streams are those of
    `recurrent`."""

    def check(self) -> None:
        super().check()
        placement = self.config.recurrent.placement
        if placement != "neck":
            raise UserError(
                "recurrent.placement: expected neck, the features that enter ultralytics' head, "
                f"found {placement}"
            )

    def freeze(self, model: Detector) -> None:
        cast("RecurrentYOLO", model).freeze(self.config.ultralytics.freeze)
