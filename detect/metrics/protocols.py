"""The conventions in which public figures differ, by name."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

from stadet.engine.errors import UserError, neighbours

IOU_THRESHOLDS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))  # 0.5:0.95


@dataclass(frozen=True)
class Protocol:
    """How detections are matched and average precision is read.

    matching: `best_overlap`: a detection takes its best-overlapping truth of the class and is false
    if a detection of higher score holds it already (VOC); `best_free`: it takes the best truth that
    is still free (COCO).
    interpolation: `all_points` under the precision envelope (VOC 2010 on), or `101_points`.
    plus_one: a box from x1 to x2 is x2 - x1 + 1 wide.
    frames: `looked_at`: every frame that somebody looked at; `annotated`: only frames with truth,
    so that false alarms on empty frames cost nothing.
    min_score: scores at or below it are no detections; max_detections: the highest-scoring ones of
    a class in a frame that count.

    Under every protocol: IoU matches at or above the threshold; equal scores rank in the order of
    videos, frames and rows; further detections of one truth are false; a class without truth has no
    AP and takes no part in the mean; frames that nobody looked at take no part at all; looked-at
    frames that the model never processed count, with their truths missed.
    """

    name: str
    matching: Literal["best_overlap", "best_free"]
    interpolation: Literal["all_points", "101_points"]
    plus_one: bool = False
    frames: Literal["looked_at", "annotated"] = "looked_at"
    min_score: float | None = None
    max_detections: int | None = None

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
        if self.min_score is not None:
            parts.append(f"scores above {self.min_score}")
        if self.max_detections is not None:
            parts.append(f"at most {self.max_detections} detections a class and frame")
        return f"{self.name}: " + "; ".join(parts)

    def as_dict(self) -> dict:
        return asdict(self) | {"description": self.describe()}


PROTOCOLS = {
    # PASCAL VOC devkit, 2010 on
    "voc": Protocol("voc", "best_overlap", "all_points"),
    # the script that scores YOWO's UCF101-24 and JHMDB-21 figures
    "yowo": Protocol(
        "yowo",
        "best_overlap",
        "all_points",
        plus_one=True,
        frames="annotated",
        min_score=0.005,
    ),
    # pycocotools' COCOeval for boxes
    "coco": Protocol("coco", "best_free", "101_points", max_detections=100),
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
