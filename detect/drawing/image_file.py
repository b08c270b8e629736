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


def encode_jpeg(image: np.ndarray, quality: int = 95) -> bytes:
    """(H, W, 3) uint8 RGB as JPEG; ValueError for what is no such image."""
    import cv2

    options = [cv2.IMWRITE_JPEG_QUALITY, quality]
    encoded, content = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
    if not encoded:
        raise ValueError(f"expected an image that JPEG can hold, found {image.shape}")
    return content.tobytes()


def decode_jpeg(content: bytes) -> np.ndarray:
    """(H, W, 3) uint8 RGB of `encode_jpeg`'s answer."""
    import cv2

    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError("expected a JPEG, found other bytes")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
