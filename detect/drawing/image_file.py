"""Images on disk, whole or absent."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from stadet.engine.errors import UserError
from stadet.engine.files import atomic_write


def write_image(path: str | os.PathLike, image: np.ndarray) -> None:
    """Write (H, W, 3) uint8 RGB in the format of the suffix (.png, .jpg).

    UserError where it cannot be written; OpenCV alone would not tell.
    """
    import cv2

    path = Path(path)
    encoded, content = cv2.imencode(path.suffix or ".png", np.ascontiguousarray(image[..., ::-1]))
    if not encoded:
        raise UserError(f"{path}: expected an image that can be encoded, found {image.shape}")
    with atomic_write(path, "wb") as stream:
        stream.write(content.tobytes())
