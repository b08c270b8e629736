"""Text as small pictures, made once and pasted often."""

from __future__ import annotations

from functools import lru_cache

import numpy as np


@lru_cache(maxsize=2048)
def text_patch(
    text: str, height: int, colour: tuple[int, int, int], background: tuple[int, int, int]
) -> np.ndarray:
    """(h, w, 3) uint8 RGB, read-only: `text` on a plain background, about `height` pixels tall.

    Set in DejaVu Sans, which matplotlib brings along: accents, Greek and Cyrillic are drawn too
    (OpenCV's own fonts know ASCII only).
    """
    from PIL import Image, ImageDraw

    font = _font(height)
    left, _, right, _ = font.getbbox(text)
    ascent, descent = font.getmetrics()
    margin = max(2, height // 5)
    size = (max(1, right - left) + 2 * margin, ascent + descent + 2)
    picture = Image.new("RGB", size, background)
    ImageDraw.Draw(picture).text((margin - left, 1), text, font=font, fill=colour)
    patch = np.array(picture)
    patch.flags.writeable = False
    return patch


@lru_cache(maxsize=8)
def _font(height: int):
    from pathlib import Path

    import matplotlib
    from PIL import ImageFont

    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    return ImageFont.truetype(str(path), height)
