"""Ways to carry ids from frame to frame, over the boxes of one class of things."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from stadet.detect.actors.methods import METHODS
from stadet.detect.structures import NO_TRACK, Detections
from stadet.detect.tubes.linking import LinkOptions
from stadet.detect.tubes.online import OnlineLinker
from stadet.engine.errors import UserError

FOREVER = 1 << 60  # frames
# Half of the package's: hands are fast, and at the rates of these models their boxes hardly overlap
# from frame to frame (benchmarks/actors.py).
CBIOU_OVERLAPS: dict[str, Any] = {
    "minimum_iou_threshold_first_assoc": 0.1,
    "minimum_iou_threshold_second_assoc": 0.2,
    "minimum_iou_threshold_unconfirmed_assoc": 0.1,
}


class Association(Protocol):
    """Ids for the boxes of one frame after another."""

    def update(self, seconds: float, boxes: np.ndarray, scores: np.ndarray) -> np.ndarray:
        """Ids (N,) of boxes (N, 4) xyxy with scores (N,); `NO_TRACK` where a box has none.

        seconds: rise from call to call.
        """
        ...


def make_association(
    method: str, *, high_score: float, new_score: float, max_gap: float, fps: float
) -> Association:
    """An association of nothing seen yet.

    Args:
        method: "cbiou" (Yang et al. 2023, "Hard To Track Objects with Irregular Motions and
            Similar Appearances? Make It Easier by Buffering the Matching Space", WACV),
            "bytetrack" (Zhang et al. 2022, "ByteTrack: Multi-Object Tracking by Associating Every
            Detection Box", ECCV), both of the package trackers; or "tubes", the linking of
            `stadet.detect.tubes.online`.
        high_score: boxes from it on are given away first.
        new_score: score with which an id begins.
        max_gap: seconds for which an id waits.
        fps: usual frames a second.

    Raises:
        UserError: for another method, and where the package is missing.
    """
    if method == "tubes":
        return _Tubes(new_score, max_gap, fps)
    if method not in METHODS:
        raise UserError(f"actors: expected one of {', '.join(METHODS)}, found {method!r}")
    return _Trackers(method, high_score, new_score, max_gap, fps)


class _Trackers:
    """A tracker of the package trackers (Roboflow, Apache 2.0), with times in seconds."""

    def __init__(
        self, method: str, high_score: float, new_score: float, max_gap: float, fps: float
    ):
        try:
            import supervision
            import trackers
        except ImportError:
            raise UserError(
                f"actors: {method} needs the package trackers; pip install 'stadet[actors]', or "
                "choose tubes"
            ) from None
        self._detections = supervision.Detections
        options: dict[str, Any] = {
            "lost_track_buffer": 30 * max_gap,  # in thirtieths of a second, whatever the rate
            "frame_rate": fps,
            "track_activation_threshold": new_score,
            "high_conf_det_threshold": high_score,
            "minimum_consecutive_frames": 2,
        }
        self._tracker: Any
        if method == "bytetrack":
            self._tracker = trackers.ByteTrackTracker(**options)
        else:
            self._tracker = trackers.CBIoUTracker(
                **options,
                instant_first_frame_activation=False,  # the second box, on the first frame too
                **CBIOU_OVERLAPS,
            )

    def update(self, seconds: float, boxes: np.ndarray, scores: np.ndarray) -> np.ndarray:
        rows = np.arange(len(boxes))
        found = self._tracker.update(
            self._detections(xyxy=boxes, confidence=scores, data={"row": rows}), timestamp=seconds
        )
        ids = np.full(len(boxes), NO_TRACK)
        if len(found):
            ids[found.data["row"]] = found.tracker_id
        return ids


class _Tubes:
    """`OnlineLinker` over boxes without classes."""

    def __init__(self, new_score: float, max_gap: float, fps: float):
        self._fps = fps
        self._linker = OnlineLinker(
            LinkOptions(min_score=new_score, max_gap=round(max_gap * fps), min_length=FOREVER),
            max_live=200,
        )
        self._frame, self._last = 0, 0.0

    def update(self, seconds: float, boxes: np.ndarray, scores: np.ndarray) -> np.ndarray:
        self._frame += max(1, round((seconds - self._last) * self._fps))
        self._last = seconds
        self._linker.update(
            self._frame, Detections(boxes, np.full(len(boxes), np.nan), scores[:, None])
        )
        ids = np.full(len(boxes), NO_TRACK)
        for tube in self._linker.live:
            if tube.last_frame == self._frame:
                ids[(boxes == tube.box).all(axis=1)] = tube.id
        return ids
