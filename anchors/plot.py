"""A picture of anchors among the boxes they were made for."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from stadet.anchors.diagnosis import Diagnosis
from stadet.engine.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_POINTS = 20_000
COLOURS = ("#d1495b", "#00798c", "#b37400", "#5b3f95")  # a level each, readable on white


def plot_anchors(path: str | os.PathLike, sizes: np.ndarray, diagnosis: Diagnosis) -> None:
    """Write an image (by its suffix: .png, .svg, .pdf): sizes with anchors, and anchors as boxes.

    sizes (N, 2) network pixels; more than `MOST_POINTS` are thinned for the eye.
    """
    from matplotlib.figure import Figure  # late: 0.5 s

    anchors = diagnosis.anchors
    figure = Figure(figsize=(11, 5.2), layout="constrained")
    figure.suptitle(
        f"{len(anchors)} anchors, {diagnosis.num_boxes:,} boxes: mean IoU "
        f"{diagnosis.mean_iou:.3f}, recall at IoU 0.5 {diagnosis.recall_50:.1%}"
    )
    scatter, drawn = figure.subplots(1, 2)
    _draw_sizes(scatter, sizes)
    _draw_boxes(drawn, diagnosis)
    first = 0
    for level, boxes in enumerate(anchors.levels):
        colour = COLOURS[level % len(COLOURS)]
        share = diagnosis.shares[first : first + len(boxes)].sum()
        first += len(boxes)
        label = f"stride {anchors.strides[level]}: {share:.0%} of boxes"
        scatter.plot(*boxes.T, "s", color=colour, markersize=9, markeredgecolor="w", label=label)
    scatter.legend(loc="lower right")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=120)


def _draw_sizes(axes: Axes, sizes: np.ndarray) -> None:
    shown = sizes[:: -(-len(sizes) // MOST_POINTS)]
    axes.scatter(*shown.T, s=4, color="#808890", alpha=0.25, linewidths=0, rasterized=True)
    axes.set(xscale="log", yscale="log", xlabel="width, network px", ylabel="height, network px")
    axes.grid(alpha=0.3)
    axes.set_aspect("equal")


def _draw_boxes(axes: Axes, diagnosis: Diagnosis) -> None:
    """Every anchor as a rectangle about the centre of the network's input."""
    from matplotlib.patches import Rectangle

    anchors = diagnosis.anchors
    height, width = anchors.network_size
    axes.add_patch(Rectangle((0, 0), width, height, facecolor="#f2f2f2", edgecolor="#808890"))
    used = iter(diagnosis.counts)
    for level, boxes in enumerate(anchors.levels):
        for w, h in boxes:
            axes.add_patch(
                Rectangle(
                    ((width - w) / 2, (height - h) / 2),
                    w,
                    h,
                    fill=False,
                    linewidth=2,
                    edgecolor=COLOURS[level % len(COLOURS)],
                    linestyle="-" if next(used) else ":",
                )
            )
    reach = np.maximum(anchors.sizes.max(axis=0), (width, height))
    axes.set_xlim((width - reach[0]) / 2 - 5, (width + reach[0]) / 2 + 5)
    axes.set_ylim((height + reach[1]) / 2 + 5, (height - reach[1]) / 2 - 5)
    axes.set_aspect("equal")
    axes.set_title(f"on the {height} x {width} input (dotted: no box uses it)", fontsize=10)
