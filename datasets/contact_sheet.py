"""Frames drawn with their truth, tiled into one picture: a data set at a glance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np

from stadet.datasets.dataset import Dataset
from stadet.detect.drawing.render import Canvas
from stadet.detect.structures import AnnotationSet

TILE_WIDTH = 480  # pixels; labels stay readable


def choose_frames(annotations: AnnotationSet, count: int, seed: int = 0) -> list[tuple[str, int]]:
    """(video, frame) of at most `count` frames: every class in turn, the rarest first, then one
    frame without action for every four; no frame twice."""
    rng = np.random.default_rng(seed)
    pools: list[list[tuple[str, int]]] = []
    for c in range(len(annotations.names)):
        pools.append([(v.name, int(f)) for v in annotations for f in v.frames[v.labels[:, c]]])
    pools.sort(key=len)
    empty = [
        (v.name, int(f))
        for v in annotations
        for f in np.setdiff1d(np.flatnonzero(v.looked_at), v.frames)
    ]
    for pool in (*pools, empty):
        rng.shuffle(pool)
    quiet = min(count // 5, len(empty)) if any(pools) else count
    chosen: dict[tuple[str, int], None] = {}
    while any(pools) and len(chosen) < count - quiet:
        for pool in pools:
            while pool and len(chosen) < count - quiet:
                frame = tuple(pool.pop())
                if frame not in chosen:
                    chosen[frame] = None
                    break
    return [*chosen, *(tuple(frame) for frame in empty[:quiet])]


def draw_sheet(dataset: Dataset, frames: Sequence[tuple[str, int]], columns: int = 4) -> np.ndarray:
    """(H, W, 3) uint8 RGB: the frames with their boxes, video and frame number on each."""
    tiles = []
    for name in dict.fromkeys(video for video, _ in frames):
        video = dataset.open_video(name)
        truth = dataset.annotations.videos[name]
        for index, image in video.read(sorted(f for v, f in frames if v == name)):
            scale = TILE_WIDTH / image.shape[1]
            size = (TILE_WIDTH, max(1, round(image.shape[0] * scale)))
            tile = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
            annotations = truth[index]
            with Canvas(tile, dataset.names) as canvas:
                if annotations is not None:
                    boxes = annotations.boxes * scale
                    canvas.annotations(replace(annotations, boxes=boxes))
                canvas.corner(f"{name} {index}")
            tiles.append(tile)
    return _tile(tiles, columns)


def _tile(tiles: Sequence[np.ndarray], columns: int) -> np.ndarray:
    height = max((tile.shape[0] for tile in tiles), default=1)
    rows = max(1, -(-len(tiles) // columns))
    sheet = np.zeros((rows * height, columns * TILE_WIDTH, 3), np.uint8)
    for place, tile in enumerate(tiles):
        y, x = place // columns * height, place % columns * TILE_WIDTH
        sheet[y : y + tile.shape[0], x : x + tile.shape[1]] = tile
    return sheet
