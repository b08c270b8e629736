"""Optical flow and HOG images of frames, by OpenCV on the CPU."""

from __future__ import annotations

import numpy as np

CELL = 8  # pixels a side
BINS = 9  # unsigned orientations over 180 degrees


def optical_flow(frames: np.ndarray) -> np.ndarray:
    """Dense flow (Farneback) of frames (T, H, W, 3) uint8 RGB: (T, H, W, 2) float32.

    Entry t is the motion (x, y) in pixels from frame t to t + 1; the last repeats the one before,
    and a single frame has none.
    """
    import cv2

    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
    flow = np.zeros((*frames.shape[:3], 2), dtype=np.float32)
    for t in range(len(grey) - 1):
        flow[t] = cv2.calcOpticalFlowFarneback(
            grey[t], grey[t + 1], None, 0.5, 3, 15, 3, 5, 1.2, 0
        )  # pyramid scale and levels, window, iterations, polynomial size and sigma, flags
    if len(grey) > 1:
        flow[-1] = flow[-2]
    return flow


def flow_image(flow: np.ndarray, bound: float = 20.0) -> np.ndarray:
    """Flow (..., 2) in pixels to uint8 images (..., 3): x and y about 128, then the length.

    bound: the motion, in pixels a frame, that fills the range; larger ones are clipped.
    """
    length = np.linalg.norm(flow, axis=-1, keepdims=True)
    signed = np.clip(flow / bound, -1, 1) * 127 + 128
    return (
        np.concatenate([signed, np.clip(length / bound, 0, 1) * 255], axis=-1)
        .round()
        .astype(np.uint8)
    )


def hog(frame: np.ndarray) -> np.ndarray:
    """Histograms of oriented gradients (Dalal and Triggs, 2005) of a frame (H, W, 3) uint8 RGB.

    (H // 8, W // 8, 9) float32: gradient lengths of each 8x8 cell by unsigned orientation, shared
    between the two nearest bins, each cell divided by the norm of the 3x3 cells about it.
    """
    import cv2

    rows, columns = frame.shape[0] // CELL, frame.shape[1] // CELL
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)[: rows * CELL, : columns * CELL]
    grey = grey.astype(np.float32)
    dx = cv2.Sobel(grey, cv2.CV_32F, 1, 0, ksize=1)
    dy = cv2.Sobel(grey, cv2.CV_32F, 0, 1, ksize=1)
    length, angle = cv2.cartToPolar(dx, dy)
    position = (angle % np.pi) * (BINS / np.pi) - 0.5  # bin centres at 10, 30, .. degrees
    lower = np.floor(position)
    share = position - lower
    pixels = np.zeros((*grey.shape, BINS), dtype=np.float32)
    where = np.indices(grey.shape)
    pixels[(*where, lower.astype(int) % BINS)] = length * (1 - share)
    pixels[(*where, (lower.astype(int) + 1) % BINS)] += length * share
    cells = pixels.reshape(rows, CELL, columns, CELL, BINS).sum(axis=(1, 3))
    energy = cv2.boxFilter((cells**2).sum(axis=-1), -1, (3, 3), normalize=False)
    return cells / np.sqrt(energy + 1.0)[..., None]


def hog_image(frame: np.ndarray) -> np.ndarray:
    """HOG drawn at the frame's size, (H, W, 3) uint8: in each cell a line along the edge (across
    the gradient) for every orientation, as bright as its share."""
    import cv2

    height, width = frame.shape[:2]
    canvas = np.zeros((height, width), dtype=np.float32)
    cells = hog(frame)
    glyphs = _glyphs()  # (9, 8, 8)
    drawn = np.einsum("rcb,byx->rycx", cells, glyphs)
    rows, columns = cells.shape[:2]
    canvas[: rows * CELL, : columns * CELL] = drawn.reshape(rows * CELL, columns * CELL)
    grey = np.clip(canvas * 255, 0, 255).astype(np.uint8)
    return cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB)


def three_streams(frames: np.ndarray, bound: float = 20.0) -> tuple[np.ndarray, np.ndarray]:
    """Inputs of `ThreeStream` besides frames (T, H, W, 3) uint8 RGB: flow and HOG images, alike."""
    return flow_image(optical_flow(frames), bound), np.stack([hog_image(f) for f in frames])


def _glyphs() -> np.ndarray:
    """(9, 8, 8): a line through a cell's middle for each bin, across its gradient's direction."""
    import cv2

    glyphs = np.zeros((BINS, CELL, CELL), dtype=np.float32)
    middle, reach = (CELL - 1) / 2, CELL / 2
    for index in range(BINS):
        angle = (index + 0.5) * np.pi / BINS + np.pi / 2
        step = reach * np.array([np.cos(angle), np.sin(angle)])
        start, end = (tuple(round(float(v)) for v in middle + sign * step) for sign in (-1, 1))
        cv2.line(glyphs[index], start, end, 1.0)
    return glyphs
