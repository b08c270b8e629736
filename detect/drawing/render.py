"""Draws detections, tubes and truth into frames, in place.

Frames are (H, W, 3) uint8 RGB and writable (a part of a wider picture will do); boxes are xyxy in
their pixels. Lines and letters grow with the frame. Detections have solid boxes in the colour of
their class with the label on top; truth has dashed white boxes with the label below. Labels stay
inside the frame, are as far apart as there is room, and no line crosses them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from stadet.detect.drawing.colours import class_colours, text_colour
from stadet.detect.drawing.text_patch import text_patch
from stadet.detect.structures import NO_TRACK, Detections, FrameAnnotations, Tube
from stadet.engine.signatures import checked

WHITE, BLACK, GREY = (255, 255, 255), (0, 0, 0), (40, 40, 40)
MOST_CLASSES = 3  # names in one label

Rectangle = tuple[int, int, int, int]  # x1, y1, x2, y2 in whole pixels
Colour = tuple[int, int, int]


class _Label(NamedTuple):
    text: str
    box: Rectangle
    colour: Colour
    background: Colour
    below: bool


@checked
def draw_detections(
    image: np.ndarray,
    detections: Detections,
    names: Sequence[str] | None = None,
    *,
    threshold: float = 0.0,
) -> None:
    """Draw the detections of a frame into it.

    Args:
        image: (H, W, 3) uint8 RGB, writable; changed in place. (In a BGR image only the colours of
            the boxes come out otherwise.)
        detections: boxes in pixels of `image`.
        names: class names (default: those that the detections bring, else their indices).
        threshold: least score of a class that is drawn.

    Example:
        >>> for image, found in zip(images, detector(images)):              # doctest: +SKIP
        ...     stadet.draw_detections(image, found, threshold=0.4)
    """
    if names is None:
        names = [detections.class_name(column) for column in range(detections.num_classes)]
    with Canvas(image, names) as canvas:
        canvas.detections(detections, threshold)


@checked
def draw_annotations(
    image: np.ndarray, annotations: FrameAnnotations, names: Sequence[str]
) -> None:
    """Draw the truth of a frame into it.

    Args:
        image: (H, W, 3) uint8 RGB, writable; changed in place.
        annotations: boxes in pixels of `image`.
        names: class names.
    """
    with Canvas(image, names) as canvas:
        canvas.annotations(annotations)


def _expect_names(names: Sequence[str], classes: int) -> None:
    if len(names) < classes:
        raise ValueError(f"expected a name for each of {classes} classes, found {len(names)}")


class Canvas:
    """Draws several things into one frame: boxes at once, all text on leaving the `with` block.

    image: (H, W, 3) uint8 RGB, drawn into; names: of the C classes. What has another order of
    classes (a file of another program) is drawn with its own `names`. A class has the colour of its
    name (`stadet.detect.drawing.colours`). ValueError for an image that OpenCV cannot draw into.
    """

    @checked
    def __init__(self, image: np.ndarray, names: Sequence[str]):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(
                f"expected an image (H, W, 3) of uint8, found {image.dtype} {image.shape}"
            )
        if not image.flags.writeable or image.strides[1:] != (3, 1) or image.strides[0] < 0:
            raise ValueError(
                "expected an image to draw into, found one that is read-only or turned; "
                "image.copy() makes one"
            )
        self.image = image
        self._names = names
        self._line = line_width(image.shape[:2])
        self._text = text_height(image.shape[:2])
        self._corners: list[tuple[str, bool]] = []
        self._labels: list[_Label] = []
        self._taken: list[Rectangle] = []  # where there is text already

    def __enter__(self) -> Canvas:
        return self

    def __exit__(self, kind: type | None, *_: object) -> None:
        if kind is not None:
            return
        for text, bottom in self._corners:
            patch = text_patch(text, self._text, WHITE, GREY)
            self._paste(patch, 0, self.image.shape[0] - patch.shape[0] if bottom else 0)
        for label in self._labels:
            self._place(label)

    def detections(
        self,
        detections: Detections,
        threshold: float = 0.0,
        *,
        names: Sequence[str] | None = None,
    ) -> None:
        """Boxes with a class score above 0 and of at least `threshold`, labelled with those and,
        after an @, the actor."""
        names = self._names if names is None else names
        _expect_names(names, detections.num_classes)
        scores, colours = detections.scores, class_colours(names)
        listed = (scores > 0) & (scores >= threshold)
        rows = np.flatnonzero(listed.any(axis=1))
        for row in rows[np.argsort(scores[rows].max(axis=1), kind="stable")]:  # the best on top
            classes = np.argsort(-scores[row], kind="stable")[: listed[row].sum()]
            shown = [f"{names[c]} {scores[row, c]:.2f}" for c in classes[:MOST_CLASSES]]
            more = [".."] if len(classes) > MOST_CLASSES else []
            text = ", ".join([*shown, *more])
            if detections.actor_ids is not None and detections.actor_ids[row] != NO_TRACK:
                text = f"@{detections.actor_ids[row]} {text}"
            self._solid_box(detections.boxes[row], text, colours[classes[0]])

    def tubes(
        self,
        frame: int,
        tubes: Iterable[tuple[int, Tube]],
        threshold: float = 0.0,
        *,
        names: Sequence[str] | None = None,
    ) -> None:
        """Boxes on `frame` of (number, tube) with a score of at least `threshold`, the last on top;
        labelled with class, number and the score of the whole tube and, after an @, the actor."""
        names = self._names if names is None else names
        colours = class_colours(names)
        for number, tube in tubes:
            if tube.start <= frame < tube.stop and tube.score >= threshold:
                text = f"{names[tube.label]} #{number} {tube.score:.2f}"
                if tube.actor is not None:
                    text = f"@{tube.actor} {text}"
                self._solid_box(tube.boxes[frame - tube.start], text, colours[tube.label])

    def labelled_box(self, box: np.ndarray, text: str, label: int) -> None:
        """A solid box (x1, y1, x2, y2) in the colour of class `label`, with `text` on top."""
        self._solid_box(box, text, class_colours(self._names)[label])

    def annotations(
        self, annotations: FrameAnnotations, *, names: Sequence[str] | None = None
    ) -> None:
        """Truth: dashed white boxes, labelled with all their classes and the track's number."""
        names = self._names if names is None else names
        _expect_names(names, annotations.labels.shape[1])
        for box, labels, track in zip(
            annotations.boxes, annotations.labels, annotations.track_ids, strict=True
        ):
            place = _inside(box, self.image)
            _dashed_box(self.image, place, self._line)
            text = ", ".join(names[int(c)] for c in np.flatnonzero(labels))
            if track != NO_TRACK:
                text = f"{text} #{track}"
            self._labels.append(_Label(text, place, BLACK, WHITE, below=True))

    def corner(self, text: str, *, bottom: bool = True) -> None:
        """A line of text in the left bottom corner (a time stamp) or the left top one (a title)."""
        self._corners.append((text, bottom))

    def _solid_box(self, box: np.ndarray, text: str, colour: np.ndarray) -> None:
        import cv2

        x1, y1, x2, y2 = place = _inside(box, self.image)
        red, green, blue = (int(value) for value in colour)
        paint = (red, green, blue)
        cv2.rectangle(self.image, (x1, y1), (x2 - 1, y2 - 1), paint, self._line)
        self._labels.append(_Label(text, place, text_colour(paint), paint, below=False))

    def _place(self, label: _Label) -> None:
        """Above the box (below, for truth); inside it or on its other side if there is no room."""
        patch = text_patch(label.text, self._text, label.colour, label.background)
        height, width = patch.shape[:2]
        _, top, _, bottom = label.box
        x = max(0, min(label.box[0], self.image.shape[1] - width))
        places = [top - height, top, bottom, bottom - height]
        if label.below:
            places = [bottom, bottom - height, top - height, top]
        places += [top + row * height for row in range(1, 5)]  # a crowd: further down the box
        inside = [y for y in places if 0 <= y <= self.image.shape[0] - height] or [0]
        # the first of those that hide the least text
        y = inside[int(self._hidden(x, np.array(inside), height, width).argmin())]
        self._paste(patch, x, y)

    def _hidden(self, x: int, y: np.ndarray, height: int, width: int) -> np.ndarray:
        """(P,) pixels of text that a patch would cover whose upper left corner is (x, y[p])."""
        if not self._taken:
            return np.zeros(len(y), dtype=np.int64)
        x1, y1, x2, y2 = np.array(self._taken).T  # (T,) each
        wide = np.minimum(x + width, x2) - np.maximum(x, x1)
        tall = np.minimum(y[:, None] + height, y2) - np.maximum(y[:, None], y1)
        return tall.clip(0) @ wide.clip(0)

    def _paste(self, patch: np.ndarray, x: int, y: int) -> None:
        """Paste at (x, y) >= 0; what sticks out of the frame is cut off."""
        y = max(0, y)
        target = self.image[y : y + patch.shape[0], x : x + patch.shape[1]]
        target[:] = patch[: target.shape[0], : target.shape[1]]
        self._taken.append((x, y, x + target.shape[1], y + target.shape[0]))


