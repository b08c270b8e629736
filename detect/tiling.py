"""Tiled inference: a large frame in overlapping pieces, so that small things are seen at full size.

The idea of slicing with a second suppression over the whole frame: Akyon et al., "Slicing aided
hyper inference", arXiv 2202.06934.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import torch

from stadet.detect.batch import Predictions
from stadet.detect.nms import suppress, to_detections
from stadet.detect.structures import Detections
from stadet.detect.view import View
from stadet.engine.errors import UserError

Detector = Callable[[np.ndarray, View], Detections]
EDGE = 2.0  # network pixels from a tile's inner border within which a box counts as cut


def tile_views(
    video_size: tuple[int, int],
    tile_size: tuple[int, int],
    network_size: tuple[int, int],
    overlap: float = 0.25,
    whole_frame: bool = True,
) -> list[View]:
    """Views that cover a frame with tiles of `tile_size` (height, width) video pixels.

    Neighbours overlap by at least `overlap` of a tile, which should be the size of the largest
    thing that only tiles can see. Tiles are spread evenly and end at the frame's edges; a tile
    larger than the frame is cut to it. `whole_frame` adds one view of everything, which sees what
    is larger than the overlap. UserError unless 0 <= overlap < 1.
    """
    if not 0 <= overlap < 1:
        raise UserError(f"expected a tile overlap in [0, 1), found {overlap}")
    tops, lefts = (
        _starts(length, tile, overlap) for length, tile in zip(video_size, tile_size, strict=True)
    )
    height, width = (min(pair) for pair in zip(video_size, tile_size, strict=True))
    views = [
        View.crop(video_size, (left, top, left + width, top + height), network_size)
        for top in tops
        for left in lefts
    ]
    if whole_frame and len(views) > 1:
        views.append(View.letterbox(video_size, network_size))
    return views


def _starts(length: int, tile: int, overlap: float) -> list[float]:
    if tile >= length:
        return [0.0]
    count = math.ceil((length - tile) / (tile * (1 - overlap))) + 1
    return np.linspace(0, length - tile, count).tolist()


def detect_tiled(
    frame: np.ndarray,
    views: Sequence[View],
    detect: Detector,
    *,
    score_floor: float,
    iou_threshold: float,
    max_detections: int,
    class_agnostic: bool = False,
    rank: Literal["score", "objectness"] = "score",
) -> Detections:
    """Detections of one frame (H, W, 3) uint8 RGB seen through each of `views`.

    `detect(image, view)` gives the detections of the (h, w, 3) image that the view shows, in video
    pixels. A box cut by a tile's inner border gives way to any uncut box of its class that covers
    most of it; the rest meet in one more suppression.
    """
    parts = [detect(view.apply(frame), view) for view in views]
    boxes = np.concatenate([part.boxes for part in parts])
    objectness = np.concatenate([part.objectness for part in parts])
    scores = np.concatenate([part.scores for part in parts])
    cut = np.concatenate(
        [_is_cut(part.boxes, view) for part, view in zip(parts, views, strict=True)]
    )
    scores = np.where(_is_fragment(boxes, scores, cut, score_floor), 0, scores)
    merged = Predictions(*(torch.from_numpy(a)[None] for a in (boxes, objectness, scores)))
    (kept,) = suppress(merged, score_floor, iou_threshold, max_detections, class_agnostic, rank)
    return to_detections(kept, View.resize(frame.shape[:2], frame.shape[:2]))


def _is_cut(boxes: np.ndarray, view: View) -> np.ndarray:
    """(N,) bool: boxes (N, 4) video pixels that touch a border of the view inside the frame."""
    height, width = view.network_size
    x1, y1, x2, y2 = view.to_video(np.array([0.0, 0.0, width, height]))
    margin_y, margin_x = (EDGE / scale for scale in view.scale)
    video_height, video_width = view.video_size
    return (
        ((boxes[:, 0] < x1 + margin_x) & (x1 > 0.5))
        | ((boxes[:, 1] < y1 + margin_y) & (y1 > 0.5))
        | ((boxes[:, 2] > x2 - margin_x) & (x2 < video_width - 0.5))
        | ((boxes[:, 3] > y2 - margin_y) & (y2 < video_height - 0.5))
    )


def _is_fragment(
    boxes: np.ndarray, scores: np.ndarray, cut: np.ndarray, score_floor: float
) -> np.ndarray:
    """(N, C) bool: cut boxes of which an uncut box of the same class covers more than half."""
    out = np.zeros(scores.shape, dtype=bool)
    if not cut.any() or cut.all():
        return out
    pieces, wholes = boxes[cut][:, None], boxes[~cut][None]
    sides = np.minimum(pieces[..., 2:], wholes[..., 2:]) - np.maximum(
        pieces[..., :2], wholes[..., :2]
    )
    area = (pieces[..., 2:] - pieces[..., :2]).prod(-1)
    covered = sides.clip(0).prod(-1) > 0.5 * area  # (pieces, wholes)
    held = scores[~cut] > score_floor  # (wholes, C)
    out[cut] = covered.astype(np.float32) @ held.astype(np.float32) > 0
    return out
