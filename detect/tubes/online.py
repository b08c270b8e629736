"""Tubes while the video runs: greedy linking frame by frame, as in Singh et al. 2017 ("Online
Real-Time Multiple Spatiotemporal Action Localisation and Prediction", ICCV, section 3.4)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from stadet.detect.boxes import pairwise_iou
from stadet.detect.clock import Clock
from stadet.detect.detections.detection_set import VideoDetections
from stadet.detect.structures import Detections, Tube
from stadet.detect.tubes.linking import LinkBounds, LinkOptions, in_order, make_tube
from stadet.engine.signatures import checked


@dataclass(frozen=True, eq=False)
class LiveTube:
    """A tube that has not ended: id (counted from 0), label, its last box (4,) on its last frame,
    and its score so far."""

    id: int
    label: int
    box: np.ndarray
    last_frame: int
    score: float


@dataclass(eq=False)
class _Track:
    id: int
    label: int
    frames: list[int] = field(default_factory=list)
    boxes: list[np.ndarray] = field(default_factory=list)
    total: float = 0.0

    def add(self, frame: int, box: np.ndarray, score: float) -> None:
        self.frames.append(frame)
        self.boxes.append(box)
        self.total += score

    @property
    def length(self) -> int:
        return self.frames[-1] - self.frames[0] + 1

    @property
    def score(self) -> float:
        return self.total / self.length


class OnlineLinker:
    """Fed one frame after another, it hands out each tube when it has ended.

    In each class the live tubes choose by falling score: the detection, not yet taken, of highest
    score + overlap_weight x IoU whose IoU with the tube's last box is at least `min_overlap`. What
    is left over begins new tubes. A tube ends after more than `max_gap` missed frames; missed
    frames between two boxes are filled with linear boxes. Scores are those of `link_video`: the sum
    over the number of frames.

    Memory is bounded: a class has at most `max_live` tubes (the lowest in score is ended for a new
    one of higher score) and a tube at most `max_length` frames (it is ended and continues as a new
    one). `switch_cost` and `max_tube_overlap` of the options, which look back over whole tubes, are
    not used here. clock: of options in seconds.
    """

    @checked
    def __init__(
        self,
        options: LinkOptions | None = None,
        clock: Clock | None = None,
        *,
        max_live: int = 20,
        max_length: int = 18_000,
    ) -> None:
        self.options = options or LinkOptions()
        self._bounds = LinkBounds(self.options, clock)
        self.max_live = max_live
        self.max_length = max_length
        self._tracks: list[_Track] = []
        self._next_id = 0
        self._frame = -1

    @checked
    def update(self, frame: int, detections: Detections) -> list[Tube]:
        """Take the detections of the next frame seen; returns the tubes that have ended.

        `frame` rises from call to call (ValueError otherwise); frames may be left out, as missed.
        """
        if frame <= self._frame:
            raise ValueError(f"expected a frame after {self._frame}, found {frame}")
        self._frame = frame
        earliest = int(self._bounds.earliest(np.array(frame)))
        ended = self._end(
            lambda track: track.frames[-1] < earliest or frame - track.frames[0] >= self.max_length
        )
        order = np.lexsort(detections.boxes.T[::-1])  # whatever their order in the frame
        boxes, scores = detections.boxes[order], detections.scores[order]
        usable = (scores > 0) & (scores >= self.options.min_score)
        self._extend(frame, boxes, scores, usable)
        return ended + self._begin(frame, boxes, scores, usable)

    def finish(self) -> list[Tube]:
        """End every live tube: the tubes that have not been handed out yet. The linker is empty
        afterwards and takes another video."""
        self._frame = -1
        return self._end(lambda _: True)

    @property
    def live(self) -> list[LiveTube]:
        """The tubes that have not ended, for drawing."""
        return [
            LiveTube(track.id, track.label, track.boxes[-1], track.frames[-1], track.score)
            for track in self._tracks
        ]

    def _extend(
        self, frame: int, boxes: np.ndarray, scores: np.ndarray, usable: np.ndarray
    ) -> None:
        """Give detections to live tubes; what is taken is no longer `usable` (N, C)."""
        if not self._tracks or not len(boxes):
            return
        self._tracks.sort(key=lambda track: (-track.score, track.id))
        overlaps = pairwise_iou(np.stack([track.boxes[-1] for track in self._tracks]), boxes)
        near = (overlaps >= self.options.min_overlap) & (overlaps > 0)
        for track, overlap, close in zip(self._tracks, overlaps, near, strict=True):
            column = scores[:, track.label]
            free = close & usable[:, track.label]
            if free.any():
                worth = np.where(free, column + self.options.overlap_weight * overlap, -np.inf)
                best = int(worth.argmax())
                usable[best, track.label] = False
                track.add(frame, boxes[best], float(column[best]))

    def _begin(
        self, frame: int, boxes: np.ndarray, scores: np.ndarray, usable: np.ndarray
    ) -> list[Tube]:
        """Begin tubes at the detections left, best first; returns the tubes that gave way."""
        rows, labels = np.nonzero(usable)
        ended = []
        for index in np.argsort(-scores[rows, labels], kind="stable"):
            row, label = int(rows[index]), int(labels[index])
            rivals = [track for track in self._tracks if track.label == label]
            if len(rivals) >= self.max_live:
                weakest = min(rivals, key=lambda track: (track.score, -track.id))
                if weakest.score >= scores[row, label]:
                    continue
                ended += self._end(lambda track, weakest=weakest: track is weakest)
            track = _Track(self._next_id, label)
            track.add(frame, boxes[row], float(scores[row, label]))
            self._tracks.append(track)
            self._next_id += 1
        return ended

    def _end(self, is_over: Callable[[_Track], bool]) -> list[Tube]:
        over = sorted((track for track in self._tracks if is_over(track)), key=lambda t: t.id)
        self._tracks = [track for track in self._tracks if not is_over(track)]
        return [
            make_tube(np.array(track.frames), np.stack(track.boxes), track.label, track.score)
            for track in over
            if self._bounds.long_enough(np.array(track.frames[0]), np.array(track.frames[-1]))
        ]


def link_video_online(
    video: VideoDetections, options: LinkOptions | None = None, clock: Clock | None = None
) -> list[Tube]:
    """`OnlineLinker` over a whole video; tubes sorted as by `link_video`."""
    linker = OnlineLinker(options, clock or video.clock)
    tubes: list[Tube] = []
    for frame in np.unique(video.frames).tolist():
        tubes += linker.update(frame, video[frame])
    return in_order([*tubes, *linker.finish()])
