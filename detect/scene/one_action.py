"""One action for each hand: who seems to take and to put at once did only one of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from stadet.detect.boxes import rowwise_iou
from stadet.detect.clock import Clock
from stadet.detect.structures import Tube
from stadet.detect.tubes.linking import make_tube

MIN_SHARE = 0.5  # of the frames of two tubes on which their boxes meet, for them to be one hand
SAME = 0.5  # mean IoU on these frames from which two tubes show the same
_TICK = 1e-6  # seconds


def decided(
    tubes: Sequence[Tube],
    opposite: np.ndarray,
    alternative: np.ndarray,
    clock: Clock,
    pause: float,
) -> list[Tube]:
    """One tube for each visit of a hand, with the class of the highest sum of scores over frames.

    Two tubes of opposite classes are one hand where their boxes meet on at least half of the frames
    that both have, or where one begins at most `pause` seconds after the other's end and meets its
    last box. Two tubes of alternative classes are one hand where at least half of the shorter is
    beside the other, with a mean IoU of 0.5 or more. What is connected in this way is a visit. Of
    the winning class its tubes are joined, the others are left out; all other tubes stay as they
    are.

    Args:
        tubes: of one video.
        opposite: (C, C) bool, symmetric, classes that undo each other.
        alternative: (C, C) bool, symmetric, classes that do the same in another way.
        clock: of the video.
        pause: seconds.
    """
    kept = []
    for visit in _visits(tubes, opposite, alternative, clock, pause):
        sums: dict[int, float] = defaultdict(float)
        for tube in visit:
            sums[tube.label] += tube.score * len(tube)
        best = max(sums, key=lambda label: sums[label])
        kept.append(_joined([tube for tube in visit if tube.label == best]))
    return sorted(kept, key=lambda tube: (tube.start, tube.label))


def _visits(
    tubes: Sequence[Tube],
    opposite: np.ndarray,
    alternative: np.ndarray,
    clock: Clock,
    pause: float,
) -> list[list[Tube]]:
    done: list[list[Tube]] = []
    going: list[list[Tube]] = []
    for tube in sorted(tubes, key=lambda tube: tube.start):
        mine, others = [tube], []
        for visit in going:
            last = max(other.stop for other in visit)
            if clock.duration(last, tube.start) > pause + _TICK:
                done.append(visit)
            elif any(
                (
                    opposite[other.label, tube.label]
                    and clock.duration(other.stop, tube.start) <= pause + _TICK
                    and _one_hand(other, tube)
                )
                or (alternative[other.label, tube.label] and _same(other, tube))
                for other in visit
            ):
                mine = [*visit, *mine]
            else:
                others.append(visit)
        going = [*others, mine]
    return [*done, *going]


def _one_hand(before: Tube, after: Tube) -> bool:
    one, other = _shared(before, after)
    if not len(one):
        return bool(_meet(before.boxes[-1:], after.boxes[:1])[0])
    return bool(_meet(one, other).mean() >= MIN_SHARE)


def _same(before: Tube, after: Tube) -> bool:
    one, other = _shared(before, after)
    if len(one) < MIN_SHARE * min(len(before), len(after)):
        return False
    return bool(rowwise_iou(one, other).mean() >= SAME)


def _shared(before: Tube, after: Tube) -> tuple[np.ndarray, np.ndarray]:
    """Boxes of both on the frames that both have; `after` does not begin first."""
    count = max(0, min(before.stop, after.stop) - after.start)
    first = after.start - before.start
    return before.boxes[first : first + count], after.boxes[:count]


def _meet(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(N,) bool: boxes (N, 4) share a point, row by row."""
    return (np.maximum(one[:, :2], other[:, :2]) <= np.minimum(one[:, 2:], other[:, 2:])).all(
        axis=1
    )


def _joined(tubes: Sequence[Tube]) -> Tube:
    """One tube; on frames of several the best of them."""
    if len(tubes) == 1:
        return tubes[0]
    boxes: dict[int, np.ndarray] = {}
    for tube in sorted(tubes, key=lambda tube: tube.score):
        boxes.update(zip(range(tube.start, tube.stop), tube.boxes, strict=True))
    lengths = [len(tube) for tube in tubes]
    score = float(np.dot(lengths, [tube.score for tube in tubes]) / sum(lengths))
    frames = np.array(sorted(boxes))
    return make_tube(frames, np.stack([boxes[f] for f in frames.tolist()]), tubes[0].label, score)
