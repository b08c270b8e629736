"""Settings of a frame detector that need not be repeated where a model is built around it."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from stadet.engine.checkpoint import is_checkpoint, load_checkpoint
from stadet.engine.config import load_config, read_yaml
from stadet.engine.distributed import is_main
from stadet.tools.training.config import TrainConfig
from stadet.tools.training.recipe import find_recipe

_log = logging.getLogger(__name__)

INHERITED = {  # by the section of the frame detector
    "yolo": (
        "data.size",
        "data.resize",
        "yolo.network",
        "yolo.backbone",
        "yolo.width",
        "yolo.depth",
        "yolo.body",
        "yolo.strides",
        "yolo.num_anchors",
    ),
    "ultralytics": ("data.size", "data.resize", "ultralytics.network", "ultralytics.one_to_one"),
}


def load_train_config(file: str | Path | None = None, overrides: Sequence[str] = ()) -> TrainConfig:
    """A training's configuration from a file and overrides ("key.path=value").

    A model that is built around a frame detector (`Recipe.around_detector`) and starts from the
    checkpoint of one in `yolo.weights` (or `ultralytics.weights`, which may be of `yolo train`)
    takes from it what neither the file nor the overrides give: the input's size and shape,
    network, backbone, width, depth, body, strides, and the anchors and their number.

    Raises:
        UserError: for a file that cannot be read, unknown keys and values of another type.
    """
    config = load_config(TrainConfig, file, overrides)
    recipe = find_recipe(config.model)
    section = recipe.detector
    weights = getattr(config, section).weights
    if not (weights and recipe.around_detector):
        return config
    known = _settings(weights, section)
    if known is None:
        return config
    given = set(_leaves(read_yaml(file))) if file is not None else set()
    given |= {override.partition("=")[0].strip().lstrip("-") for override in overrides}
    more = [f"{key}={_text(value)}" for key, value in _known(known, section, given)]
    if section == "yolo" and not _is_given("yolo.anchors", given):
        more.append(f"yolo.anchors={weights}")
    if more and is_main():
        _log.warning(f"taken from {weights}: {', '.join(more)}")
    return load_config(TrainConfig, file, [*overrides, *more])


def _settings(weights: str, section: str) -> Mapping[str, Any] | None:
    """The configuration that a file of weights was trained with; None where it does not say."""
    if not Path(weights).is_file():
        return None
    if is_checkpoint(weights):
        return load_checkpoint(weights).get("config", {})
    if section != "ultralytics":
        return None
    from stadet.tools.training.ultralytics_file import settings_of

    return settings_of(weights)


def _known(config: Mapping[str, Any], detector: str, given: set[str]) -> Iterator[tuple[str, Any]]:
    for key in INHERITED[detector]:
        section, _, name = key.partition(".")
        if not _is_given(key, given) and name in config.get(section, {}):
            yield key, config[section][name]


def _is_given(key: str, given: set[str]) -> bool:
    return any(key == other or key.startswith(f"{other}.") for other in given)


def _leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield prefix + name


def _text(value: Any) -> str:
    """A value as an override takes it."""
    return yaml.safe_dump(value, default_flow_style=True).removesuffix("...\n").strip()
