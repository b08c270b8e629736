"""The conventions in which public figures differ, by name (docs/protocols.md)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np

from stadet.engine.errors import UserError, neighbours

IOU_THRESHOLDS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))  # 0.5:0.95

# AVA's action ids (from 1) with too few validation examples: the public label map lists the other
# 60 of the 80.
AVA_ACTIONS = 80
AVA_NOT_EVALUATED = (
    *(2, 16, 18, 19, 21, 23, 25, 31, 32, 33),
    *(35, 39, 40, 42, 44, 50, 53, 55, 71, 75),
)
# MultiSports' classes that its evaluation script leaves out: 60 of 66 are scored.
MULTISPORTS_NOT_EVALUATED = (
    "aerobic kick jump",
    "aerobic off axis jump",
    "aerobic butterfly jump",
    "aerobic balance turn",
    "basketball save",
    "basketball jump ball",
)


@dataclass(frozen=True)
class Protocol:
    """Rules by which detections are matched and average precision is computed.

    Under every protocol: IoU matches at or above the threshold; further detections of one truth are
    false; a class without truth has no AP and takes no part in the mean; frames that nobody looked
    at take no part at all; looked-at frames that the model never processed count, with their truths
    missed; ignored regions (`VideoAnnotations.ignored`) need not be found. Under `best_free` they
    are pycocotools' crowd regions; under `best_overlap` a detection of their class that would be
    false is left out if at least the threshold's share of its own area lies inside one.

    Attributes:
        matching: `best_overlap`: a detection takes its best-overlapping truth of the class and is
            false if a detection of higher score holds it already (VOC); `best_free`: it takes the
            best truth that is still free (COCO).
        interpolation: `all_points` under the precision envelope (VOC 2010 on), or `101_points`.
        plus_one: a box from x1 to x2 is x2 - x1 + 1 wide.
        frames: `looked_at`: every frame that somebody looked at; `annotated`: only frames with
            truth, so that false alarms on empty frames cost nothing.
        max_detections: the highest-scoring ones of a class in a frame that count.
        max_per_frame: the same over all classes of a frame.
        no_area: detected boxes without area are `false` alarms, or are `dropped`.
        ties: how equal scores rank. `file_order`: in the order of videos, frames and rows; `ava`,
            `multisports`: as the sorting of that data set's evaluation script leaves them.
        not_evaluated: names of classes that are not scored.
        not_evaluated_ids: ids (from 1) that are not scored where there are `AVA_ACTIONS` classes.
    """

    name: str
    matching: Literal["best_overlap", "best_free"]
    interpolation: Literal["all_points", "101_points"]
    plus_one: bool = False
    frames: Literal["looked_at", "annotated"] = "looked_at"
    max_detections: int | None = None
    max_per_frame: int | None = None
    no_area: Literal["false", "dropped"] = "false"
    ties: Literal["file_order", "ava", "multisports"] = "file_order"
    not_evaluated: tuple[str, ...] = ()
    not_evaluated_ids: tuple[int, ...] = ()

    def describe(self) -> str:
        """One sentence for a report."""
        matching = {
            "best_overlap": "a detection takes its best-overlapping truth, false if taken",
            "best_free": "a detection takes the best truth still free",
        }[self.matching]
        interpolation = {
            "all_points": "all-point interpolated AP",
            "101_points": "101-point interpolated AP",
        }[self.interpolation]
        frames = {
            "looked_at": "all looked-at frames",
            "annotated": "only frames with ground truth",
        }[self.frames]
        parts = [matching, interpolation, frames]
        parts.append("box sides count +1 pixel" if self.plus_one else "continuous box areas")
        if self.max_detections is not None:
            parts.append(f"at most {self.max_detections} detections a class and frame")
        if self.max_per_frame is not None:
            parts.append(f"at most {self.max_per_frame} detections a frame over all classes")
        if self.no_area == "dropped":
            parts.append("boxes without area are no detections")
        if self.not_evaluated:
            parts.append(f"{len(self.not_evaluated)} classes are not scored where they occur")
        if self.not_evaluated_ids:
            parts.append(f"{AVA_ACTIONS - len(self.not_evaluated_ids)} of {AVA_ACTIONS} classes")
        return f"{self.name}: " + "; ".join(parts)

    def as_dict(self) -> dict:
        return asdict(self) | {"description": self.describe()}

    def evaluated(self, names: Sequence[str]) -> np.ndarray:
        """(C,) bool: the classes that are scored."""
        scored = ~np.isin(np.array(names, dtype=str), self.not_evaluated)
        if self.not_evaluated_ids and len(names) == AVA_ACTIONS:
            scored[np.array(self.not_evaluated_ids) - 1] = False
        return scored


PROTOCOLS = {
    # PASCAL VOC devkit, 2010 on
    "voc": Protocol("voc", "best_overlap", "all_points"),
    # the script that scores YOWO's UCF101-24 and JHMDB-21 figures
    "yowo": Protocol("yowo", "best_overlap", "all_points", plus_one=True, frames="annotated"),
    # pycocotools' COCOeval for boxes
    "coco": Protocol("coco", "best_free", "101_points", max_detections=100),
    # ActivityNet's get_ava_performance.py
    "ava": Protocol(
        "ava",
        "best_overlap",
        "all_points",
        frames="annotated",
        max_per_frame=50,
        no_area="dropped",
        ties="ava",
        not_evaluated_ids=AVA_NOT_EVALUATED,
    ),
    # MultiSports' evaluate_multisports.py
    "multisports": Protocol(
        "multisports",
        "best_overlap",
        "all_points",
        ties="multisports",
        not_evaluated=MULTISPORTS_NOT_EVALUATED,
    ),
}


def get_protocol(protocol: str | Protocol) -> Protocol:
    """A protocol by name; `UserError` for an unknown name."""
    if isinstance(protocol, Protocol):
        return protocol
    if protocol not in PROTOCOLS:
        raise UserError(
            f"expected a protocol of {', '.join(PROTOCOLS)}, found {protocol!r}"
            f"{neighbours(protocol, PROTOCOLS)}"
        )
    return PROTOCOLS[protocol]
