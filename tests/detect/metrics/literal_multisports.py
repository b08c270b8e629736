"""MultiSports' public evaluation of boxes and tubes, one detection after another.

Written from its description: a class's detections are sorted by numpy's default sort of their
negated scores; each takes its best-overlapping truth and is right if that reaches the threshold and
is free; AP is the area under the envelope. Tubes are rows of frame, x1, y1, x2, y2, ..; their
overlap is the mean IoU over the shared frames times the IoU of the spans from the first to the last
frame, taken as last - first.
"""

import numpy as np

from tests.detect.metrics.literal_ava import envelope_area


def area(box):
    return (box[2] - box[0]) * (box[3] - box[1])


def box_iou(a, b):
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    both = width * height
    return both / (area(a) + area(b) - both)


def tube_iou(a, b):
    first, last = max(a[0][0], b[0][0]), min(a[-1][0], b[-1][0])
    if last < first:
        return 0.0
    span = max(a[-1][0], b[-1][0]) - min(a[0][0], b[0][0])
    boxes_a = {row[0]: row[1:5] for row in a}
    boxes_b = {row[0]: row[1:5] for row in b}
    frames = range(int(first), int(last) + 1)
    spatial = np.mean([box_iou(boxes_a[f], boxes_b[f]) for f in frames])
    return spatial * ((last - first) / span) if span else 0.0


def average_precision(found, wanted, threshold, iou):
    """found: list of (place, score, shape); wanted: {place: [shape, ..]}."""
    total = sum(len(shapes) for shapes in wanted.values())
    if not total:
        return None
    taken, right = set(), []
    for index in np.argsort(-np.array([score for _, score, _ in found], dtype=float)):
        place, _, shape = found[index]
        overlaps = [iou(truth, shape) for truth in wanted.get(place, [])]
        best = int(np.argmax(overlaps)) if overlaps else None
        hit = best is not None and overlaps[best] >= threshold and (place, best) not in taken
        if hit:
            taken.add((place, best))
        right.append(hit)
    return envelope_area(right, total)
