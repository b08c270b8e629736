"""HOTA and IDF1 as a literal program over dictionaries, frame by frame (Luiten et al. 2021,
equations 2 to 8; Ristani et al. 2016, equation 12)."""

from itertools import permutations

import numpy as np
from scipy.optimize import linear_sum_assignment


def iou(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    area = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return width * height / (area - width * height)


def slow_hota(videos):
    """videos: (truth, tracked), each {frame: {id: box}}. The mean of HOTA over 19 thresholds."""
    values = []
    for alpha in np.arange(0.05, 0.99, 0.05):
        tp = fn = fp = 0
        association = 0.0
        for truth, tracked in videos:
            matched = _matched(truth, tracked, alpha)
            tp += len(matched)
            fn += sum(map(len, truth.values())) - len(matched)
            fp += sum(map(len, tracked.values())) - len(matched)
            for _, one, other in matched:
                both = sum(m[1:] == (one, other) for m in matched)
                longs = sum(one in boxes for boxes in truth.values())
                shorts = sum(other in boxes for boxes in tracked.values())
                association += both / (longs + shorts - both)  # TPA / (TPA + FNA + FPA)
        values.append(np.sqrt(association / (tp + fn + fp)) if tp else 0.0)
    return float(np.mean(values))


def _matched(truth, tracked, alpha):
    frames = sorted(set(truth) | set(tracked))
    shared, long, short = {}, {}, {}
    for frame in frames:
        mine, theirs = truth.get(frame, {}), tracked.get(frame, {})
        for one in mine:
            long[one] = long.get(one, 0) + 1
        for other in theirs:
            short[other] = short.get(other, 0) + 1
        for one in mine:
            for other in theirs:
                here = iou(mine[one], theirs[other])
                rest = sum(iou(mine[one], box) for box in theirs.values())
                rest += sum(iou(box, theirs[other]) for box in mine.values()) - here
                if here:
                    shared[one, other] = shared.get((one, other), 0.0) + here / rest
    found = []
    for frame in frames:
        mine, theirs = truth.get(frame, {}), tracked.get(frame, {})
        ones, others = list(mine), list(theirs)
        worth = np.zeros((len(ones), len(others)))
        for i, one in enumerate(ones):
            for j, other in enumerate(others):
                common = shared.get((one, other), 0.0)
                aligned = common / (long[one] + short[other] - common)
                worth[i, j] = aligned * iou(mine[one], theirs[other])
        for i, j in zip(*linear_sum_assignment(-worth), strict=True):
            if iou(mine[ones[i]], theirs[others[j]]) >= alpha - np.finfo(float).eps:
                found.append((frame, ones[i], others[j]))
    return found


def slow_idf1(videos):
    """By trying every assignment of ids."""
    right = boxes = 0
    for truth, tracked in videos:
        ones = sorted({one for row in truth.values() for one in row})
        others = sorted({other for row in tracked.values() for other in row})
        boxes += sum(map(len, truth.values())) + sum(map(len, tracked.values()))
        others += [None] * max(0, len(ones) - len(others))
        best = 0
        for chosen in permutations(others, len(ones)):
            same = 0
            for one, other in zip(ones, chosen, strict=True):
                for frame, row in truth.items():
                    seen = tracked.get(frame, {})
                    same += one in row and other in seen and iou(row[one], seen[other]) >= 0.5
            best = max(best, same)
        right += best
    return 2 * right / boxes
