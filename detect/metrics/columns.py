"""Truth and detections of many frames in flat columns: what every frame metric reads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from stadet.detect.boxes import rowwise_share
from stadet.detect.detections.detection_set import DetectionSet, VideoDetections
from stadet.detect.metrics.matching import Pairs, pair_up
from stadet.detect.structures import AnnotationSet, Detections, FrameAnnotations, VideoAnnotations


@dataclass(frozen=True, eq=False)
class EvaluationColumns:
    """I images (looked-at frames), T truth boxes, D detected boxes, E (box, class) entries.

    An entry is one detected box with one class of positive score, so a box may have several.
    image_video (I,) index into video_names; image_frame (I,) frame in its video;
    truth_image (T,) sorted; truth_boxes (T, 4) xyxy pixels; truth_labels (T, C) bool; truth_tracks;
    region_image (R,) sorted; region_boxes (R, 4); region_labels (R, C): the ignored regions of the
    truth, which are not among its T boxes;
    detection_image (D,) sorted; detection_boxes (D, 4); objectness (D,);
    entry_detection (E,) sorted; entry_class (E,); entry_score (E,).
    """

    names: tuple[str, ...]
    video_names: tuple[str, ...]
    image_video: np.ndarray
    image_frame: np.ndarray
    truth_image: np.ndarray
    truth_boxes: np.ndarray
    truth_labels: np.ndarray
    truth_tracks: np.ndarray
    region_image: np.ndarray
    region_boxes: np.ndarray
    region_labels: np.ndarray
    detection_image: np.ndarray
    detection_boxes: np.ndarray
    objectness: np.ndarray
    entry_detection: np.ndarray
    entry_class: np.ndarray
    entry_score: np.ndarray

    @property
    def num_images(self) -> int:
        return len(self.image_video)

    @property
    def num_classes(self) -> int:
        return len(self.names)

    @property
    def entry_image(self) -> np.ndarray:
        """(E,) image of each entry."""
        return self.detection_image[self.entry_detection]

    @property
    def truths_per_class(self) -> np.ndarray:
        """(C,) number of truth boxes with each label."""
        return self.truth_labels.sum(axis=0)

    @cached_property
    def pairs(self) -> Pairs:
        """Detections and truths that overlap, whatever their classes."""
        return pair_up(
            self.detection_image, self.detection_boxes, self.truth_image, self.truth_boxes
        )

    def annotated_only(self) -> EvaluationColumns:
        """The images that hold truth of any class."""
        keep = np.zeros(self.num_images, dtype=bool)
        keep[self.truth_image[self.truth_labels.any(axis=1)]] = True
        return self if keep.all() else self.select_images(keep)

    def select_classes(self, keep: np.ndarray) -> EvaluationColumns:
        """Truth, regions and entries of the classes where `keep` (C,) is True; boxes stay."""
        if keep.all():
            return self
        kept = replace(
            self, truth_labels=self.truth_labels & keep, region_labels=self.region_labels & keep
        )
        return kept.select_entries(keep[self.entry_class])

    def excused(self, share: float = 0.5) -> np.ndarray:
        """(E,) bool: entries of which at least `share` of the area lies in an ignored region of
        their class: they are no false alarms."""
        excused = np.zeros(len(self.entry_score), dtype=bool)
        pairs = self.region_pairs
        excused[pairs.detection[pairs.iou >= share]] = True
        return excused

    @cached_property
    def region_pairs(self) -> Pairs:
        """Entries and labels of ignored regions (those of `np.nonzero(region_labels)`) in the same
        image and class; `iou` is the share of the entry's own area inside the region."""
        box, label = np.nonzero(self.region_labels)
        return pair_up(
            self.entry_image * self.num_classes + self.entry_class,
            self.detection_boxes[self.entry_detection],
            self.region_image[box] * self.num_classes + label,
            self.region_boxes[box],
            overlap=rowwise_share,
        )

    def select_images(self, keep: np.ndarray) -> EvaluationColumns:
        """The images where `keep` (I,) is True, with their truth and detections."""
        new_image = np.cumsum(keep) - 1
        truths = keep[self.truth_image]
        regions = keep[self.region_image]
        detections = keep[self.detection_image]
        entries = detections[self.entry_detection]
        new_detection = np.cumsum(detections) - 1
        return replace(
            self,
            image_video=self.image_video[keep],
            image_frame=self.image_frame[keep],
            truth_image=new_image[self.truth_image[truths]],
            truth_boxes=self.truth_boxes[truths],
            truth_labels=self.truth_labels[truths],
            truth_tracks=self.truth_tracks[truths],
            region_image=new_image[self.region_image[regions]],
            region_boxes=self.region_boxes[regions],
            region_labels=self.region_labels[regions],
            detection_image=new_image[self.detection_image[detections]],
            detection_boxes=self.detection_boxes[detections],
            objectness=self.objectness[detections],
            entry_detection=new_detection[self.entry_detection[entries]],
            entry_class=self.entry_class[entries],
            entry_score=self.entry_score[entries],
        )

    def select_entries(self, keep: np.ndarray) -> EvaluationColumns:
        """The (box, class) entries where `keep` (E,) is True; boxes stay."""
        return replace(
            self,
            entry_detection=self.entry_detection[keep],
            entry_class=self.entry_class[keep],
            entry_score=self.entry_score[keep],
        )


