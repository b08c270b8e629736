"""What a suspect is, and the ranked list of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from stadet.detect.detections.detection_set import DetectionSet
from stadet.detect.structures import AnnotationSet
from stadet.detect.suspects.bounds import shifted_ends
from stadet.detect.suspects.evidence import Evidence, gather
from stadet.detect.suspects.motion import duplicates, jumps
from stadet.detect.suspects.support import loose_boxes, missing, unsupported, wrong_labels
from stadet.detect.suspects.tracks import Finding
from stadet.engine.signatures import checked

KINDS = {
    "label": "the class may be another: held-out detections agree on one that is not annotated",
    "missing": "an action that nobody annotated: held-out detections where there is no box",
    "unsupported": "a track that no held-out detection supports",
    "onset": "a track that begins or ends too early or too late",
    "box": "boxes that lie or end elsewhere than those of held-out detections",
    "jump": "a box that leaps away from its track",
    "duplicate": "two tracks of one thing",
}
NEEDS_DETECTIONS = ("label", "missing", "unsupported", "onset", "box")
LEAST_SCORE = 0.2  # what is less suspect is not listed


@dataclass(frozen=True)
class Suspect:
    """One place where the annotation may be wrong.

    Attributes:
        rank: 1 for the most suspect of all kinds.
        kind: a key of `KINDS`.
        score: from 0 to 1, higher is more suspect; comparable within a kind, roughly between kinds.
        video: name of the video.
        track: track id of the annotation; -1 where there is none.
        first: first frame concerned, 0-based.
        last: last frame concerned, inclusive.
        frame: the frame that shows it best.
        box: (x1, y1, x2, y2) there, pixels of the video.
        label: class as annotated; of "missing" as detected.
        suggestion: what may be right, in words.
    """

    rank: int
    kind: str
    score: float
    video: str
    track: int
    first: int
    last: int
    frame: int
    box: tuple[float, float, float, float]
    label: str
    suggestion: str

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)


@checked
def find_suspects(
    annotations: AnnotationSet,
    detections: DetectionSet | None = None,
    *,
    least_score: float = LEAST_SCORE,
) -> list[Suspect]:
    """Where annotations may be wrong, the most suspect first.

    Kinds follow ObjectLab (Tkachenko et al. 2023, arXiv 2309.00832: overlooked, badly located,
    swapped) and confident learning (Northcutt et al. 2021: scores relative to what is usual for
    the class), taken from boxes of pictures to tracks in time.

    Args:
        annotations: the truth in doubt; ignored regions are left aside.
        detections: of models that were not trained on these videos, of the same classes in the
            same order, with scores from 0.1 or lower; frames that they have not processed are not
            judged. None: only what the annotation itself tells (jumps and duplicates).
        least_score: what is less suspect is left out.

    Raises:
        UserError: where a track has two boxes with one label on a frame.
    """
    evidence = gather(annotations, detections)
    checks: Sequence[Callable[[Evidence], list[Finding]]] = [jumps, duplicates]
    if detections is not None:
        checks = [wrong_labels, missing, unsupported, shifted_ends, loose_boxes, *checks]
    findings = [finding for check in checks for finding in check(evidence)]
    found = [
        _suspect(finding, annotations.names) for finding in findings if finding.score >= least_score
    ]
    found.sort(key=lambda s: (-s.score, s.kind, s.video, s.first, s.track))
    return [replace(suspect, rank=rank) for rank, suspect in enumerate(found, start=1)]


def _suspect(finding: Finding, names: Sequence[str]) -> Suspect:
    x1, y1, x2, y2 = np.round(finding.box, 2).tolist()
    return Suspect(
        rank=0,
        kind=finding.kind,
        score=round(float(min(max(finding.score, 0.0), 1.0)), 4),
        video=finding.video,
        track=finding.track,
        first=finding.first,
        last=finding.last,
        frame=finding.frame,
        box=(x1, y1, x2, y2),
        label=names[finding.label],
        suggestion=f"{names[finding.other]}: {finding.suggestion}"
        if finding.other is not None
        else finding.suggestion,
    )
