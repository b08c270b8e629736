"""The toolkit's nouns on the numpy side: truth, detections and tubes, checked where they are made.

Everything here is in pixels of the video (not of the network), boxes are xyxy float64, labels are
multi-hot and scores (N, C). Sizes are (height, width). Frame indices are 0-based.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

NO_TRACK = -1  # track id of a box that belongs to no track


def _expect(array: np.ndarray, shape: tuple[int | None, ...], what: str) -> None:
    fits = array.ndim == len(shape) and all(
        want is None or got == want for got, want in zip(array.shape, shape, strict=True)
    )
    if not fits:
        wanted = ", ".join("*" if n is None else str(n) for n in shape)
        raise ValueError(f"{what}: expected shape ({wanted}), found {array.shape}")


@dataclass(frozen=True, eq=False)
class FrameAnnotations:
    """Truth for one frame that somebody looked at (an unseen frame has `None` in its place).

    boxes (N, 4) xyxy in the video's pixels; labels (N, C) bool multi-hot; track_ids (N,) int64,
    `NO_TRACK` where there is none. N = 0 means: looked, nothing there.
    """

    boxes: np.ndarray
    labels: np.ndarray
    track_ids: np.ndarray

    def __post_init__(self) -> None:
        _expect(self.boxes, (None, 4), "FrameAnnotations.boxes")
        _expect(self.labels, (len(self.boxes), None), "FrameAnnotations.labels")
        _expect(self.track_ids, (len(self.boxes),), "FrameAnnotations.track_ids")

    def __len__(self) -> int:
        return len(self.boxes)

    @classmethod
    def empty(cls, num_classes: int) -> FrameAnnotations:
        return cls(
            np.zeros((0, 4)), np.zeros((0, num_classes), dtype=bool), np.zeros(0, dtype=np.int64)
        )


@dataclass(frozen=True, eq=False)
class VideoAnnotations:
    """Truth for one video, in columns sorted by frame.

    name: the video's name, unique in its set.
    size: (height, width) of the pixels the boxes refer to = the video's own.
    fps: frames a second.
    looked_at: (F,) bool, F = number of frames; True where somebody looked.
    frames: (M,) int64 sorted, the frame of each box; boxes (M, 4); labels (M, C); track_ids (M,).
    Every box lies on a looked-at frame.
    """

    name: str
    size: tuple[int, int]
    fps: float
    looked_at: np.ndarray
    frames: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray
    track_ids: np.ndarray

    def __post_init__(self) -> None:
        count = len(self.frames)
        _expect(self.looked_at, (None,), f"{self.name}: looked_at")
        _expect(self.frames, (None,), f"{self.name}: frames")
        _expect(self.boxes, (count, 4), f"{self.name}: boxes")
        _expect(self.labels, (count, None), f"{self.name}: labels")
        _expect(self.track_ids, (count,), f"{self.name}: track_ids")
        if count and (np.diff(self.frames) < 0).any():
            raise ValueError(
                f"{self.name}: boxes must be sorted by frame; use VideoAnnotations.build"
            )
        if count and not (self.frames[0] >= 0 and self.frames[-1] < len(self.looked_at)):
            raise ValueError(
                f"{self.name}: boxes on frames {self.frames[0]}..{self.frames[-1]}, "
                f"but the video has {len(self.looked_at)} frames"
            )
        if count and not self.looked_at[self.frames].all():
            raise ValueError(f"{self.name}: a box lies on a frame that nobody looked at")

    @classmethod
    def build(
        cls,
        name: str,
        size: tuple[int, int],
        fps: float,
        looked_at: np.ndarray,
        frames: np.ndarray,
        boxes: np.ndarray,
        labels: np.ndarray,
        track_ids: np.ndarray | None = None,
    ) -> VideoAnnotations:
        """From columns in any order and of any numeric type; sorts stably by frame."""
        frames = np.asarray(frames, dtype=np.int64).reshape(-1)
        if track_ids is None:
            track_ids = np.full(len(frames), NO_TRACK)
        order = np.argsort(frames, kind="stable")
        return cls(
            name,
            (int(size[0]), int(size[1])),
            float(fps),
            np.asarray(looked_at, dtype=bool),
            frames[order],
            np.asarray(boxes, dtype=np.float64).reshape(-1, 4)[order],
            np.asarray(labels, dtype=bool)[order],
            np.asarray(track_ids, dtype=np.int64).reshape(-1)[order],
        )

    @property
    def num_frames(self) -> int:
        return len(self.looked_at)

    @property
    def num_classes(self) -> int:
        return self.labels.shape[1]

    def narrowed(self, looked_at: np.ndarray) -> VideoAnnotations:
        """The same video as if nobody had looked but at the frames of `looked_at` (F,) bool."""
        looked_at = self.looked_at & looked_at
        keep = looked_at[self.frames]
        return replace(
            self,
            looked_at=looked_at,
            frames=self.frames[keep],
            boxes=self.boxes[keep],
            labels=self.labels[keep],
            track_ids=self.track_ids[keep],
        )

    def __getitem__(self, frame: int) -> FrameAnnotations | None:
        """Truth of one frame, `None` where nobody looked. IndexError outside the video."""
        if not 0 <= frame < self.num_frames:
            raise IndexError(f"{self.name}: frame {frame} of {self.num_frames}")
        if not self.looked_at[frame]:
            return None
        rows = slice(*np.searchsorted(self.frames, [frame, frame + 1]))
        return FrameAnnotations(self.boxes[rows], self.labels[rows], self.track_ids[rows])


@dataclass(frozen=True, eq=False)
class AnnotationSet:
    """Truth for a set of videos under one order of classes."""

    names: tuple[str, ...]  # class names; column c of every labels array is names[c]
    videos: Mapping[str, VideoAnnotations] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, video in self.videos.items():
            if name != video.name:
                raise ValueError(f"video {video.name!r} stands under the name {name!r}")
            if video.num_classes != len(self.names):
                raise ValueError(
                    f"{name}: labels have {video.num_classes} columns for {len(self.names)} classes"
                )

    def __iter__(self) -> Iterator[VideoAnnotations]:
        return iter(self.videos.values())


@dataclass(frozen=True, eq=False)
class Detections:
    """What a model says of one frame.

    boxes (N, 4) xyxy in the video's pixels; objectness (N,) in [0, 1], NaN where the model has
    none; scores (N, C): the final score of the box for each class (YOLO: objectness x class).
    """

    boxes: np.ndarray
    objectness: np.ndarray
    scores: np.ndarray

    def __post_init__(self) -> None:
        _expect(self.boxes, (None, 4), "Detections.boxes")
        _expect(self.objectness, (len(self.boxes),), "Detections.objectness")
        _expect(self.scores, (len(self.boxes), None), "Detections.scores")

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, rows: np.ndarray | slice) -> Detections:
        return Detections(self.boxes[rows], self.objectness[rows], self.scores[rows])

    @property
    def top_class(self) -> np.ndarray:
        """(N,) index of the highest-scoring class of each box."""
        return self.scores.argmax(axis=1)

    @property
    def top_score(self) -> np.ndarray:
        """(N,) score of that class."""
        return self.scores.max(axis=1) if len(self) else np.zeros(0)

    @classmethod
    def empty(cls, num_classes: int) -> Detections:
        return cls(np.zeros((0, 4)), np.zeros(0), np.zeros((0, num_classes)))


@dataclass(frozen=True, eq=False)
class Tube:
    """One actor doing one action through time.

    start: first frame; boxes (L, 4) xyxy video pixels, one for each consecutive frame; label:
    class index; score: one number for the whole tube.
    """

    start: int
    boxes: np.ndarray
    label: int
    score: float = 1.0

    def __post_init__(self) -> None:
        _expect(self.boxes, (None, 4), "Tube.boxes")

    def __len__(self) -> int:
        return len(self.boxes)

    @property
    def stop(self) -> int:
        """One past the last frame."""
        return self.start + len(self.boxes)
