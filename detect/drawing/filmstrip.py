"""A filmstrip: pictures of some frames, heat over them, and lines of scores below."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from stadet.detect.drawing.colours import class_colours

SHOWN = 8  # frames of a strip
INCHES = 12.0  # width of the picture


@dataclass(frozen=True, eq=False)
class ScoreLine:
    """Score of a class over the frames of a scene.

    Attributes:
        name: of the class, whose colour it gets.
        scores: (T,), 0 to 1.
        dashed: of the model that it is compared with.
    """

    name: str
    scores: np.ndarray
    dashed: bool = False


@dataclass(frozen=True, eq=False)
class Scene:
    """Some frames in the order in which they were shown.

    Attributes:
        title: above them.
        seconds: (T,) since the first one.
        pictures: (T, H, W, 3) uint8 RGB.
        heat: (T, h, w), at least 0; drawn over the pictures, on one scale for all scenes.
        lines: below them.
    """

    title: str
    seconds: np.ndarray
    pictures: np.ndarray
    heat: np.ndarray
    lines: list[ScoreLine]


def draw_filmstrip(path: str | Path, scenes: Sequence[Scene], *, title: str) -> None:
    """Write `scenes` below each other as an image file."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    height, width = scenes[0].pictures.shape[1:3]
    strip = INCHES / SHOWN * height / width
    figure = Figure(figsize=(INCHES, len(scenes) * (2 * strip + 2.3) + 0.4), layout="constrained")
    FigureCanvasAgg(figure)
    rows = figure.subplots(
        3 * len(scenes), 1, gridspec_kw={"height_ratios": [strip, strip, 1.6] * len(scenes)}
    )
    hottest = max(float(scene.heat.max()) for scene in scenes) or 1.0
    for scene, (frames, heat, scores) in zip(scenes, rows.reshape(-1, 3), strict=True):
        places = np.unique(np.linspace(0, len(scene.seconds) - 1, SHOWN).round().astype(int))
        frames.imshow(np.hstack(list(scene.pictures[places])), aspect="equal")
        frames.set_title(scene.title, loc="left", fontweight="bold")
        warm = [_under_heat(scene.pictures[p], scene.heat[p] / hottest) for p in places]
        heat.imshow(np.hstack(warm), aspect="equal")
        heat.set_title("activation of the memory", loc="left", fontsize="small")
        for axes in (frames, heat):
            axes.set_axis_off()
        _draw_scores(scores, scene, scene.seconds[places])
    figure.suptitle(title)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)


def _draw_scores(axes, scene: Scene, marks: np.ndarray) -> None:
    colours = class_colours(sorted({line.name for line in scene.lines})) / 255
    names = sorted({line.name for line in scene.lines})
    for line in scene.lines:
        axes.plot(
            scene.seconds,
            line.scores,
            "--" if line.dashed else "-",
            color=colours[names.index(line.name)],
            linewidth=1.2 if line.dashed else 2.2,
            label=f"{line.name}{', without memory' if line.dashed else ''}",
        )
    axes.set(xlim=(0, max(float(scene.seconds[-1]), 1e-6)), ylim=(-0.02, 1.02))
    axes.set_xlabel("seconds since it began (marks: the frames above)")
    axes.set_ylabel("best score")
    axes.set_xticks(marks, [f"{mark:.2f}" for mark in marks])
    axes.grid(alpha=0.3)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize="small")


def _under_heat(picture: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """The picture in grey with red where heat (h, w), 0 to 1, is."""
    height, width = picture.shape[:2]
    grey = np.repeat(picture.mean(axis=2, keepdims=True), 3, axis=2)
    large = cv2.resize(np.clip(heat, 0, 1).astype(np.float32), (width, height))[..., None]
    red = np.array([255.0, 40.0, 0.0])
    return (grey * (1 - 0.75 * large) + red * 0.75 * large).astype(np.uint8)
