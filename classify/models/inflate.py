"""2D weights for 3D convolutions (Carreira and Zisserman, arXiv 1705.07750, section 2.4.1)."""

from __future__ import annotations

from torch import Tensor


def inflate(weight: Tensor, length: int) -> Tensor:
    """(out, in, h, w) to (out, in, length, h, w): repeated over time and divided by `length`.

    On a clip of one image repeated, the 3D convolution then gives what the 2D one gives on that
    image, wherever it sees `length` frames (everywhere, if time is padded by repetition).
    """
    return (weight / length)[:, :, None].repeat(1, 1, length, 1, 1)
