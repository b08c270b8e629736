"""YOWO: a key-frame detector, trained on clips that end at looked-at frames."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch

from stadet.anchors.anchors import Anchors
from stadet.datasets.clips.samplers import key_frame_sampler
from stadet.datasets.splits.split import Split
from stadet.detect.detector import Detector, check_divisible
from stadet.detect.inference import InferenceConfig
from stadet.detect.structures import AnnotationSet
from stadet.detect.yolo.weights_report import WeightsReport
from stadet.engine.checkpoint import is_checkpoint, load_checkpoint
from stadet.engine.errors import UserError
from stadet.engine.training_step import EpochSampler, TrainingStep
from stadet.tools.training.class_weights import class_weights
from stadet.tools.training.config import YowoConfig
from stadet.tools.training.data import Footage, class_counts, process_share
from stadet.tools.training.recipe import AnchorChoice, Recipe, find_recipe
from stadet.tools.training.recipes.backbones import check_backbone
from stadet.tools.training.recipes.reversals import reverse_share
from stadet.tools.training.starting_weights import load_starting_weights

if TYPE_CHECKING:
    from stadet.yowo.model import YOWO


class YowoRecipe(Recipe):
    """Everything is in the section `yowo`."""

    key = "yowo"
    section = YowoConfig
    has_public_weights = True

    def check(self) -> None:
        from stadet.yowo.darknet19 import Darknet19
        from stadet.yowo.model import build_backbone3d

        yowo = self.config.yowo
        check_divisible(self.config.data.size, Darknet19.stride)
        with torch.device("meta"):
            backbone = build_backbone3d(yowo.backbone, yowo.width)
        backbone.check_length(yowo.clip_length)
        if yowo.backbone_2d != "darknet19":
            check_backbone(
                yowo.backbone_2d,
                [stride for stride in (8, 16, 32) if stride >= yowo.stride],
                yowo.weights_2d,
            )

    def anchors(self) -> AnchorChoice:
        yowo = self.config.yowo
        return AnchorChoice(yowo.anchors, yowo.num_anchors, (yowo.stride,))

    def build_base(self, num_classes: int, anchors: Anchors | None) -> Detector:
        from stadet.yowo.model import YOWO

        yowo = self.config.yowo
        return YOWO(
            num_classes,
            self.expect_anchors(anchors),
            backbone=yowo.backbone,
            backbone_2d=yowo.backbone_2d,
            width=yowo.width,
            clip_length=yowo.clip_length,
            clip_step=yowo.clip_step,
            multi_label_classes=yowo.multi_label_classes,
            input_mean=yowo.input_mean,
            input_std=yowo.input_std,
        )

    def load_weights(self, base: Detector, split: Split) -> list[WeightsReport]:
        allow = self.config.allow_overlap
        return load_yowo_weights(cast("YOWO", base), self.config.yowo, split, allow_overlap=allow)

    def published_inference(self) -> InferenceConfig:
        """Boxes of any class compete by objectness; there is no limit on their number."""
        iou = 0.5 if self.config.yowo.multi_label_classes else 0.4  # AVA's weights: 0.5
        return InferenceConfig(
            iou_threshold=iou, class_agnostic=True, rank="objectness", max_detections=1000
        )

    def freeze(self, model: Detector) -> None:
        from stadet.yowo.freezing import freeze_branches

        freeze_branches(cast("YOWO", model), self.config.yowo.freeze)

    def step(self, anchors: Anchors | None, train: AnnotationSet) -> TrainingStep:
        from stadet.yowo.loss import RegionLoss
        from stadet.yowo.training import YOWOTrainingStep

        yowo = self.config.yowo
        power = yowo.balance_classes
        loss = RegionLoss(
            self.expect_anchors(anchors),
            box=yowo.box_loss,
            focal_gamma=yowo.focal_gamma,
            multi_label_classes=yowo.multi_label_classes,
            class_weights=class_weights(class_counts(train), power) if power else None,
        )
        return YOWOTrainingStep(loss, yowo.normalise)

    def sampler(self, footage: Footage, train: AnnotationSet) -> EpochSampler:
        data, yowo = self.config.data, self.config.yowo
        return key_frame_sampler(
            train,
            yowo.clip_length,
            data.batch,
            steps=yowo.steps,
            reverse_share=reverse_share("yowo.reverse", yowo.reverse, footage),
            usable=footage.visible("train", train),
            places=footage.places(train),
            negatives=data.negatives,
            balance=data.balance,
            seed=self.config.seed,
            share=process_share(),
        )

    def frame_step(self) -> int:
        return self.config.yowo.clip_step

    def reach(self) -> tuple[int, int]:
        yowo = self.config.yowo
        span = (yowo.clip_length - 1) * max(yowo.clip_step, *yowo.steps)
        return span, span if yowo.reverse else 0


def load_yowo_weights(
    model: YOWO, config: YowoConfig, split: Split, *, allow_overlap: bool = False
) -> list[WeightsReport]:
    """Fill `model` from the files that the configuration names: the whole, then single branches.

    Raises UserError as `load_starting_weights` does, and for a file of another backbone.
    """
    from stadet.detect.backbones.weights import load_backbone_weights
    from stadet.yowo.image_branch import ImageBranch
    from stadet.yowo.peer_weights import (
        load_darknet19_weights,
        load_kinetics_weights,
        load_yowo_checkpoint,
    )

    strict, reports = config.strict_weights, []
    if config.weights:
        path = Path(config.weights)
        if path.is_file() and not is_checkpoint(path):
            reports.append(load_yowo_checkpoint(model, path, strict=strict))
        else:
            if path.is_file() and strict:
                _expect_backbone(model, path)
            reports.append(load_starting_weights(model, path, split, allow_overlap=allow_overlap))
    if config.weights_2d:
        if isinstance(model.backbone_2d, ImageBranch):
            reports.append(load_backbone_weights(model.backbone_2d.backbone, config.weights_2d))
        else:
            reports.append(load_darknet19_weights(model, config.weights_2d, strict=strict))
    if config.weights_3d:
        reports.append(load_kinetics_weights(model, config.weights_3d, strict=strict))
    return reports


def _expect_backbone(model: YOWO, path: Path) -> None:
    config = load_checkpoint(path)["config"]
    recipe = find_recipe(config["model"], f"weights {path}", may_import=False)
    if not issubclass(recipe, YowoRecipe):
        raise UserError(f"weights {path}: expected a YOWO, found a {config['model']}")
    for key, mine, before in (
        ("backbone", model.backbone, None),
        ("backbone_2d", model.backbone_2d_name, "darknet19"),  # files of before this key
    ):
        found = config["yowo"].get(key, before)
        if found != mine:
            raise UserError(
                f"weights {path}: expected a YOWO of {mine}, found one of {found}; set yowo.{key} "
                "to it"
            )
