"""`Anchors`: prior sizes per detection level, saved as YAML that training reads."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import yaml

from stadet.engine.errors import UserError
from stadet.engine.files import atomic_write
from stadet.engine.reading import (
    finite_number,
    guarded,
    image_side,
    read_yaml_document,
    shown,
    whole_number,
)

SCHEMA = "stad-anchors/1"


@dataclass(frozen=True, eq=False)
class Anchors:
    """Prior box sizes of a detector.

    Attributes:
        levels: one (A_l, 2) float64 array of (width, height) in network pixels for each detection
            level; numbers of anchors may differ, but no level is empty.
        strides: network pixels per grid cell of each level, ascending, so that level 0 is the
            finest.
        network_size: (height, width) for which the sizes were made.
        resize: how frames were brought to it ("letterbox" or "stretch"); None = not known.

    Raises:
        ValueError: for arrays of other shapes or an empty level.
    """

    levels: tuple[np.ndarray, ...]
    strides: tuple[int, ...]
    network_size: tuple[int, int]
    resize: str | None = None

    def __post_init__(self) -> None:
        levels = tuple(np.array(level, dtype=np.float64) for level in self.levels)
        object.__setattr__(self, "levels", levels)
        object.__setattr__(self, "strides", tuple(int(stride) for stride in self.strides))
        object.__setattr__(self, "network_size", tuple(int(side) for side in self.network_size))
        if not levels or len(levels) != len(self.strides):
            raise ValueError(
                f"anchors: expected one level a stride, found {len(levels)} levels and "
                f"{len(self.strides)} strides"
            )
        for number, level in enumerate(levels):
            if level.ndim != 2 or level.shape[1] != 2 or not len(level):
                raise ValueError(
                    f"anchors, level {number}: expected (width, height) pairs, found shape "
                    f"{level.shape}"
                )
            if not (np.isfinite(level).all() and (level > 0).all()):
                raise ValueError(
                    f"anchors, level {number}: expected positive sizes, found {level.tolist()}"
                )
            level.setflags(write=False)
        strides = self.strides
        if strides[0] < 1 or any(np.diff(strides) <= 0):
            raise ValueError(
                f"anchors: expected ascending positive strides, finest first, found {strides}"
            )
        if len(self.network_size) != 2 or min(self.network_size) < 1:
            raise ValueError(
                f"anchors: expected network size (height, width), found {self.network_size}"
            )

    def __len__(self) -> int:
        """Number of anchors over all levels."""
        return sum(self.num_per_level)

    @property
    def num_per_level(self) -> tuple[int, ...]:
        return tuple(len(level) for level in self.levels)

    @property
    def sizes(self) -> np.ndarray:
        """(A, 2) (width, height) of all levels, finest first."""
        return np.concatenate(self.levels)

    @classmethod
    def from_sizes(
        cls, sizes: np.ndarray, strides: Sequence[int], network_size: tuple[int, int]
    ) -> Anchors:
        """Deal (A, 2) sizes to the levels by area, the smallest to the finest, A / levels each.

        Where A does not divide, the finer levels get one more.
        """
        sizes = np.asarray(sizes, dtype=np.float64)
        ordered = sizes[np.argsort(sizes.prod(axis=1), kind="stable")]
        levels = np.array_split(ordered, len(strides))
        return cls(tuple(levels), tuple(strides), tuple(network_size))

    def scaled_to(self, network_size: tuple[int, int]) -> Anchors:
        """The same anchors for another network size (height, width), each side by its own ratio."""
        height, width = network_size
        ratio = np.array([width / self.network_size[1], height / self.network_size[0]])
        levels = tuple(level * ratio for level in self.levels)
        return Anchors(levels, self.strides, (height, width), self.resize)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and lists, as in the YAML file; `from_dict` reads it back exactly."""
        return {
            "schema": SCHEMA,
            "network_size": list(self.network_size),
            **({"resize": self.resize} if self.resize else {}),
            "levels": [
                {"stride": stride, "sizes": level.tolist()}
                for stride, level in zip(self.strides, self.levels, strict=True)
            ],
        }

    @classmethod
    def from_dict(cls, content: Any) -> Anchors:
        """ValueError where `content` is not what `to_dict` gives."""
        if not isinstance(content, dict) or content.get("schema") != SCHEMA:
            found = content.get("schema") if isinstance(content, dict) else type(content).__name__
            raise ValueError(f"expected schema {SCHEMA}, found {shown(found)}")
        try:
            levels = content["levels"]
            sizes = tuple(
                np.array([[finite_number(side, "sizes") for side in pair] for pair in rows])
                for rows in (level["sizes"] for level in levels)
            )
            strides = tuple(whole_number(level["stride"], "stride", least=1) for level in levels)
            size = tuple(image_side(side, "network_size") for side in content["network_size"])
            resize = content.get("resize")
            if resize not in ("letterbox", "stretch", None):
                raise ValueError(f"expected resize letterbox or stretch, found {resize!r}")
            return cls(sizes, strides, size, resize)
        except UserError as error:
            raise ValueError(str(error)) from error
        except (KeyError, TypeError) as error:
            raise ValueError(
                "expected network_size [height, width] and levels [{stride, sizes [[width, "
                f"height], ..]}}, ..], found none at {error}"
            ) from error

    def save(self, path: str | os.PathLike) -> None:
        """Write YAML; the file is whole or absent."""
        with atomic_write(path) as stream:
            stream.write("# sizes: [width, height] in pixels of a network_size [height, width]\n")
            yaml.safe_dump(self.to_dict(), stream, sort_keys=False, default_flow_style=None)

    @classmethod
    @guarded("an anchors file")
    def load(cls, path: str | os.PathLike) -> Anchors:
        """Read what `save` wrote. UserError where it is missing or not an anchors file."""
        if not os.path.exists(path):
            raise UserError(
                f"no anchors file {path}; make one with `stad kmeans-anchors --out {path}`"
            )
        try:
            return cls.from_dict(read_yaml_document(path, "an anchors file"))
        except (ValueError, OverflowError) as error:
            reason = " ".join(str(error).split())
            raise UserError(f"{path}: not an anchors file: {reason}") from error
