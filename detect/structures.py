"""The toolkit's nouns on the numpy side: truth, detections and tubes, checked where they are made.

Everything here is in pixels of the video (not of the network), boxes are xyxy float64, labels are
multi-hot and scores (N, C). Sizes are (height, width). Frame indices are 0-based.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from stadet.detect.clock import Clock
from stadet.engine.errors import UserError, neighbours
from stadet.engine.signatures import expect_kind

if TYPE_CHECKING:
    import pandas
    import supervision

NO_TRACK = -1  # track id of a box that belongs to no track


def _expect(array: np.ndarray, shape: tuple[int | None, ...], what: str) -> None:
    if not isinstance(array, np.ndarray):
        raise ValueError(f"{what}: expected a numpy array, found {type(array).__name__}")
    fits = array.ndim == len(shape) and all(
        want is None or got == want for got, want in zip(array.shape, shape, strict=True)
    )
    if not fits:
        wanted = ", ".join("*" if n is None else str(n) for n in shape)
        raise ValueError(f"{what}: expected shape ({wanted}), found {array.shape}")


@dataclass(frozen=True, eq=False)
class FrameAnnotations:
    """Truth of one frame that was looked at; N = 0 means that there is nothing on it.

    A frame that was not looked at has `None` instead.

    Attributes:
        boxes: (N, 4) float64 xyxy in the video's pixels.
        labels: (N, C) bool, multi-hot.
        track_ids: (N,) int64, `NO_TRACK` where there is none.
        ignored: (N,) bool, see `VideoAnnotations`; all False where not given.
    """

    boxes: np.ndarray
    labels: np.ndarray
    track_ids: np.ndarray
    ignored: np.ndarray = None  # type: ignore[assignment]  # set in __post_init__

    def __post_init__(self) -> None:
        _expect(self.boxes, (None, 4), "FrameAnnotations.boxes")
        _expect(self.labels, (len(self.boxes), None), "FrameAnnotations.labels")
        _expect(self.track_ids, (len(self.boxes),), "FrameAnnotations.track_ids")
        if self.ignored is None:
            object.__setattr__(self, "ignored", np.zeros(len(self.boxes), dtype=bool))
        _expect(self.ignored, (len(self.boxes),), "FrameAnnotations.ignored")

    def __len__(self) -> int:
        return len(self.boxes)

    @classmethod
    def empty(cls, num_classes: int) -> FrameAnnotations:
        return cls(
            np.zeros((0, 4)), np.zeros((0, num_classes), dtype=bool), np.zeros(0, dtype=np.int64)
        )


@dataclass(frozen=True, eq=False)
class VideoAnnotations:
    """Truth of one video of F frames, in columns sorted by frame.

    Every box is on a frame that was looked at.

    Attributes:
        name: the video's name, unique in its set.
        size: (height, width) of the pixels that the boxes refer to, the video's own.
        fps: frames per second, the mean where the rate varies.
        looked_at: (F,) bool, True where somebody looked.
        frames: (M,) int64 sorted, the frame of each box.
        boxes: (M, 4) float64 xyxy.
        labels: (M, C) bool, multi-hot.
        track_ids: (M,) int64, `NO_TRACK` where there is none.
        ignored: (M,) bool, all False where not given: regions that count neither way (COCO's
            `iscrowd` and `ignore`, VOC's "difficult"). Metrics need not find them and do not blame
            a detection inside one of its class; losses treat them neither as object nor as
            background.
        times: (F,) seconds of each frame from the first where the rate varies; None = frame / fps.
    """

    name: str
    size: tuple[int, int]
    fps: float
    looked_at: np.ndarray
    frames: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray
    track_ids: np.ndarray
    ignored: np.ndarray = None  # type: ignore[assignment]  # set in __post_init__
    times: np.ndarray | None = None

    def __post_init__(self) -> None:
        _expect(self.frames, (None,), f"{self.name}: frames")
        count = len(self.frames)
        if self.ignored is None:
            object.__setattr__(self, "ignored", np.zeros(count, dtype=bool))
        _expect(self.looked_at, (None,), f"{self.name}: looked_at")
        _expect(self.boxes, (count, 4), f"{self.name}: boxes")
        _expect(self.labels, (count, None), f"{self.name}: labels")
        _expect(self.track_ids, (count,), f"{self.name}: track_ids")
        _expect(self.ignored, (count,), f"{self.name}: ignored")
        if self.times is not None:
            _expect(self.times, (len(self.looked_at),), f"{self.name}: times")
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
            raise ValueError(f"{self.name}: a box is on a frame that was not looked at")

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
        ignored: np.ndarray | None = None,
        *,
        times: np.ndarray | None = None,
    ) -> VideoAnnotations:
        """From columns in any order and of any numeric type; sorts stably by frame."""
        expect_kind("VideoAnnotations.build: size", size, "tuple[int, int]")
        expect_kind("VideoAnnotations.build: fps", fps, "float")
        frames = np.asarray(frames, dtype=np.int64).reshape(-1)
        if np.shape(boxes) not in ((len(frames), 4), (0,)) or len(labels) != len(frames):
            raise ValueError(
                f"{name}: expected boxes ({len(frames)}, 4) and labels ({len(frames)}, C) as there "
                f"are frames, found {np.shape(boxes)} and {np.shape(labels)}"
            )
        if track_ids is None:
            track_ids = np.full(len(frames), NO_TRACK)
        if ignored is None:
            ignored = np.zeros(len(frames), dtype=bool)
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
            np.asarray(ignored, dtype=bool).reshape(-1)[order],
            times,
        )

    @property
    def num_frames(self) -> int:
        return len(self.looked_at)

    @cached_property
    def clock(self) -> Clock:
        """Converts between frames and seconds."""
        return Clock(self.fps, self.times)

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
            ignored=self.ignored[keep],
        )

    def objects(self) -> VideoAnnotations:
        """The same video without its ignored regions."""
        if not self.ignored.any():
            return self
        keep = ~self.ignored
        return replace(
            self,
            frames=self.frames[keep],
            boxes=self.boxes[keep],
            labels=self.labels[keep],
            track_ids=self.track_ids[keep],
            ignored=self.ignored[keep],
        )

    def without_ignored_frames(self) -> VideoAnnotations:
        """As if nobody had looked at the frames with an ignored region, for programs and formats
        that know no such region and would take it for background."""
        looked_at = self.looked_at.copy()
        looked_at[self.frames[self.ignored]] = False
        return self.narrowed(looked_at)

    def __getitem__(self, frame: int) -> FrameAnnotations | None:
        """Truth of one frame, `None` where nobody looked. IndexError outside the video."""
        if not 0 <= frame < self.num_frames:
            raise IndexError(f"{self.name}: frame {frame} of {self.num_frames}")
        if not self.looked_at[frame]:
            return None
        rows = slice(*np.searchsorted(self.frames, [frame, frame + 1]))
        return FrameAnnotations(
            self.boxes[rows], self.labels[rows], self.track_ids[rows], self.ignored[rows]
        )


@dataclass(frozen=True, eq=False)
class AnnotationSet:
    """Truth for a set of videos under one order of classes.

    Attributes:
        names: class names; column c of every labels array is names[c].
        videos: annotations by the name of the video.
    """

    names: tuple[str, ...]  # class names; column c of every labels array is names[c]
    videos: Mapping[str, VideoAnnotations] = field(default_factory=dict)

    def __post_init__(self) -> None:
        expect_kind("AnnotationSet: names", self.names, "Sequence[str]")
        expect_kind("AnnotationSet: videos", self.videos, "Mapping[str, VideoAnnotations]")
        for name, video in self.videos.items():
            expect_kind("AnnotationSet: each of videos", video, "VideoAnnotations")
            if name != video.name:
                raise ValueError(f"video {video.name!r} is stored under the name {name!r}")
            if video.num_classes != len(self.names):
                raise ValueError(
                    f"{name}: labels have {video.num_classes} columns for {len(self.names)} classes"
                )

    def __iter__(self) -> Iterator[VideoAnnotations]:
        return iter(self.videos.values())

    def objects(self) -> AnnotationSet:
        """The same set without its ignored regions."""
        return AnnotationSet(
            self.names, {name: video.objects() for name, video in self.videos.items()}
        )


@dataclass(frozen=True, eq=False, repr=False)
class Detections:
    """Detections of one frame: boxes with a score for every class.

    A box may hold several classes at once (someone wipes and talks on the phone), so `scores` has a
    column for each class and 0 means that the class was not detected for that box. `above` and
    `with_classes` work on these pairs of box and class: they set the scores of the other pairs to 0
    and drop the boxes that no pair is left of.

    Attributes:
        boxes: (N, 4) float64 xyxy in pixels of the video.
        objectness: (N,) in [0, 1]; NaN where the model has none.
        scores: (N, C) in [0, 1], the final score of each box for each class (YOLO: objectness
            times class probability); 0: not detected.
        names: names of the C classes, or None where they are not known.
        video: name of the video, or None.
        frame: 0-based index of the frame, or None.
        seconds: time of the frame since the video's first, in seconds, or None.
        actor_ids: (N,) int64, whose each box is (`stadet.detect.actors`), `NO_TRACK` where it is
            not known; None where nobody has looked for actors.

    Raises:
        ValueError: where the shapes do not belong together.

    Examples:
        >>> found = Detections(
        ...     boxes=np.array([[10.0, 20.0, 50.0, 80.0], [30.0, 30.0, 60.0, 90.0]]),
        ...     objectness=np.array([0.9, 0.8]),
        ...     scores=np.array([[0.8, 0.3], [0.0, 0.6]]),
        ...     names=("wipe", "phone"),
        ... )
        >>> found
        Detections(2 boxes: wipe 0.80 + phone 0.30, phone 0.60)
        >>> found.above(0.5).with_classes("phone")
        Detections(1 box: phone 0.60)
        >>> found[found.boxes[:, 0] < 20].top_score
        array([0.8])
    """

    boxes: np.ndarray
    objectness: np.ndarray
    scores: np.ndarray
    names: tuple[str, ...] | None = None
    video: str | None = None
    frame: int | None = None
    seconds: float | None = None
    actor_ids: np.ndarray | None = None

    def __post_init__(self) -> None:
        _expect(self.boxes, (None, 4), "Detections.boxes")
        _expect(self.objectness, (len(self.boxes),), "Detections.objectness")
        _expect(self.scores, (len(self.boxes), None), "Detections.scores")
        if self.actor_ids is not None:
            _expect(self.actor_ids, (len(self.boxes),), "Detections.actor_ids")
        if not isinstance(self.names, (tuple, type(None))):
            expect_kind("Detections: names", self.names, "Sequence[str] | None")
        if self.names is not None and len(self.names) != self.num_classes:
            raise ValueError(
                f"Detections.names: expected {self.num_classes} names as scores have columns, "
                f"found {len(self.names)}"
            )

    def __len__(self) -> int:
        """Number of boxes."""
        return len(self.boxes)

    def __iter__(self) -> Iterator[Detections]:
        """Each box as `Detections` of one row."""
        return (self[row] for row in range(len(self)))

    def __getitem__(self, rows: int | slice | np.ndarray | Sequence[int]) -> Detections:
        """The boxes of an index, a slice, an array of indices or a boolean mask (N,)."""
        if isinstance(rows, (int, np.integer)):
            rows = np.array([rows])
        return replace(
            self,
            boxes=self.boxes[rows],
            objectness=self.objectness[rows],
            scores=self.scores[rows],
            actor_ids=None if self.actor_ids is None else self.actor_ids[rows],
        )

    def __repr__(self) -> str:
        place = "" if self.video is None else f" in {self.video}"
        place += "" if self.frame is None else f" on frame {self.frame}"
        place += "" if self.seconds is None else f" ({self.seconds:.2f} s)"
        shown = [" + ".join(_pairs_of(self, row)) for row in range(min(len(self), _SHOWN))]
        more = [".."] if len(self) > _SHOWN else []
        words = f": {', '.join([*shown, *more])}" if len(self) else ""
        return f"Detections({len(self)} box{'' if len(self) == 1 else 'es'}{place}{words})"

    @property
    def num_classes(self) -> int:
        """C."""
        return self.scores.shape[1]

    @property
    def top_class(self) -> np.ndarray:
        """(N,) index of the highest-scoring class of each box."""
        return self.scores.argmax(axis=1)

    @property
    def top_score(self) -> np.ndarray:
        """(N,) score of that class."""
        return self.scores.max(axis=1) if len(self) else np.zeros(0)

    @property
    def top_name(self) -> tuple[str, ...]:
        """N names, of the highest-scoring class of each box."""
        return tuple(self.class_name(c) for c in self.top_class)

    def class_name(self, column: int) -> str:
        """Name of a column of `scores`; the index as text where names are not known."""
        return str(column) if self.names is None else self.names[column]

    def above(self, score: float | Sequence[float] | np.ndarray) -> Detections:
        """Only pairs of box and class with a score of at least `score`.

        Args:
            score: one threshold for all classes or one for each (C,).

        Returns:
            Detections with the other scores set to 0, without the boxes that none is left of.
        """
        return self._keep(self.scores >= np.asarray(score, dtype=np.float64))

    def with_classes(self, *classes: str | int) -> Detections:
        """Only pairs of box and class of the given classes.

        Args:
            classes: names (where the detections know theirs) or column indices.

        Returns:
            Detections with the other scores set to 0, without the boxes that none is left of. The
            columns stay.

        Raises:
            UserError: for a name or an index that is not among the classes.
        """
        wanted = np.zeros(self.num_classes, dtype=bool)
        wanted[[self._column(label) for label in classes]] = True
        return self._keep(np.broadcast_to(wanted, self.scores.shape))

    def pairs(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Every detected pair of box and class, best first.

        Returns:
            rows (P,) and classes (P,) int64 and scores (P,): box `boxes[rows[i]]` is of class
            `classes[i]` with `scores[i]` > 0. Pairs of equal score are in order of box and class.
        """
        rows, classes = np.nonzero(self.scores > 0)
        order = np.argsort(-self.scores[rows, classes], kind="stable")
        rows, classes = rows[order], classes[order]
        return rows, classes, self.scores[rows, classes]

    @classmethod
    def merge(cls, parts: Iterable[Detections]) -> Detections:
        """The boxes of several detections of one frame, one after another; nothing is suppressed.

        Args:
            parts: at least one, all of the same classes. What they disagree on (video, frame,
                seconds) becomes None.

        Raises:
            ValueError: for no parts, or parts of different classes.
        """
        expect_kind("Detections.merge: parts", parts, "Iterable[Detections]")
        parts = list(parts)
        for part in parts:
            expect_kind("Detections.merge: each of parts", part, "Detections")
        counts = {part.num_classes for part in parts}
        named = {part.names for part in parts if part.names is not None}
        if len(counts) != 1 or len(named) > 1:
            found = "none" if not parts else f"{sorted(named) if len(named) > 1 else counts}"
            raise ValueError(f"Detections.merge: expected parts of the same classes, found {found}")

        def common(key: str) -> Any:
            values = {getattr(part, key) for part in parts}
            return values.pop() if len(values) == 1 else None

        actors = None
        if any(part.actor_ids is not None for part in parts):
            actors = np.concatenate(
                [
                    np.full(len(part), NO_TRACK) if part.actor_ids is None else part.actor_ids
                    for part in parts
                ]
            )
        return cls(
            np.concatenate([part.boxes for part in parts]),
            np.concatenate([part.objectness for part in parts]),
            np.concatenate([part.scores for part in parts]),
            next(iter(named), None),
            common("video"),
            common("frame"),
            common("seconds"),
            actors,
        )

    @classmethod
    def empty(cls, num_classes: int, names: Sequence[str] | None = None) -> Detections:
        """No boxes, for C = `num_classes`."""
        known = None if names is None else tuple(names)
        return cls(np.zeros((0, 4)), np.zeros(0), np.zeros((0, num_classes)), known)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON.

        Returns:
            `{"video", "frame", "seconds", "detections": [{"box": [x1, y1, x2, y2], "objectness":
            o or None, "scores": {class name: score}}]}`; scores of 0 are left out, and a class
            without a name is called by its index. A box whose actor is known has `"actor"`, too.
        """
        detections = [
            {
                "box": box,
                "objectness": None if objectness != objectness else objectness,
                "scores": {self.class_name(c): score for c, score in enumerate(row) if score > 0},
            }
            for box, objectness, row in zip(
                self.boxes.tolist(), self.objectness.tolist(), self.scores.tolist(), strict=True
            )
        ]
        if self.actor_ids is not None:
            for row, actor in zip(detections, self.actor_ids.tolist(), strict=True):
                if actor != NO_TRACK:
                    row["actor"] = actor
        place = {"video": self.video, "frame": self.frame, "seconds": self.seconds}
        return {**place, "detections": detections}

    def to_pandas(self) -> pandas.DataFrame:
        """A row for every detected pair of box and class, best first; needs pandas.

        Returns:
            DataFrame with the columns video, frame, seconds, box (index of the box), x1, y1, x2,
            y2 (pixels), objectness, class_id, class_name, score, and actor where actors were looked
            for (-1 where it is not known).

        Raises:
            UserError: where pandas is not installed.
        """
        from stadet.detect.detections.interchange import to_pandas

        return to_pandas(self)

    def to_supervision(self, *, multi_label: bool = False) -> supervision.Detections:
        """As `supervision.Detections`; needs supervision.

        Args:
            multi_label: a row for every detected pair of box and class instead of one for every
                box, which has the class of its highest score.

        Returns:
            `supervision.Detections` with xyxy, confidence, class_id, tracker_id where actors were
            looked for (-1 where it is not known), and `data`: class_name,
            objectness and scores (all C of the row's box), by which `from_supervision` restores
            what one row a box holds. Boxes without any class are left out.

        Raises:
            UserError: where supervision is not installed.
        """
        from stadet.detect.detections.interchange import to_supervision

        return to_supervision(self, multi_label=multi_label)

    @classmethod
    def from_supervision(
        cls, detections: supervision.Detections, names: Sequence[str] | None = None
    ) -> Detections:
        """From `supervision.Detections`, one box a row.

        Args:
            detections: with class_id, and confidence (1 where there is none). The data that
                `to_supervision` adds is used where it is there; a tracker_id is the actor.
            names: of the C classes; default: as many classes as the ids need, without names.

        Raises:
            UserError: for detections without class ids, and ids outside of `names`.
        """
        from stadet.detect.detections.interchange import from_supervision

        return from_supervision(detections, names)

    def _keep(self, pairs: np.ndarray) -> Detections:
        pairs = pairs & (self.scores > 0)
        rows = np.flatnonzero(pairs.any(axis=1))
        return replace(self, scores=np.where(pairs, self.scores, 0.0))[rows]

    def _column(self, label: str | int) -> int:
        if isinstance(label, str):
            names = self.names or ()
            if label not in names:
                why = neighbours(label, names) if names else "; these detections have no names"
                raise UserError(f"no class {label!r}{why}")
            return names.index(label)
        expect_kind("with_classes: each of classes", label, "str | int")
        if not 0 <= label < self.num_classes:
            raise UserError(f"no class {label}; expected 0 to {self.num_classes - 1}")
        return int(label)


_SHOWN = 5  # boxes in a repr


def _pairs_of(detections: Detections, row: int) -> list[str]:
    """`name score` of each class of a box, best first."""
    scores = detections.scores[row]
    order = np.argsort(-scores, kind="stable")
    found = [f"{detections.class_name(c)} {scores[c]:.2f}" for c in order if scores[c] > 0]
    return found or ["no class"]


@dataclass(frozen=True, eq=False)
class Tube:
    """One actor doing one action through time.

    Attributes:
        start: first frame.
        boxes: (L, 4) float64 xyxy video pixels, one for each consecutive frame.
        label: class index.
        score: of the whole tube.
        actor: id of who does it (`stadet.detect.actors`); None where it is not known.
    """

    start: int
    boxes: np.ndarray
    label: int
    score: float = 1.0
    actor: int | None = None

    def __post_init__(self) -> None:
        _expect(self.boxes, (None, 4), "Tube.boxes")

    def __len__(self) -> int:
        return len(self.boxes)

    @property
    def stop(self) -> int:
        """One past the last frame."""
        return self.start + len(self.boxes)
