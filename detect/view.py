"""The map between a video's pixels and the network's pixels, both ways."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from stadet.detect.scaling import scaled

PAD_VALUE = 114  # grey of a letterbox border


@dataclass(frozen=True)
class View:
    """x_network = x_video * scale_x + offset_x (then mirrored if `flip`); likewise y.

    video_size, network_size: (height, width) in pixels. A crop or tile is a view with a negative
    offset, a letterbox one with a positive offset: what falls outside is not seen, what the video
    does not fill is grey.
    """

    video_size: tuple[int, int]
    network_size: tuple[int, int]
    scale: tuple[float, float]  # (y, x), as sizes are (height, width)
    offset: tuple[float, float]  # (y, x), network pixels
    flip: bool = False

    @classmethod
    def resize(cls, video_size: tuple[int, int], network_size: tuple[int, int]) -> View:
        """Stretch the whole frame to the network's size."""
        scale = (network_size[0] / video_size[0], network_size[1] / video_size[1])
        return cls(pair(video_size), pair(network_size), scale, (0.0, 0.0))

    @classmethod
    def letterbox(cls, video_size: tuple[int, int], network_size: tuple[int, int]) -> View:
        """Scale both sides alike so that the whole frame fits, centred on grey."""
        scale = min(network_size[0] / video_size[0], network_size[1] / video_size[1])
        offset = (
            (network_size[0] - video_size[0] * scale) / 2,
            (network_size[1] - video_size[1] * scale) / 2,
        )
        return cls(pair(video_size), pair(network_size), (scale, scale), offset)

    @classmethod
    def fit(cls, video_size: tuple[int, int], network_size: tuple[int, int], resize: str) -> View:
        """The whole frame by name of the policy: `"letterbox"` or `"stretch"`."""
        return {"letterbox": cls.letterbox, "stretch": cls.resize}[resize](video_size, network_size)

    @classmethod
    def crop(
        cls,
        video_size: tuple[int, int],
        region: tuple[float, float, float, float],
        network_size: tuple[int, int],
    ) -> View:
        """Show only `region` (x1, y1, x2, y2, video pixels), stretched to the network's size."""
        x1, y1, x2, y2 = region
        scale = (network_size[0] / (y2 - y1), network_size[1] / (x2 - x1))
        return cls(pair(video_size), pair(network_size), scale, (-y1 * scale[0], -x1 * scale[1]))

    def flipped(self) -> View:
        """The same view mirrored left to right."""
        return replace(self, flip=not self.flip)

    def to_network(self, boxes: np.ndarray) -> np.ndarray:
        """(..., 4) xyxy video pixels to xyxy network pixels, not clipped."""
        boxes = np.asarray(boxes, dtype=np.float64)
        scale_y, scale_x = self.scale
        offset_y, offset_x = self.offset
        out = boxes * [scale_x, scale_y, scale_x, scale_y]
        out += [offset_x, offset_y, offset_x, offset_y]
        return self._mirror(out)

    def to_video(self, boxes: np.ndarray) -> np.ndarray:
        """(..., 4) xyxy network pixels to xyxy video pixels, not clipped."""
        boxes = self._mirror(np.asarray(boxes, dtype=np.float64))
        scale_y, scale_x = self.scale
        offset_y, offset_x = self.offset
        out = boxes - [offset_x, offset_y, offset_x, offset_y]
        return out / [scale_x, scale_y, scale_x, scale_y]

    def _mirror(self, boxes: np.ndarray) -> np.ndarray:
        if not self.flip:
            return boxes
        out = boxes.copy()
        out[..., 0] = self.network_size[1] - boxes[..., 2]
        out[..., 2] = self.network_size[1] - boxes[..., 0]
        return out

    def apply(self, image: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 to the (h, w, 3) uint8 that the network sees.

        `image` may be a smaller copy of the frame (from a cache): the scale follows its size.
        """
        image_y, image_x = image.shape[0] / self.video_size[0], image.shape[1] / self.video_size[1]
        scale_y, scale_x = self.scale[0] / image_y, self.scale[1] / image_x
        whole = (round(image.shape[0] * scale_y), round(image.shape[1] * scale_x))
        if self.offset == (0.0, 0.0) and whole == self.network_size:
            out = scaled(image, self.network_size)
        else:
            if scale_y < 0.6 or scale_x < 0.6:  # a warp does not average: shrink first
                image = scaled(image, (max(1, whole[0]), max(1, whole[1])))
                scale_y, scale_x = (
                    self.scale[0] * self.video_size[0] / image.shape[0],
                    self.scale[1] * self.video_size[1] / image.shape[1],
                )
            out = _placed(image, (scale_y, scale_x), self.offset, self.network_size)
        return np.ascontiguousarray(out[:, ::-1]) if self.flip else out


def _placed(
    image: np.ndarray,
    scale: tuple[float, float],
    offset: tuple[float, float],
    size: tuple[int, int],
) -> np.ndarray:
    """(H, W, 3) uint8, scaled and moved by (y, x) into a grey image of `size`."""
    import cv2

    if np.allclose((*scale, *offset), (1, 1, *np.round(offset)), rtol=0, atol=1e-6):
        return _moved(image, (round(offset[0]), round(offset[1])), size)
    # pixel centres: x_net + .5 = (x + .5) * scale + offset
    shift_y, shift_x = (o + 0.5 * s - 0.5 for s, o in zip(scale, offset, strict=True))
    return cv2.warpAffine(
        image,
        np.array([[scale[1], 0, shift_x], [0, scale[0], shift_y]]),
        size[::-1],
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(PAD_VALUE,) * 3,
    )


def _moved(image: np.ndarray, offset: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    """What a warp by whole pixels gives, as a copy: a third of the time of a letterbox view."""
    out = np.full((*size, 3), PAD_VALUE, dtype=np.uint8)
    top, left = offset
    inside = image[max(0, -top) : max(0, size[0] - top), max(0, -left) : max(0, size[1] - left)]
    height, width = inside.shape[:2]
    out[max(0, top) : max(0, top) + height, max(0, left) : max(0, left) + width] = inside
    return out


def pair(size: Sequence[int]) -> tuple[int, int]:
    """A size as a tuple (height, width), also where a configuration gave a list."""
    height, width = size
    return height, width
