"""Detections of a frame as the tables and objects of other libraries, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from stadet.detect.structures import Detections
from stadet.engine.errors import UserError

if TYPE_CHECKING:
    import pandas
    import supervision


def to_pandas(detections: Detections) -> pandas.DataFrame:
    """See `Detections.to_pandas`."""
    try:
        import pandas
    except ImportError as error:
        raise _missing("pandas") from error
    rows, classes, scores = detections.pairs()
    corners = dict(zip(("x1", "y1", "x2", "y2"), detections.boxes[rows].T, strict=True))
    return pandas.DataFrame(
        {
            "video": detections.video,
            "frame": detections.frame,
            "seconds": detections.seconds,
            "box": rows,
            **corners,
            "objectness": detections.objectness[rows],
            "class_id": classes,
            "class_name": [detections.class_name(c) for c in classes],
            "score": scores,
            **({} if detections.actor_ids is None else {"actor": detections.actor_ids[rows]}),
        }
    )


def to_supervision(detections: Detections, *, multi_label: bool = False) -> supervision.Detections:
    """See `Detections.to_supervision`."""
    try:
        import supervision
    except ImportError as error:
        raise _missing("supervision") from error
    if multi_label:
        rows, classes, confidence = detections.pairs()
        scores = np.zeros((len(rows), detections.num_classes))
        scores[np.arange(len(rows)), classes] = confidence
    else:
        rows = np.flatnonzero((detections.scores > 0).any(axis=1))
        classes, confidence = detections.top_class[rows], detections.top_score[rows]
        scores = detections.scores[rows]
    return supervision.Detections(
        xyxy=detections.boxes[rows],
        confidence=confidence,
        class_id=classes,
        tracker_id=None if detections.actor_ids is None else detections.actor_ids[rows],
        data={
            "class_name": np.array([detections.class_name(c) for c in classes], dtype=str),
            "objectness": detections.objectness[rows],
            "scores": scores,
        },
    )


def from_supervision(
    detections: supervision.Detections, names: Sequence[str] | None = None
) -> Detections:
    """See `Detections.from_supervision`."""
    count = len(detections)
    ids, confidence = detections.class_id, detections.confidence
    if ids is None and count:
        raise UserError("expected supervision.Detections with class_id, found none")
    classes = np.zeros(0, dtype=np.int64) if ids is None else np.asarray(ids, dtype=np.int64)
    known = detections.data.get("scores")
    known = None if known is None else np.asarray(known, dtype=np.float64)
    columns = max(int(classes.max(initial=-1)) + 1, 0 if known is None else known.shape[1])
    if names is not None and (columns > len(names) or classes.min(initial=0) < 0):
        raise UserError(
            f"expected class ids from 0 to {len(names) - 1} for {len(names)} names, found "
            f"{classes.min()} to {columns - 1}; give the names of all classes"
        )
    scores = np.zeros((count, columns if names is None else len(names)))
    scores[np.arange(count), classes] = 1.0 if confidence is None else confidence
    if known is not None and count:
        # only where nobody has changed the confidence or the class since
        same = known.max(axis=1) == scores.max(axis=1)
        same &= known.argmax(axis=1) == classes
        scores[same, : known.shape[1]] = known[same]
    return Detections(
        np.asarray(detections.xyxy, dtype=np.float64).reshape(-1, 4),
        np.asarray(detections.data.get("objectness", np.full(count, np.nan)), dtype=np.float64),
        scores,
        None if names is None else tuple(names),
        actor_ids=None
        if detections.tracker_id is None
        else np.asarray(detections.tracker_id, dtype=np.int64),
    )


def _missing(package: str) -> UserError:
    return UserError(f"{package} is not installed; run: pip install {package}")
