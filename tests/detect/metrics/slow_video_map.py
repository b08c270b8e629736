"""video-mAP as one would first write it down: loops, lists, nothing shared with the toolkit."""

import math
from itertools import pairwise


def iou(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    inside = width * height
    return inside / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inside)


def best_path(dets, options):
    """dets: list of (frame, box, score); the best path as indices into it."""
    order = sorted(range(len(dets)), key=lambda i: dets[i][0])
    energy, before = {}, {}
    for i in order:
        best, parent = 0.0, None
        for j in order:
            lag = dets[i][0] - dets[j][0]
            if 1 <= lag <= options.max_gap + 1:
                overlap = iou(dets[i][1], dets[j][1])
                if overlap >= options.min_overlap and overlap > 0:
                    value = energy[j] + options.overlap_weight * overlap
                    if value > best:
                        best, parent = value, j
        energy[i], before[i] = dets[i][2] + best, parent
    path = [max(order, key=lambda i: energy[i])]
    while before[path[-1]] is not None:
        path.append(before[path[-1]])
    return path[::-1]


def trimmed(path, cost):
    """List of (frame, box, score) -> lists of the same; Viterbi that carries whole labellings."""
    if cost is None:
        return [path]
    scores = [score for _, _, score in path]
    top = max(1, len(scores) // 4)
    peak = sum(sorted(scores, reverse=True)[:top]) / top
    best = {True: (0.0, []), False: (0.0, [])}
    for score in scores:
        unary = {True: score / peak, False: 1 - score / peak}
        best = {
            state: max(
                (
                    (total - (cost if labels and labels[-1] != state else 0) + unary[state], labels)
                    for total, labels in best.values()
                ),
                key=lambda pair: pair[0],
            )
            for state in (True, False)
        }
        best = {state: (total, [*labels, state]) for state, (total, labels) in best.items()}
    labels = max(best.values(), key=lambda pair: pair[0])[1]
    if not any(labels):
        return [path]
    pieces, current = [], []
    for item, label in zip(path, labels, strict=True):
        if label:
            current.append(item)
        elif current:
            pieces.append(current)
            current = []
    return [*pieces, current] if current else pieces


def filled(piece):
    """{frame: box}, linear between neighbours."""
    boxes = {}
    for (f, a, _), (g, b, _) in pairwise(piece):
        for h in range(f, g):
            boxes[h] = [p + (q - p) * (h - f) / (g - f) for p, q in zip(a, b, strict=True)]
    boxes[piece[-1][0]] = list(piece[-1][1])
    return boxes


def overlap_3d(a, b, looked_at):
    a = {f: box for f, box in a.items() if looked_at[f]}
    b = {f: box for f, box in b.items() if looked_at[f]}
    shared = a.keys() & b.keys()
    if not shared:
        return 0.0
    spatial = sum(iou(a[f], b[f]) for f in shared) / len(shared)
    return spatial * len(shared) / len(a.keys() | b.keys())


def link(dets, options):
    """List of (score, {frame: box}) of one class and video."""
    dets = [d for d in dets if d[2] > 0 and d[2] >= options.min_score]
    tubes = []
    while dets:
        path = best_path(dets, options)
        for piece in trimmed([dets[i] for i in path], options.switch_cost):
            boxes = filled(piece)
            if len(boxes) >= options.min_length:
                tubes.append((sum(s for _, _, s in piece) / len(boxes), boxes))
        dets = [d for i, d in enumerate(dets) if i not in path]
    everywhere = [True] * 10_000
    kept = []
    for tube in sorted(tubes, key=lambda t: -t[0]):
        if all(overlap_3d(tube[1], k[1], everywhere) <= options.max_tube_overlap for k in kept):
            kept.append(tube)
    return kept


def truth_runs(frames, boxes, tracks, looked_at, max_gap):
    """{frame: box} of each run of each track; unseen stretches of at most max_gap are bridged."""
    runs = []
    for track in sorted(set(tracks)):
        rows = [i for i in range(len(frames)) if tracks[i] == track]
        run = [rows[0]]
        for i, j in pairwise(rows):
            between = range(frames[i] + 1, frames[j])
            if len(between) > max_gap or any(looked_at[f] for f in between):
                runs.append(run)
                run = []
            run.append(j)
        runs.append(run)
    return [filled([(frames[i], boxes[i], 1.0) for i in run]) for run in runs]


def all_point_ap(flags, num_truths):
    total, found, precisions = 0.0, 0, []
    for k, flag in enumerate(flags):
        found += flag
        precisions.append(found / (k + 1))
    for k, flag in enumerate(flags):
        if flag:
            total += max(precisions[k:]) / num_truths
    return total


def video_map(annotations, detections, threshold, options):
    """Mean AP over classes with truth at one threshold."""
    aps = []
    for label in range(len(annotations.names)):
        num_truths, ranked = 0, []
        for video in sorted(annotations.videos.values(), key=lambda v: v.name):
            looked = video.looked_at.tolist()
            rows = [i for i in range(len(video.frames)) if video.labels[i, label]]
            truths = truth_runs(
                [int(video.frames[i]) for i in rows],
                [video.boxes[i].tolist() for i in rows],
                [int(video.track_ids[i]) for i in rows],
                looked,
                options.max_gap,
            )
            num_truths += len(truths)
            found = detections.videos.get(video.name)
            dets = []
            for i in range(0 if found is None else len(found)):
                frame = int(found.frames[i])
                before = max((f for f in range(frame + 1) if looked[f]), default=-math.inf)
                after = min((f for f in range(frame, len(looked)) if looked[f]), default=math.inf)
                if after - before <= options.max_gap + 1:
                    dets.append((frame, found.boxes[i].tolist(), float(found.scores[i, label])))
            free = list(truths)
            for score, boxes in link(dets, options):
                if not any(looked[f] for f in boxes):
                    continue
                values = [overlap_3d(boxes, truth, looked) for truth in free]
                best = max(range(len(values)), key=values.__getitem__, default=None)
                right = best is not None and values[best] >= threshold
                if right:
                    del free[best]
                ranked.append((score, right))
        if num_truths:
            flags = [right for _, right in sorted(ranked, key=lambda pair: -pair[0])]
            aps.append(all_point_ap(flags, num_truths))
    return sum(aps) / len(aps) if aps else float("nan")
