"""Pictures with one planted rectangle, and a way to find it to a fraction of a pixel."""

from __future__ import annotations

import numpy as np

from stadet.detect.view import PAD_VALUE

BRIGHT = 250  # on a background as grey as a letterbox border, so that only the rectangle stands out


def rectangle_image(size, box):
    """(H, W, 3) uint8, grey with a bright rectangle on whole pixels, box xyxy."""
    image = np.full((*size, 3), PAD_VALUE, dtype=np.uint8)
    x1, y1, x2, y2 = (int(v) for v in box)
    image[y1:y2, x1:x2] = BRIGHT
    return image


def find_rectangle(image):
    """xyxy of the rectangle: brightness adds up to its extent and balances at its centre.

    Holds whatever kernel it was resampled with, as long as that keeps the brightness.
    """
    mass = (image.astype(float).mean(axis=2) - PAD_VALUE) / (BRIGHT - PAD_VALUE)
    out = np.empty(4)
    for axis, (first, last) in ((0, (0, 2)), (1, (1, 3))):
        profile = mass.sum(axis=axis)
        profile /= np.median(profile[profile > 0.7 * profile.max()])
        places = np.arange(len(profile)) + 0.5
        extent = profile.sum()
        centre = (profile * places).sum() / extent
        out[first], out[last] = centre - extent / 2, centre + extent / 2
    return out
