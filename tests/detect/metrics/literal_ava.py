"""AVA's public evaluation, one row after another.

Written from its description: rows of a frame go through a heap of (score, action, y1, x1, y2, x2)
that holds 50 of the detections, then are sorted by falling score; boxes whose far side is not
beyond the near one are no detections; within a frame and class each detection takes the truth of
highest IoU and is right if that reaches .5 and is free; over all frames, in the order in which the
detections' file first names them, a class is sorted by numpy's default sort, read backwards; AP is
the area under the envelope and the mean goes over classes with truth.
"""

import heapq
from collections import defaultdict

import numpy as np


def lists(rows, actions, capacity):
    """rows: (key, (x1, y1, x2, y2), action, score), to {key: [(action, box, score)]}."""
    heaps = defaultdict(list)
    for key, (x1, y1, x2, y2), action, score in rows:
        if action not in actions:
            continue
        heap, item = heaps[key], (score, action, y1, x1, y2, x2)
        if capacity < 1 or len(heap) < capacity:
            heapq.heappush(heap, item)
        elif score > heap[0][0]:
            heapq.heapreplace(heap, item)
    return {
        key: [(a, (x1, y1, x2, y2), s) for s, a, y1, x1, y2, x2 in sorted(h, key=lambda i: -i[0])]
        for key, h in heaps.items()
    }


def iou(a, b):
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    both = width * height
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both
    return both / union


def literal_ava(truth, detections, actions, *, excluded=(), empty_frames_count=False, capacity=50):
    """{action: AP} of actions with truth. empty_frames_count: detections on frames that the truth
    does not name are false rather than left out."""
    wanted = {k: v for k, v in lists(truth, actions, 0).items() if k not in excluded}
    found = {k: v for k, v in lists(detections, actions, capacity).items() if k not in excluded}
    result = {}
    for action in sorted(actions):
        total = sum(a == action for items in wanted.values() for a, *_ in items)
        if not total:
            continue
        scores, right = [], []
        for key, items in found.items():
            if key not in wanted and not empty_frames_count:
                continue
            truths = [box for a, box, _ in wanted.get(key, []) if a == action]
            taken = set()
            for a, box, score in items:
                if a != action or not (box[0] < box[2] and box[1] < box[3]):
                    continue
                overlaps = [iou(box, t) for t in truths]
                best = int(np.argmax(overlaps)) if overlaps else None
                hit = best is not None and overlaps[best] >= 0.5 and best not in taken
                if hit:
                    taken.add(best)
                scores.append(score)
                right.append(hit)
        order = np.argsort(np.array(scores, dtype=float))[::-1]
        result[action] = envelope_area(np.array(right, dtype=bool)[order], total)
    return result


def envelope_area(right, total):
    hits, points = 0, []
    for count, hit in enumerate(right, start=1):
        hits += bool(hit)
        points.append((hits / total, hits / count))
    area, before = 0.0, 0.0
    for place, (recall, _) in enumerate(points):
        if recall != before:
            area += (recall - before) * max(p for _, p in points[place:])
            before = recall
    return area
