"""Parts of a live picture other than boxes: a line of figures, a classifier's probabilities."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stadet.detect.drawing.render import text_height
from stadet.detect.drawing.text_patch import text_patch

WHITE, BLACK, GREY = (255, 255, 255), (0, 0, 0), (40, 40, 40)
GREEN, RED = (40, 200, 80), (220, 70, 60)
BAR = (90, 130, 200)
LEAST_HEIGHT = 8  # of text that can be read
MOST_BARS = 12  # classes listed below the picture


def draw_line(image: np.ndarray, text: str) -> None:
    """Write `text` into the lower left corner of `image` (H, W, 3) uint8 RGB, in place."""
    patch = text_patch(text, text_height(image.shape[:2]), WHITE, GREY)
    height = min(patch.shape[0], image.shape[0])
    width = min(patch.shape[1], image.shape[1])
    image[image.shape[0] - height :, :width] = patch[:height, :width]


def pixel_area(
    size: tuple[int, int], area: tuple[float, float, float, float]
) -> tuple[int, int, int, int]:
    """A part of a frame, given in shares of its sides, in whole pixels.

    Args:
        size: (height, width) of the frame.
        area: (x1, y1, x2, y2) from 0 to 1.

    Returns:
        (x1, y1, x2, y2) in pixels, at least one pixel wide and high.
    """
    height, width = size
    x1, y1 = min(round(area[0] * width), width - 1), min(round(area[1] * height), height - 1)
    return x1, y1, max(round(area[2] * width), x1 + 1), max(round(area[3] * height), y1 + 1)


def draw_frame(image: np.ndarray, box: tuple[int, int, int, int], sure: bool | None) -> None:
    """Outline the sampled area in place: green where the answer is sure, red where it is not."""
    import cv2

    x1, y1, x2, y2 = box
    line = max(1, round(min(image.shape[:2]) / 120))
    colour = WHITE if sure is None else GREEN if sure else RED
    cv2.rectangle(image, (x1, y1), (x2 - 1, y2 - 1), colour, line)


def probability_panel(
    width: int,
    height: int,
    names: Sequence[str],
    probabilities: np.ndarray | None,
    label: str | None,
) -> np.ndarray:
    """The panel below a classifier's picture.

    Args:
        width: of the panel in pixels.
        height: of a text line in pixels.
        names: C class names.
        probabilities: (C,) of the present answer; None before the first.
        label: the class of a sure answer, written large in green; None: unsure.

    Returns:
        (h, width, 3) uint8 RGB; h depends on `height` and the number of classes only. Below the
        classes there is room for `draw_line`.
    """
    rows = min(len(names), MOST_BARS)
    line = text_patch("Ag", height, WHITE, BLACK).shape[0]
    title = text_patch("Ag", round(1.5 * height), WHITE, BLACK).shape[0]
    panel = np.zeros((2 * title + rows * line, width, 3), dtype=np.uint8)
    if probabilities is None:
        _paste(panel, _fitting("waiting for a clip", round(1.5 * height), width, WHITE), 0, 0)
        return panel
    shown = label if label is not None else "not sure"
    colour = GREEN if label is not None else WHITE
    _paste(panel, _fitting(shown, round(1.5 * height), width, colour), 0, 0)
    order = np.argsort(-probabilities, kind="stable")[:rows] if len(names) > rows else range(rows)
    for row, index in enumerate(order):
        top = title + row * line
        filled = round(width * float(probabilities[index]))
        panel[top + 1 : top + line - 1, :filled] = BAR
        text = f"{names[index]}  {100 * probabilities[index]:.0f} %"
        patch = _fitting(text, height, width, WHITE)
        # letters over the bar: where the patch is darker, the bar shows
        area = panel[top : top + patch.shape[0], : patch.shape[1]]
        patch = patch[: area.shape[0], : area.shape[1]]
        np.maximum(area, patch, out=area)
    return panel


def _fitting(text: str, height: int, width: int, colour: tuple[int, int, int]) -> np.ndarray:
    """A patch of text on black, smaller where it would be wider than `width`."""
    patch = text_patch(text, height, colour, BLACK)
    while patch.shape[1] > width and height > LEAST_HEIGHT:
        height = max(LEAST_HEIGHT, min(height - 1, height * width // patch.shape[1]))
        patch = text_patch(text, height, colour, BLACK)
    return patch


def _paste(panel: np.ndarray, patch: np.ndarray, top: int, left: int) -> None:
    height = min(patch.shape[0], panel.shape[0] - top)
    width = min(patch.shape[1], panel.shape[1] - left)
    panel[top : top + height, left : left + width] = patch[:height, :width]