def line_width(size: tuple[int, int]) -> int:
    """Pixels of a box's line for a frame of `size` (height, width): 2 up to 720p (yuv420p would
    take half the colour of a single pixel)."""
    return max(2, round(min(size) / 300))


def text_height(size: tuple[int, int]) -> int:
    """Pixels of a line of text for a frame of `size` (height, width): 18 at 720p, at least 11."""
    return max(11, round(min(size) / 40))


def time_stamp(seconds: float, frame: int) -> str:
    """`0:01:23.45  frame 2489`."""
    hundredths = round(seconds * 100)
    minutes, hundredths = divmod(hundredths, 6000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{hundredths / 100:05.2f}  frame {frame}"


def _dashed_box(image: np.ndarray, box: Rectangle, width: int) -> None:
    """White dashes on black, so that they show on any ground."""
    x1, y1, x2, y2 = box
    for edge in (
        image[y1 : y1 + width, x1:x2],
        image[max(y1, y2 - width) : y2, x1:x2],
        image[y1:y2, x1 : x1 + width].swapaxes(0, 1),
        image[y1:y2, max(x1, x2 - width) : x2].swapaxes(0, 1),
    ):
        white = np.arange(edge.shape[1]) // (4 * width) % 2 == 0
        edge[:] = np.where(white, 255, 0).astype(np.uint8)[None, :, None]


def _inside(box: np.ndarray, image: np.ndarray) -> Rectangle:
    """A box in whole pixels inside the frame, at least one wide and tall."""
    height, width = image.shape[:2]
    x1, y1, x2, y2 = (int(side) for side in np.round(box))
    x1, y1 = min(max(x1, 0), width - 1), min(max(y1, 0), height - 1)
    return x1, y1, min(max(x2, x1 + 1), width), min(max(y2, y1 + 1), height)
