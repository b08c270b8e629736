"""ultralytics' detector configurations by name, read from the installed package.

Only the package's own files are read: a configuration may name code (`activation` is evaluated, and
`TorchVision` downloads weights), so none is taken from a checkpoint or from a folder.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from stadet.detect.yolo.ultralytics_body import keep_offline
from stadet.engine.errors import UserError, neighbours

if TYPE_CHECKING:
    from ultralytics.nn.tasks import DetectionModel

HEADS = ("Detect", "v10Detect")
SIZED = re.compile(r"(yolov?\d+)([nslmx])(-.+)?")  # yolo11n, yolov8x-p6
SETTINGS = (
    "scale",
    "scales",
    "activation",
    "reg_max",
    "end2end",
    "depth_multiple",
    "width_multiple",
)


@dataclass(frozen=True)
class Facts:
    """What a network's loss and its users need to know of it besides its weights.

    Attributes:
        strides: of the levels in network pixels, finest first.
        reg_max: bins of each side's distance; 1 = the distance itself.
        has_one_to_one: it has a second head, whose answers need no suppression.
    """

    strides: tuple[int, ...]
    reg_max: int
    has_one_to_one: bool


def read_architecture(name: str) -> dict[str, Any]:
    """ultralytics' configuration of that name (yolo11n, yolov8x-p6, yolov3, ..), as it reads it.

    UserError for an unknown name, for one without the size it needs, and for another task's.
    """
    stem = name.removesuffix(".yaml")
    files = _files()
    sized = SIZED.fullmatch(stem)
    path = files.get(stem) or (files.get(sized[1] + (sized[3] or "")) if sized else None)
    if path is None:
        known = network_names()
        raise UserError(
            "ultralytics.network: expected one of ultralytics' detector configurations (yolov8n, "
            f"yolo11n, yolo26n, ..), found {name!r}{neighbours(stem, known)}"
        )
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    head = content["head"][-1][2]
    if head not in HEADS:
        raise UserError(
            f"ultralytics.network: expected a detector configuration, found {name!r}, whose head "
            f"is {head}"
        )
    scale = sized[2] if sized else ""
    scales = content.get("scales") or {}
    if len(scales) > 1 and scale not in scales:
        sizes = ", ".join(stem + size for size in scales)
        raise UserError(
            f"ultralytics.network: expected a size with {name!r}, one of {sizes}"
            if not sized
            else f"ultralytics.network: {name!r} has the sizes {', '.join(scales)}"
        )
    return {**content, "scale": scale, "yaml_file": f"{stem}.yaml"}


def network_names() -> list[str]:
    """Every name that `read_architecture` takes."""
    names = []
    for stem, path in _files().items():
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        if content["head"][-1][2] not in HEADS:
            continue
        base, dash, rest = stem.partition("-")
        own = len(content.get("scales") or {}) < 2
        names += [stem] if own else [base + s + dash + rest for s in content["scales"]]
    return names


def same_architecture(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Do two configurations build the same network, but for the number of classes?"""
    return all(
        _plain(found.get(key)) == _plain(wanted.get(key)) for key in ("backbone", "head", *SETTINGS)
    )


def build_network(name: str, num_classes: int) -> DetectionModel:
    """The network with ultralytics' initial weights. UserError as of `read_architecture`."""
    return _build(read_architecture(name), num_classes)


@functools.lru_cache
def network_facts(name: str) -> Facts:
    """Facts of the network that `name` means, all of whose sizes share them."""
    import torch

    with torch.random.fork_rng(devices=[]):  # initial weights that nobody uses
        smallest: Any = _build({**read_architecture(name), "scale": ""}, 1)
    return facts_of(smallest.model[-1])


def facts_of(head: Any) -> Facts:
    """Facts of a network by its last layer."""
    strides = tuple(int(stride) for stride in head.stride)
    return Facts(strides, head.reg_max, getattr(head, "one2one_cv2", None) is not None)


def _build(content: dict[str, Any], num_classes: int) -> DetectionModel:
    """Of a configuration without a size, the first of its sizes."""
    keep_offline()
    from ultralytics.nn.tasks import DetectionModel

    if content.get("scales") and not content["scale"]:
        content = {**content, "scale": next(iter(content["scales"]))}
    return DetectionModel({**content, "nc": num_classes}, ch=3, verbose=False)


@functools.lru_cache
def _files() -> dict[str, Path]:
    """The installed package's configurations by the names of their files."""
    spec = find_spec("ultralytics")
    if spec is None or spec.origin is None:
        raise UserError("expected the package ultralytics, found none; install the toolkit again")
    folder = Path(spec.origin).parent / "cfg" / "models"
    return {path.stem: path for path in sorted(folder.rglob("yolo*.yaml"))}


def _plain(value: Any) -> Any:
    """Lists for tuples, None for "None": as a file gives it, whoever wrote it."""
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    return None if value in ("None", "") else value
