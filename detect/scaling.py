"""An image at another size: the one filter between a frame and a network."""

from __future__ import annotations

import numpy as np

VECTORISED = ("AVX2", "AVX512")  # processors for which torch has this filter in vector instructions


def scaled(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """An image at another size, bilinear, and antialiased along a side that shrinks.

    The filter is a triangle two output pixels wide (that of `Image.resize` with `BILINEAR` in
    Pillow, and of torchvision's `resize`). torch computes it for 8-bit colours in vector
    instructions, in a fifth of the time of OpenCV's `INTER_AREA` (`benchmarks/network_size.py`);
    Pillow, which is faster where a processor has none of them, comes within one grey level.

    Args:
        image: (H, W, 3) uint8.
        size: (height, width) in pixels.

    Returns:
        (height, width, 3) uint8, contiguous; `image` itself where it has that size.
    """
    if image.shape[:2] == size:
        return image
    import torch

    if torch.backends.cpu.get_cpu_capability() not in VECTORISED:
        return _by_pillow(image, size)
    if not (image.flags.c_contiguous and image.flags.writeable):  # torch takes no other array
        image = image.copy()
    out = torch.nn.functional.interpolate(
        torch.from_numpy(image)[None].permute(0, 3, 1, 2),  # colours last in memory: its fast way
        size=size,
        mode="bilinear",
        antialias=True,
    )
    return np.ascontiguousarray(out[0].permute(1, 2, 0).numpy())


def _by_pillow(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    from PIL import Image

    out = Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR)
    return np.array(out)
