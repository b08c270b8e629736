"""Videos with one label each: the nouns of clip classification, and the checks of a set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from stadet.datasets.footage.video import Video, open_video
from stadet.detect.classification_batch import UNKNOWN
from stadet.engine.errors import UserError

SIDES = ("train", "val", "test")


@dataclass(frozen=True)
class LabelledVideo:
    """One video file or frame folder and its class.

    Attributes:
        name: unique in its set.
        label: index of the class, `UNKNOWN` for none of them.
        group: videos of one group (a person, a recording) belong on the same side of a split.
        side: "train", "val", "test", or None where no split assigned it.
    """

    name: str
    path: Path
    label: int
    group: str
    side: str | None = None


@dataclass(frozen=True)
class ClassificationSet:
    """Labelled videos under one order of classes.

    fps: of frame folders (files know their own), None = the default; flip_labels: classes that swap
    in a mirrored video, both directions.
    """

    names: tuple[str, ...]
    items: tuple[LabelledVideo, ...]
    fps: float | None = None
    flip_labels: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        repeated = [name for name, n in Counter(i.name for i in self.items).items() if n > 1]
        if repeated:
            raise UserError(f"expected videos of different names, found {repeated[0]!r} twice")
        wrong = [i.name for i in self.items if not UNKNOWN <= i.label < len(self.names)]
        if wrong:
            raise ValueError(f"{wrong[0]}: a label outside the {len(self.names)} classes")

    def __len__(self) -> int:
        return len(self.items)

    @property
    def labels(self) -> np.ndarray:
        """(N,) int64."""
        return np.array([item.label for item in self.items], dtype=np.int64)

    @property
    def groups(self) -> list[str]:
        return [item.group for item in self.items]

    @property
    def sides(self) -> tuple[str, ...]:
        """The sides that have videos, in the usual order."""
        found = {item.side for item in self.items}
        return tuple(side for side in SIDES if side in found)

    def counts(self) -> np.ndarray:
        """(C,) videos of each class."""
        labels = self.labels
        return np.bincount(labels[labels != UNKNOWN], minlength=len(self.names))

    def side(self, side: str) -> ClassificationSet:
        """The videos of one side. UserError where there are none."""
        if side not in self.sides:
            raise UserError(
                f"expected videos on side {side!r}, found {', '.join(self.sides) or 'no sides'}; "
                "give it a share in the split or fill its folder or list"
            )
        return self.choose(item.side == side for item in self.items)

    def choose(self, keep: Iterable[bool]) -> ClassificationSet:
        """The items for which `keep` is true."""
        kept = tuple(i for i, wanted in zip(self.items, keep, strict=True) if wanted)
        return replace(self, items=kept)

    def on_sides(self, sides: Sequence[str | None]) -> ClassificationSet:
        """The same videos assigned to `sides`, one each."""
        dealt = zip(self.items, sides, strict=True)
        return replace(self, items=tuple(replace(item, side=side) for item, side in dealt))

    def with_unknown(self, items: Iterable[LabelledVideo]) -> ClassificationSet:
        """More videos, that show none of the classes."""
        return replace(
            self, items=self.items + tuple(replace(item, label=UNKNOWN) for item in items)
        )


def check_sides(data: ClassificationSet, where: str = "data") -> None:
    """Refuse sides that no model can be judged on: a class that training lacks, and a group or a
    class without videos on the training side."""
    train = data.side("train")
    missing = [name for name, n in zip(data.names, train.counts(), strict=True) if n == 0]
    for name in missing:
        elsewhere = Counter(i.side for i in data.items if i.label == data.names.index(name))
        found = ", ".join(f"{n} on {side}" for side, n in elsewhere.items()) or "none anywhere"
        raise UserError(
            f"{where}: expected training videos of class {name!r}, found {found}; move some to the "
            "training side, or remove the class"
        )


@dataclass(frozen=True)
class BadVideo:
    """A video that cannot be used, and why, in one line."""

    name: str
    reason: str


def open_all(
    data: ClassificationSet, index_dir: Path | None = None
) -> tuple[dict[str, Video], list[BadVideo]]:
    """name -> opened video of every item, and those that cannot be opened (all are tried)."""
    opened: dict[str, Video] = {}
    bad: list[BadVideo] = []
    for item in data.items:
        fps = data.fps if item.path.is_dir() else None
        try:
            opened[item.name] = open_video(item.path, name=item.name, index_dir=index_dir, fps=fps)
        except UserError as error:
            bad.append(BadVideo(item.name, str(error)))
    return opened, bad


def without_bad(
    data: ClassificationSet, bad: Sequence[BadVideo], *, skip: bool, remedy: str
) -> ClassificationSet:
    """The set without the bad videos. UserError that counts and names them unless `skip`."""
    if bad and not skip:
        first = "; ".join(video.reason for video in bad[:3])
        more = f" and {len(bad) - 3} more" if len(bad) > 3 else ""
        raise UserError(
            f"{len(bad)} of {len(data)} videos cannot be used: {first}{more}; {remedy}, or "
            "continue without them with --skip-bad"
        )
    names = {video.name for video in bad}
    return data.choose(item.name not in names for item in data.items)
