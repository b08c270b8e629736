"""Fit of anchors to boxes: use of each anchor, distances, boxes left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from stadet.anchors.anchors import Anchors
from stadet.anchors.shapes import best_anchor, check_sizes


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """Anchors against boxes, by shape alone (both laid at one centre).

    Attributes:
        mean_iou: mean IoU of a box with its best anchor.
        recall_50: share of boxes whose best anchor reaches IoU 0.5.
        counts: (A,) boxes whose best anchor this is, in the order of `anchors.sizes`.
        per_class: name -> (boxes, mean IoU, recall at 0.5), for classes with boxes.
    """

    anchors: Anchors
    num_boxes: int
    mean_iou: float
    recall_50: float
    counts: np.ndarray
    per_class: Mapping[str, tuple[int, float, float]]

    @property
    def shares(self) -> np.ndarray:
        """(A,) share of the boxes for which each anchor is the best."""
        return self.counts / self.num_boxes

    @property
    def unused(self) -> np.ndarray:
        """Indices of anchors that are the best for no box."""
        return np.flatnonzero(self.counts == 0)

    def text(self) -> str:
        """Lines for a person: every anchor by level, then the classes, worst first."""
        lines = [f"{'level':>5}  {'stride':>6}  {'width':>7}  {'height':>7}  {'boxes':>8}  share"]
        levels = np.repeat(np.arange(len(self.anchors.levels)), self.anchors.num_per_level)
        rows = zip(levels, self.anchors.sizes, self.counts, self.shares, strict=True)
        for level, (width, height), count, share in rows:
            lines.append(
                f"{level:>5}  {self.anchors.strides[level]:>6}  {width:>7.1f}  {height:>7.1f}  "
                f"{count:>8}  {share:6.1%}{'' if count else '  no box uses it'}"
            )
        if self.per_class:
            width = max(5, *map(len, self.per_class))
            lines += ["", f"{'class':<{width}}  {'boxes':>8}  mean IoU  recall at 0.5"]
            for name, (boxes, iou, recall) in sorted(
                self.per_class.items(), key=lambda item: item[1][2:0:-1]
            ):
                lines.append(f"{name:<{width}}  {boxes:>8}  {iou:>8.3f}  {recall:>13.1%}")
        return "\n".join(lines)


def diagnose(
    sizes: np.ndarray,
    anchors: Anchors,
    *,
    labels: np.ndarray | None = None,
    names: Sequence[str] = (),
) -> Diagnosis:
    """Anchors against box sizes (N, 2) in the pixels of `anchors.network_size`.

    labels (N, C) bool and the C class `names`: for figures per class. UserError for bad sizes.
    """
    sizes = check_sizes(sizes)
    best = best_anchor(sizes, anchors.sizes)
    per_class = {}
    for column, name in enumerate(names if labels is not None else ()):
        iou = best.iou[np.asarray(labels)[:, column].astype(bool)]
        if len(iou):
            per_class[name] = (len(iou), float(iou.mean(dtype=float)), float((iou >= 0.5).mean()))
    return Diagnosis(
        anchors=anchors,
        num_boxes=len(sizes),
        mean_iou=float(best.iou.mean(dtype=float)),
        recall_50=float((best.iou >= 0.5).mean()),
        counts=np.bincount(best.index, minlength=len(anchors)),
        per_class=per_class,
    )


def comparison(rows: Mapping[str, Diagnosis]) -> str:
    """A table: one line for each named diagnosis."""
    width = max(7, *map(len, rows))
    lines = [
        f"{'anchors':<{width}}  number  mean IoU  recall at 0.5  worst class  unused  least used"
    ]
    for name, found in rows.items():
        worst = min((recall for _, _, recall in found.per_class.values()), default=found.recall_50)
        lines.append(
            f"{name:<{width}}  {len(found.anchors):>6}  {found.mean_iou:>8.3f}  "
            f"{found.recall_50:>13.1%}  {worst:>11.1%}  {len(found.unused):>6}  "
            f"{found.shares.min():>10.1%}"
        )
    return "\n".join(lines)
