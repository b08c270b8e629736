"""Detectors from configurations and from checkpoints: with all that goes with them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch

from stadet.anchors.anchors import Anchors
from stadet.datasets.clips.timing import Timing, read_timing
from stadet.datasets.splits.split import Split
from stadet.detect.detector import Detector
from stadet.detect.ultralytics_models.checkpoint import is_ultralytics_file
from stadet.engine.checkpoint import UNFIT, building_to_load, load_checkpoint, load_state
from stadet.engine.config import from_dict, to_dict
from stadet.engine.errors import UserError
from stadet.tools.training.config import TrainConfig

if TYPE_CHECKING:
    from stadet.detect.ultralytics_models.detector import UltralyticsDetector

THRESHOLD = 0.25  # of a checkpoint without a learnt one


@dataclass(frozen=True)
class DetectorFile:
    """A checkpoint opened for use: the model with its weights and everything stored with them.

    threshold: the score that gave the best F1 on the run's validation side; None before that
    was measured. timing: how far apart its frames were in training; None where the file does not
    say (it is older than that).
    """

    path: Path
    model: Detector
    names: tuple[str, ...]
    config: TrainConfig
    anchors: Anchors | None
    split: dict[str, Any]
    threshold: float | None
    timing: Timing | None = None

    @property
    def shown_threshold(self) -> float:
        """Least score to draw and to tell: the learnt one, or `THRESHOLD`."""
        return THRESHOLD if self.threshold is None else self.threshold


def checkpoint_description(
    config: TrainConfig,
    names: tuple[str, ...],
    anchors: Anchors | None,
    split: dict[str, Any],
    timing: Timing | None = None,
) -> dict[str, Any]:
    """Description of a run in each of its checkpoints, as plain data; `open_detector` reads it."""
    return {
        "config": to_dict(config),
        "names": list(names),
        "anchors": anchors and anchors.to_dict(),
        "split": split,
        "threshold": None,
        "timing": timing and timing.to_dict(),
    }


def read_anchors(content: dict[str, Any], config: TrainConfig) -> Anchors | None:
    """The anchors of a checkpoint's or an exported file's description; None for a model without."""
    if config.recipe.anchors() is None:
        return None
    return Anchors.from_dict(content["anchors"])


def open_detector(path: str | Path, device: torch.device | str = "cpu") -> DetectorFile:
    """Read a checkpoint of `stad train`, or a detector of `yolo train`.

    Raises UserError where it is neither.
    """
    if is_ultralytics_file(path):
        return _open_ultralytics(path, device)
    content = load_checkpoint(path)
    if content.get("kind") == "classifier":
        raise UserError(
            f"checkpoint {path}: expected a detector, found a clip classifier, which stad classify "
            "and stadet.open_classifier take"
        )
    try:
        config = from_dict(TrainConfig, content["config"], f"checkpoint {path}")
        names = tuple(content["names"])
        anchors = read_anchors(content, config)
        with building_to_load():
            model = config.recipe.build(len(names), anchors)
        load_state(model, content["model"], f"checkpoint {path}: {UNFIT}")
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise UserError(f"checkpoint {path}: not of a detector ({error})") from error
    return DetectorFile(
        Path(path),
        model.to(device).eval(),
        names,
        config,
        anchors,
        content["split"],
        content["threshold"],
        read_timing(content, f"checkpoint {path}"),
    )


def _open_ultralytics(path: str | Path, device: torch.device | str) -> DetectorFile:
    from stadet.detect.ultralytics_models.checkpoint import read_ultralytics_file
    from stadet.tools.training.ultralytics_file import config_of

    file = read_ultralytics_file(path)
    config = config_of(file)
    with building_to_load():
        model = cast("UltralyticsDetector", config.recipe.build(len(file.names), None))
    load_state(model.network, file.weights, f"weights {path}: {UNFIT}")
    split = Split({}).record()  # which frames it was trained on is not said
    return DetectorFile(Path(path), model.to(device).eval(), file.names, config, None, split, None)
