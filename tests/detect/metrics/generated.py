"""Small random evaluation problems, and slow, obvious metrics to hold the fast ones against."""

from __future__ import annotations

import numpy as np

from stadet.detect.detections.detection_set import DetectionSet, VideoDetections
from stadet.detect.structures import AnnotationSet, VideoAnnotations


def random_problem(
    seed: int,
    *,
    videos: int = 3,
    frames: int = 6,
    classes: int = 4,
    truths: int = 4,
    detections: int = 8,
    tied: bool = False,
    whole_pixels: bool = True,
    multi_label: bool = False,
    unseen: bool = False,
    ignored: float = 0.0,
) -> tuple[AnnotationSet, DetectionSet]:
    """Up to so many truths and detections a frame; `tied` draws scores from few values.

    ignored: share of the truth boxes that are ignored regions.
    """
    rng = np.random.default_rng(seed)
    names = tuple(f"c{c}" for c in range(classes))
    annotations, found = {}, {}
    for v in range(videos):
        looked = rng.random(frames) < 0.7 if unseen else np.ones(frames, dtype=bool)
        count = rng.integers(0, truths + 1, frames) * looked
        t_frames = np.repeat(np.arange(frames), count)
        t_boxes = _boxes(rng, len(t_frames), whole_pixels)
        labels = np.zeros((len(t_frames), classes), dtype=bool)
        labels[np.arange(len(t_frames)), rng.integers(0, classes, len(t_frames))] = True
        if multi_label:
            labels |= rng.random(labels.shape) < 0.2
        name = f"video {v}"
        annotations[name] = VideoAnnotations.build(
            name,
            (200, 200),
            25,
            looked,
            t_frames,
            t_boxes,
            labels,
            ignored=rng.random(len(t_frames)) < ignored if ignored else None,
        )
        count = rng.integers(0, detections + 1, frames)
        d_frames = np.repeat(np.arange(frames), count)
        d_boxes = _boxes(rng, len(d_frames), whole_pixels)
        for row, frame in enumerate(d_frames):
            there = np.flatnonzero(t_frames == frame)
            if len(there) and rng.random() < 0.7:
                noise = rng.normal(0, 4, 4).round() if whole_pixels else rng.normal(0, 4, 4)
                box = t_boxes[rng.choice(there)] + noise
                box[2:] = np.maximum(box[2:], box[:2] + 1)
                d_boxes[row] = box
        scores = rng.random((len(d_frames), classes))
        if tied:
            scores = np.ceil(scores * 4) / 4
        scores[rng.random(scores.shape) < 0.5] = 0
        found[name] = VideoDetections(
            name, d_frames, d_boxes, rng.random(len(d_frames)), scores, np.array([[0, frames - 1]])
        )
    return AnnotationSet(names, annotations), DetectionSet(names, 0.0, found)


def _boxes(rng: np.random.Generator, count: int, whole_pixels: bool) -> np.ndarray:
    corner = rng.uniform(0, 100, (count, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(4, 130, (count, 2))], axis=1)
    return boxes.round() if whole_pixels else boxes


def coco_figures(annotations: AnnotationSet, detections: DetectionSet) -> dict[str, float]:
    """What pycocotools says: its twelve figures (-1 where it has none)."""
    import contextlib
    import io

    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    images, truths, results = [], [], []
    for truth in annotations:
        first = len(images) + 1
        images += [{"id": first + f} for f in range(truth.num_frames) if truth.looked_at[f]]
        for frame, box, labels, ignored in zip(
            truth.frames, truth.boxes, truth.labels, truth.ignored, strict=True
        ):
            for label in np.flatnonzero(labels):
                w, h = box[2] - box[0], box[3] - box[1]
                truths.append(
                    {
                        "id": len(truths) + 1,
                        "image_id": int(first + frame),
                        "category_id": int(label) + 1,
                        "bbox": [box[0], box[1], w, h],
                        "area": w * h,
                        "iscrowd": int(ignored),
                    }
                )
        found = detections.videos[truth.name]
        for row, frame in enumerate(found.frames):
            for label in np.flatnonzero(found.scores[row]) if truth.looked_at[frame] else ():
                x1, y1, x2, y2 = found.boxes[row]
                results.append(
                    {
                        "image_id": int(first + frame),
                        "category_id": int(label) + 1,
                        "bbox": [x1, y1, x2 - x1, y2 - y1],
                        "score": found.scores[row, label],
                    }
                )
        images += [{"id": first + truth.num_frames}]  # an empty image changes nothing
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {
            "images": images,
            "annotations": truths,
            "categories": [{"id": i + 1, "name": n} for i, n in enumerate(annotations.names)],
        }
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(results) if results else COCO(), "bbox")
        if not results:
            evaluation.cocoDt.dataset = dict(coco.dataset, annotations=[])
            evaluation.cocoDt.createIndex()
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    keys = ["AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl"]
    return dict(zip(keys, evaluation.stats.tolist(), strict=True))


def slow_voc_ap(
    annotations: AnnotationSet,
    detections: DetectionSet,
    label: int,
    threshold: float,
    *,
    extra: float = 0.0,
    only_annotated: bool = False,
) -> float:
    """VOC's average precision as its definition reads: one detection after another."""

    def overlap(a, b):
        w = min(a[2], b[2]) - max(a[0], b[0]) + extra
        h = min(a[3], b[3]) - max(a[1], b[1]) + extra
        if w <= 0 or h <= 0:
            return 0.0
        area_a = (a[2] - a[0] + extra) * (a[3] - a[1] + extra)
        area_b = (b[2] - b[0] + extra) * (b[3] - b[1] + extra)
        return w * h / (area_a + area_b - w * h)

    truths, ranked = {}, []
    for truth in annotations:
        for frame in np.flatnonzero(truth.looked_at):
            here = truth[int(frame)]
            if only_annotated and not len(here):
                continue
            truths[truth.name, frame] = here.boxes[here.labels[:, label]]
            found = detections.videos[truth.name]
            for row in np.flatnonzero(found.frames == frame):
                if found.scores[row, label] > 0:
                    ranked.append((found.scores[row, label], (truth.name, frame), found.boxes[row]))
    total = sum(map(len, truths.values()))
    if not total:
        return float("nan")
    ranked.sort(key=lambda item: -item[0])  # Python's sort is stable
    taken, hits = set(), []
    for _, place, box in ranked:
        overlaps = [overlap(box, other) for other in truths[place]]
        best = int(np.argmax(overlaps)) if overlaps else None
        hit = best is not None and overlaps[best] >= threshold and (place, best) not in taken
        if hit:
            taken.add((place, best))
        hits.append(hit)
    points = []
    right = 0
    for count, hit in enumerate(hits, start=1):
        right += hit
        points.append((right / total, right / count))
    result, before = 0.0, 0.0
    for recall in sorted({recall for recall, _ in points}):
        result += (recall - before) * max(p for r, p in points if r >= recall)
        before = recall
    return result