def columns_of_video(
    names: Sequence[str], truth: VideoAnnotations, found: VideoDetections | None
) -> EvaluationColumns:
    """Columns of the looked-at frames of one video; `found` None = no detections."""
    images = np.flatnonzero(truth.looked_at)
    place = np.cumsum(truth.looked_at) - 1
    if found is None:
        frames, boxes, objectness, scores = _nothing(len(names))
    else:
        past_end = found.frames >= truth.num_frames
        if past_end.any():
            raise ValueError(
                f"{truth.name}: detections on frame {found.frames[past_end][0]} "
                f"of {truth.num_frames}"
            )
        keep = truth.looked_at[found.frames]
        if keep.all():
            frames, boxes = found.frames, found.boxes
            objectness, scores = found.objectness, found.scores
        else:
            frames, boxes = found.frames[keep], found.boxes[keep]
            objectness, scores = found.objectness[keep], found.scores[keep]
    rows, classes = np.nonzero(scores > 0)
    counted = ~truth.ignored
    truth_rows = slice(None) if counted.all() else counted
    return EvaluationColumns(
        tuple(names),
        (truth.name,),
        np.zeros(len(images), dtype=np.int64),
        images,
        place[truth.frames[truth_rows]],
        truth.boxes[truth_rows],
        truth.labels[truth_rows],
        truth.track_ids[truth_rows],
        place[truth.frames[truth.ignored]],
        truth.boxes[truth.ignored],
        truth.labels[truth.ignored],
        place[frames],
        boxes,
        objectness,
        rows,
        classes,
        scores[rows, classes],
    )


def columns_of_frame(
    names: Sequence[str], video: str, frame: int, truth: FrameAnnotations, found: Detections
) -> EvaluationColumns:
    """Columns of one looked-at frame."""
    rows, classes = np.nonzero(found.scores > 0)
    return EvaluationColumns(
        tuple(names),
        (video,),
        np.zeros(1, dtype=np.int64),
        np.array([frame], dtype=np.int64),
        np.zeros(int((~truth.ignored).sum()), dtype=np.int64),
        truth.boxes[~truth.ignored],
        truth.labels[~truth.ignored],
        truth.track_ids[~truth.ignored],
        np.zeros(int(truth.ignored.sum()), dtype=np.int64),
        truth.boxes[truth.ignored],
        truth.labels[truth.ignored],
        np.zeros(len(found), dtype=np.int64),
        found.boxes,
        found.objectness,
        rows,
        classes,
        found.scores[rows, classes],
    )


def gather(annotations: AnnotationSet, detections: DetectionSet) -> EvaluationColumns:
    """Columns of all looked-at frames of a set, in the order of the annotation set's videos."""
    if annotations.names != detections.names:
        raise ValueError(
            f"expected detections of the classes {annotations.names}, found {detections.names}"
        )
    pieces = [
        columns_of_video(annotations.names, truth, detections.videos.get(truth.name))
        for truth in annotations
    ]
    return join(annotations.names, pieces, video_order=tuple(annotations.videos))


