"""YOLOv3 and YOLOv3-tiny, and what the models built on them share."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, ClassVar, cast

from torch import nn

from stadet.anchors.anchors import Anchors
from stadet.datasets.splits.split import Split
from stadet.detect.detector import Detector, check_divisible
from stadet.detect.structures import AnnotationSet
from stadet.detect.yolo.loss import YoloLoss
from stadet.detect.yolo.weights_report import WeightsReport
from stadet.engine.errors import UserError, neighbours
from stadet.engine.optimise import freeze
from stadet.tools.training.class_weights import class_weights
from stadet.tools.training.config import YoloConfig
from stadet.tools.training.data import class_counts
from stadet.tools.training.recipe import AnchorChoice
from stadet.tools.training.recipes.backbones import check_backbone
from stadet.tools.training.recipes.frames import FrameRecipe
from stadet.tools.training.starting_weights import load_starting_weights

if TYPE_CHECKING:
    from stadet.detect.yolo.backbone_yolo import BackboneYOLO


class YoloRecipe(FrameRecipe):
    """A frame detector, trained on single frames in random order."""

    key = "yolo"
    section: ClassVar[type | None] = YoloConfig
    has_public_weights = True

    def check(self) -> None:
        yolo = self.config.yolo
        check_divisible(self.config.data.size, max(yolo.strides))
        if yolo.network != "backbone":
            for key in ("backbone", "backbone_weights"):
                if getattr(yolo, key) is not None:
                    raise UserError(
                        f"yolo.{key}: expected yolo.network=backbone beside it, found "
                        f"{yolo.network}"
                    )
        else:
            check_backbone(self._backbone(), yolo.strides, yolo.backbone_weights)

    def anchors(self) -> AnchorChoice:
        yolo = self.config.yolo
        return AnchorChoice(yolo.anchors, yolo.num_anchors, tuple(yolo.strides))

    def build_base(self, num_classes: int, anchors: Anchors | None) -> Detector:
        yolo, anchors = self.config.yolo, self.expect_anchors(anchors)
        if yolo.network == "yolov3":
            from stadet.detect.yolo.yolov3 import YOLOv3

            return YOLOv3(num_classes, anchors, width=yolo.width, depth=yolo.depth, body=yolo.body)
        if yolo.network == "backbone":
            from stadet.detect.yolo.backbone_yolo import BackboneYOLO

            return BackboneYOLO(
                num_classes, anchors, backbone=self._backbone(), width=yolo.width, body=yolo.body
            )
        from stadet.detect.yolo.yolov3_tiny import YOLOv3Tiny

        return YOLOv3Tiny(num_classes, anchors, width=yolo.width)

    def load_weights(self, base: Detector, split: Split) -> list[WeightsReport]:
        yolo, reports = self.config.yolo, []
        if yolo.backbone_weights:
            from stadet.detect.backbones.weights import load_backbone_weights

            backbone = cast("BackboneYOLO", base).backbone
            reports.append(load_backbone_weights(backbone, yolo.backbone_weights))
        if yolo.weights:
            allow = self.config.allow_overlap
            reports.append(load_starting_weights(base, yolo.weights, split, allow_overlap=allow))
        return reports

    def _backbone(self) -> str:
        if not self.config.yolo.backbone:
            raise UserError(
                "yolo.backbone: expected the name of an image network, such as mobilenet_v2, "
                "resnet50 or timm/resnet18, found none"
            )
        return self.config.yolo.backbone

    def freeze(self, model: Detector) -> None:
        freeze_children(model, self.config.yolo.freeze)

    def loss(self, anchors: Anchors | None, train: AnnotationSet) -> YoloLoss:
        """The loss of the YOLO family; class weights from the training side's counts."""
        options = asdict(self.config.loss)
        power = options.pop("balance_classes")
        weights = class_weights(class_counts(train), power) if power else None
        return YoloLoss(self.expect_anchors(anchors), class_weights=weights, **options)


def freeze_children(model: nn.Module, parts: list[str]) -> None:
    """Fix children of a frame detector by name. UserError for an unknown one."""
    children = dict(model.named_children())
    for part in parts:
        if part not in children:
            raise UserError(f"yolo.freeze: no part {part!r}{neighbours(part, children)}")
        freeze(children[part])
