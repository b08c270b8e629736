"""Text as small pictures to paste into frames."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from stadet.detect.drawing.fonts import font_for

Colour = tuple[int, int, int]


def text_patch(text: str, height: int, colour: Colour, background: Colour) -> np.ndarray:
    """(h, w, 3) uint8 RGB: `text` on a plain background, in letters about `height` pixels tall.

    Set in DejaVu Sans, which matplotlib brings along and which has accents, Greek and Cyrillic
    (OpenCV's own fonts know ASCII only); words with other letters in an installed font that has
    them (`stadet.detect.drawing.fonts`). Words are drawn once and kept, because a score changes the
    text of a label on every frame: 20 microseconds instead of a millisecond.
    """
    margin = np.zeros((_line_height(height), max(2, height // 5)), dtype=np.uint8)
    words = text.split(" ")
    masks = [_mask(word, height) for word in [*(f"{w} " for w in words[:-1]), words[-1]]]
    return _shades(colour, background)[np.concatenate([margin, *masks, margin], axis=1)]


@lru_cache(maxsize=4096)
def _mask(word: str, height: int) -> np.ndarray:
    """(h, w) uint8: how much of each pixel the letters cover; w is what the word moves on by."""
    from PIL import Image, ImageDraw

    font = _font(height, font_for(word))
    picture = Image.new("L", (round(font.getlength(word)), _line_height(height)))
    ImageDraw.Draw(picture).text((0, 1), word, font=font, fill=255)
    return np.array(picture)


@lru_cache(maxsize=256)
def _shades(colour: Colour, background: Colour) -> np.ndarray:
    """(256, 3) uint8 from the background to the letters' colour."""
    share = np.arange(256)[:, None] / 255
    mixed = share * np.array(colour) + (1 - share) * np.array(background)
    return np.round(mixed).astype(np.uint8)


@lru_cache(maxsize=8)
def _line_height(height: int) -> int:
    return sum(_font(height, font_for("")).getmetrics()) + 2  # ascent, descent, a pixel each side


@lru_cache(maxsize=32)
def _font(height: int, file: str):
    from PIL import ImageFont

    return ImageFont.truetype(file, height)
