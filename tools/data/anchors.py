"""Anchors from the boxes of a data set's training side, with a diagnosis against published ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from stadet.anchors.diagnosis import Diagnosis, comparison, diagnose
from stadet.anchors.presets import PRESETS
from stadet.anchors.strategies import STRATEGIES, pick_anchors
from stadet.datasets.dataset import load_dataset
from stadet.engine.errors import UserError
from stadet.engine.signatures import checked
from stadet.tools.training.data import box_sizes


@dataclass(frozen=True, eq=False)
class AnchorChoice:
    """Anchors for a data set, and how others would do.

    Attributes:
        chosen: the diagnosis of the chosen strategy; `chosen.anchors` are the anchors.
        rows: diagnoses by strategy or preset, the chosen one first.
        sizes: (N, 2) width and height of the boxes in network pixels.
        videos: number of videos that they come from.
    """

    chosen: Diagnosis
    rows: dict[str, Diagnosis]
    sizes: np.ndarray
    videos: int

    def text(self) -> str:
        """The diagnosis and the comparison as text."""
        return f"{self.chosen.text()}\n\n{comparison(self.rows)}"


@checked
def kmeans_anchors(
    data: str | Path,
    *,
    size: tuple[int, int] = (416, 416),
    resize: str = "letterbox",
    strides: Sequence[int] = (8, 16, 32),
    num_anchors: int | None = None,
    strategy: str = "kmeans",
    compare: bool = False,
    out: str | Path | None = None,
    plot: str | Path | None = None,
    seed: int = 0,
) -> AnchorChoice:
    """Choose anchors for the boxes of a data set's training side.

    Args:
        data: data set file.
        size: (height, width) of the network's input, pixels.
        resize: "letterbox" or "stretch", as the network's input is made.
        strides: of the detection levels, finest first.
        num_anchors: over all levels (default: 3 a level, 5 for a single level).
        strategy: a key of `stadet.anchors.strategies.STRATEGIES`.
        compare: diagnose every strategy, not the chosen one and the presets alone.
        out: the anchor file to write (.yaml; None: no file).
        plot: image of the sizes with the anchors (None: no image).
        seed: of the clustering.

    Raises:
        UserError: for sizes that the strides do not divide, and a side without boxes.
    """
    strides = tuple(strides)
    if list(strides) != sorted(set(strides)):
        raise UserError(f"--strides: expected them finest first, found {list(strides)}")
    if min(size) < 1 or size[0] % strides[-1] or size[1] % strides[-1]:
        raise UserError(
            f"--size: expected positive multiples of {strides[-1]}, the coarsest level's stride; "
            f"found {size[0]} {size[1]}"
        )
    if num_anchors is None:
        num_anchors = 5 if len(strides) == 1 else 3 * len(strides)
    dataset = load_dataset(data)
    dataset.findings.report()
    train = dataset.side("train").objects()
    sizes = box_sizes(train, size, resize)
    if not len(sizes):
        raise UserError(f"{data}: expected boxes on the training side, found none")
    labels = np.concatenate([video.labels for video in train])

    def picked(name: str) -> Diagnosis:
        anchors = pick_anchors(name, sizes, num_anchors, strides, size, labels=labels, seed=seed)
        return diagnose(sizes, anchors, labels=labels, names=train.names)

    chosen = picked(strategy)
    chosen = replace(chosen, anchors=replace(chosen.anchors, resize=resize))
    rows = {strategy: chosen}
    if compare:
        rows |= {name: picked(name) for name in STRATEGIES if name != strategy}
    rows |= {
        name: diagnose(sizes, anchors.scaled_to(size), labels=labels, names=train.names)
        for name, anchors in PRESETS.items()
    }
    if out is not None:
        chosen.anchors.save(out)
    if plot is not None:
        from stadet.anchors.plot import plot_anchors

        plot_anchors(plot, sizes, chosen)
    return AnchorChoice(chosen, rows, sizes, len(train.videos))
