"""Detectors from configurations and from checkpoints: the one place that knows every model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from stadet.anchors.anchors import Anchors
from stadet.engine.checkpoint import load_checkpoint
from stadet.engine.config import from_dict, to_dict
from stadet.engine.errors import UserError
from stadet.tools.training.config import TrainConfig


@dataclass(frozen=True)
class DetectorFile:
    """A checkpoint opened for use: the model with its weights and all that stands beside them.

    threshold: the score that gave the best F1 on the run's validation side; None before that
    was measured.
    """

    path: Path
    model: nn.Module
    names: tuple[str, ...]
    config: TrainConfig
    anchors: Anchors
    split: dict[str, Any]
    threshold: float | None


def check_network(config: TrainConfig) -> None:
    """UserError for what no data set can mend, before any of it is read: YOWO's input size, clip
    length, backbone and width."""
    if config.model != "yowo":
        return
    from stadet.yowo.darknet19 import Darknet19
    from stadet.yowo.model import build_backbone3d, check_divisible

    check_divisible(config.data.size, Darknet19.stride)
    with torch.device("meta"):
        backbone = build_backbone3d(config.yowo.backbone, config.yowo.width)
    backbone.check_length(config.yowo.clip_length)


def build_base(config: TrainConfig, num_classes: int, anchors: Anchors) -> nn.Module:
    """The network that starting weights are for: a frame detector, or YOWO."""
    if config.model == "yowo":
        from stadet.yowo.model import YOWO

        yowo = config.yowo
        return YOWO(
            num_classes,
            anchors,
            backbone=yowo.backbone,
            width=yowo.width,
            clip_length=yowo.clip_length,
            clip_step=yowo.clip_step,
            multi_label_classes=yowo.multi_label_classes,
            input_mean=yowo.input_mean,
            input_std=yowo.input_std,
        )
    yolo = config.yolo
    if yolo.network == "yolov3":
        from stadet.detect.yolo.yolov3 import YOLOv3

        return YOLOv3(num_classes, anchors, width=yolo.width, depth=yolo.depth, body=yolo.body)
    from stadet.detect.yolo.yolov3_tiny import YOLOv3Tiny

    return YOLOv3Tiny(num_classes, anchors, width=yolo.width)


def complete_detector(config: TrainConfig, base: nn.Module) -> nn.Module:
    """The network that `config.model` names, built around `base`."""
    recurrent = config.recurrent
    if config.model == "recurrent-yolo":
        from stadet.recurrent_yolo.model import RecurrentYOLO

        return RecurrentYOLO(
            base,
            recurrent.memory,
            placement=recurrent.placement,
            levels=recurrent.levels,
            clip_length=recurrent.sampler.window,
            network_size=tuple(config.data.size),
        )
    if config.model == "stacked-yolo":
        from stadet.recurrent_yolo.stacked import StackedYOLO

        window = recurrent.sampler.window
        return StackedYOLO(base, recurrent.stacked_frames, clip_length=window)
    return base


def build_detector(config: TrainConfig, num_classes: int, anchors: Anchors) -> nn.Module:
    """The whole network of a configuration, with initial weights."""
    return complete_detector(config, build_base(config, num_classes, anchors))


def checkpoint_description(
    config: TrainConfig, names: tuple[str, ...], anchors: Anchors, split: dict[str, Any]
) -> dict[str, Any]:
    """What every checkpoint of a run says of itself, in plain data; `open_detector` reads it."""
    return {
        "config": to_dict(config),
        "names": list(names),
        "anchors": anchors.to_dict(),
        "split": split,
        "threshold": None,
    }


def open_detector(path: str | Path, device: torch.device | str = "cpu") -> DetectorFile:
    """Read a checkpoint of `stad train`. Raises UserError where it is not one."""
    content = load_checkpoint(path)
    try:
        config = from_dict(TrainConfig, content["config"], f"checkpoint {path}")
        names = tuple(content["names"])
        anchors = Anchors.from_dict(content["anchors"])
        model = build_detector(config, len(names), anchors)
        model.load_state_dict(content["model"])
    except (KeyError, ValueError) as error:
        raise UserError(f"checkpoint {path}: not of a detector ({error})") from error
    except RuntimeError as error:
        first = str(error).splitlines()[-1].strip()
        raise UserError(
            f"checkpoint {path}: its weights do not fit its own configuration ({first})"
        ) from error
    return DetectorFile(
        Path(path),
        model.to(device).eval(),
        names,
        config,
        anchors,
        content["split"],
        content["threshold"],
    )
