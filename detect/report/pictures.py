"""Frames of the gallery with truth (dashed) and detections drawn, as JPEG inside the page."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from stadet.detect.detections.detection_set import DetectionSet
from stadet.detect.drawing.render import Canvas
from stadet.detect.report.gallery import FrameKey, GalleryFrame
from stadet.detect.report.pages import Picture
from stadet.detect.structures import AnnotationSet, Detections

WIDTH = 640  # pixels of a picture on the page
QUALITY = 82


def draw_frames(
    frames: Sequence[GalleryFrame],
    annotations: AnnotationSet,
    detections: DetectionSet,
    threshold: float,
    frame_of: Callable[[str, int], np.ndarray | None],
) -> dict[FrameKey, Picture]:
    """Pictures of the frames whose video is available; detections of at least `threshold`."""
    places = {video: place for place, video in enumerate(annotations.videos)}
    pictures = {}
    for chosen in frames:
        image = frame_of(chosen.video, chosen.frame)
        if image is None:
            continue
        truth = annotations.videos[chosen.video][chosen.frame]
        video = detections.videos.get(chosen.video)
        found = video[chosen.frame] if video is not None else None
        if found is None:
            found = Detections.empty(len(annotations.names))
        image, scale = _resized(image)
        with Canvas(image, annotations.names) as canvas:
            if truth is not None:
                canvas.annotations(replace(truth, boxes=truth.boxes * scale))
            canvas.detections(replace(found, boxes=found.boxes * scale), threshold)
        caption = f"{chosen.video}, frame {chosen.frame}: {chosen.caption()}"
        anchor = f"video-{places[chosen.video]}-frame-{chosen.frame}"
        pictures[chosen.key] = Picture(anchor, jpeg(image), caption)
    return pictures


def _resized(image: np.ndarray) -> tuple[np.ndarray, float]:
    """The picture at the page's width, and its scale: drawn after resizing, texts stay sharp."""
    import cv2

    height, width = image.shape[:2]
    scale = WIDTH / width
    size = (WIDTH, max(1, round(height * scale)))
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.ascontiguousarray(cv2.resize(image, size, interpolation=way)), scale


def jpeg(image: np.ndarray) -> str:
    """Base64 text of a picture (H, W, 3) uint8 RGB."""
    import cv2

    _, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return base64.b64encode(data.tobytes()).decode("ascii")