def join(
    names: Sequence[str],
    pieces: Iterable[EvaluationColumns],
    video_order: Sequence[str] = (),
) -> EvaluationColumns:
    """Pieces in any order -> columns sorted by video and frame, so that the order of feeding and
    the number of processes change nothing.

    Videos are in the order of `video_order`, those it does not name after it by name. Raises
    ValueError where a frame comes twice: every frame counts once.
    """
    pieces = list(pieces)
    met = {name for piece in pieces for name in piece.video_names}
    listed = [name for name in video_order if name in met]
    order = tuple(listed + sorted(met.difference(listed)))
    rank = {name: place for place, name in enumerate(order)}

    def stack(field: str, empty: np.ndarray) -> np.ndarray:
        return np.concatenate([getattr(piece, field) for piece in pieces]) if pieces else empty

    def stack_index(field: str, sizes: list[int]) -> np.ndarray:
        starts = np.cumsum([0, *sizes[:-1]]) if sizes else []
        moved = [getattr(piece, field) + s for piece, s in zip(pieces, starts, strict=True)]
        return np.concatenate(moved) if moved else np.zeros(0, dtype=np.int64)

    none = np.zeros(0, dtype=np.int64)
    images = [piece.num_images for piece in pieces]
    boxes = [len(piece.detection_boxes) for piece in pieces]
    video = [
        np.array([rank[name] for name in piece.video_names], dtype=np.int64)[piece.image_video]
        for piece in pieces
    ]
    joined = EvaluationColumns(
        tuple(names),
        order,
        np.concatenate(video) if video else none,
        stack("image_frame", none),
        stack_index("truth_image", images),
        stack("truth_boxes", np.zeros((0, 4))),
        stack("truth_labels", np.zeros((0, len(names)), dtype=bool)),
        stack("truth_tracks", none),
        stack_index("region_image", images),
        stack("region_boxes", np.zeros((0, 4))),
        stack("region_labels", np.zeros((0, len(names)), dtype=bool)),
        stack_index("detection_image", images),
        stack("detection_boxes", np.zeros((0, 4))),
        stack("objectness", np.zeros(0)),
        stack_index("entry_detection", boxes),
        stack("entry_class", none),
        stack("entry_score", np.zeros(0)),
    )
    return _sorted_by_frame(joined)


def _sorted_by_frame(columns: EvaluationColumns) -> EvaluationColumns:
    step = np.int64(columns.image_frame.max(initial=0) + 1)
    key = columns.image_video * step + columns.image_frame
    steps = np.diff(key)
    if (steps > 0).all():
        return columns
    order = np.argsort(key, kind="stable")
    again = np.flatnonzero(np.diff(key[order]) == 0)
    if len(again):
        twice = order[again[0]]
        raise ValueError(
            f"{columns.video_names[columns.image_video[twice]]}: "
            f"frame {columns.image_frame[twice]} was fed twice; every frame counts once"
        )
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    truth_image = place[columns.truth_image]
    truths = np.argsort(truth_image, kind="stable")
    region_image = place[columns.region_image]
    regions = np.argsort(region_image, kind="stable")
    detection_image = place[columns.detection_image]
    detections = np.argsort(detection_image, kind="stable")
    new_detection = np.empty(len(detections), dtype=np.int64)
    new_detection[detections] = np.arange(len(detections))
    entry_detection = new_detection[columns.entry_detection]
    entries = np.argsort(entry_detection, kind="stable")
    return replace(
        columns,
        image_video=columns.image_video[order],
        image_frame=columns.image_frame[order],
        truth_image=truth_image[truths],
        truth_boxes=columns.truth_boxes[truths],
        truth_labels=columns.truth_labels[truths],
        truth_tracks=columns.truth_tracks[truths],
        region_image=region_image[regions],
        region_boxes=columns.region_boxes[regions],
        region_labels=columns.region_labels[regions],
        detection_image=detection_image[detections],
        detection_boxes=columns.detection_boxes[detections],
        objectness=columns.objectness[detections],
        entry_detection=entry_detection[entries],
        entry_class=columns.entry_class[entries],
        entry_score=columns.entry_score[entries],
    )


def _nothing(num_classes: int) -> tuple[np.ndarray, ...]:
    return np.zeros(0, dtype=np.int64), np.zeros((0, 4)), np.zeros(0), np.zeros((0, num_classes))
