"""The configuration of a detector that was trained by ultralytics."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stadet.detect.ultralytics_models.architecture import network_facts
from stadet.detect.ultralytics_models.checkpoint import UltralyticsFile, read_ultralytics_file
from stadet.engine.config import from_dict
from stadet.tools.training.config import TrainConfig


def settings_of(path: str | Path) -> dict[str, Any]:
    """Network, and size and shape of the input, as a configuration gives them.

    The size is a square of the side that it was trained with. UserError for other files.
    """
    return _settings(read_ultralytics_file(path))


def config_of(file: UltralyticsFile) -> TrainConfig:
    """The configuration by which such a detector is run: its own size, ultralytics' suppression."""
    settings = {"model": "ultralytics", **_settings(file)}
    config = from_dict(TrainConfig, settings, "a checkpoint of ultralytics")
    inference = config.recipe.published_inference()
    assert inference is not None
    config.inference = inference
    return config


def _settings(file: UltralyticsFile) -> dict[str, Any]:
    stride = max(network_facts(file.network).strides)
    side = -(-file.size // stride) * stride
    return {
        "data": {"size": [side, side], "resize": "letterbox"},
        "ultralytics": {"network": file.network},
    }
