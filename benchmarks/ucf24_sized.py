"""Generated truth and detections with the sizes of UCF101-24's test set (split 1).

914 videos, 138,527 frames, 170,580 truth boxes in tubes, 415,581 detections, 24 classes, 320x240.
Numbers of frames are skewed as in the set (30 to some 900 a video); a video shows one class; tubes
drift, shrink and may begin late; detections are truths with jitter, some under a wrong class, some
twice, and background boxes of low score.

    python benchmarks/ucf24_sized.py OUT [--scale 0.1] [--seed 0]   # writes the two files
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from stadet.detect.boxes import xyxy_to_xywh
from stadet.detect.detections.detection_set import DetectionSet, VideoDetections
from stadet.detect.structures import AnnotationSet, VideoAnnotations

VIDEOS, FRAMES, TRUTHS, DETECTIONS, CLASSES = 914, 138_527, 170_580, 415_581, 24
SIZE, FPS = (240, 320), 25.0


def generate(scale: float = 1.0, seed: int = 0) -> tuple[AnnotationSet, DetectionSet]:
    """Truth and detections; `scale` shrinks the number of videos, and all else with it."""
    rng = np.random.default_rng(seed)
    videos = max(CLASSES, round(VIDEOS * scale))
    lengths = _shares(rng.lognormal(0.0, 0.6, videos), round(FRAMES * scale))
    truths = _shares(lengths * rng.choice([0.8, 1.0, 2.0], videos), round(TRUTHS * scale))
    found = _shares(truths * rng.uniform(0.7, 1.3, videos), round(DETECTIONS * scale))
    names = tuple(f"class {c + 1:02d}" for c in range(CLASSES))
    annotations, detections = {}, {}
    for index in range(videos):
        name = f"{names[index % CLASSES]}/video {index:04d}"
        truth = _tubes(rng, name, int(lengths[index]), int(truths[index]), index % CLASSES)
        annotations[name] = truth
        detections[name] = _detections(rng, truth, int(found[index]), index % CLASSES)
    return AnnotationSet(names, annotations), DetectionSet(names, 0.005, detections)


def _shares(weights: np.ndarray, total: int) -> np.ndarray:
    """Positive integers in proportion to `weights` that sum to `total`."""
    edges = np.round(np.cumsum(weights) / weights.sum() * (total - len(weights))).astype(int)
    return np.diff(edges, prepend=0) + 1


def _tubes(
    rng: np.random.Generator, name: str, length: int, boxes: int, label: int
) -> VideoAnnotations:
    """`boxes` truth boxes of one class in tubes of consecutive frames."""
    frames, tracks, corners = [], [], []
    left, track = boxes, 0
    while left:
        span = min(left, length)
        start = int(rng.integers(0, length - span + 1))
        t = np.linspace(0, 1, span)[:, None]
        size = (
            rng.uniform([20, 50], [110, 190]) * np.linspace(1, rng.uniform(0.7, 1.4), span)[:, None]
        )
        size = np.minimum(size, [300, 230])
        centre = rng.uniform(size[0] / 2, [320, 240] - size[0] / 2) + t * rng.normal(0, 30, 2)
        corners.append(np.concatenate([centre - size / 2, centre + size / 2], axis=1))
        frames.append(np.arange(start, start + span))
        tracks.append(np.full(span, track))
        left, track = left - span, track + 1
    labels = np.zeros((boxes, CLASSES), dtype=bool)
    labels[:, label] = True
    limits = np.array([319.0, 239.0, 320.0, 240.0])
    xyxy = np.round(np.concatenate(corners)).clip([0, 0, 1, 1], limits)
    xyxy[:, 2:] = np.maximum(xyxy[:, 2:], xyxy[:, :2] + 1)
    return VideoAnnotations.build(
        name,
        SIZE,
        FPS,
        np.ones(length, dtype=bool),
        np.concatenate(frames),
        xyxy,
        labels,
        np.concatenate(tracks),
    )


def _detections(
    rng: np.random.Generator, truth: VideoAnnotations, count: int, label: int
) -> VideoDetections:
    """Jittered truths (a tenth missed, some wrong, some twice) filled up with background."""
    kept = np.flatnonzero(rng.random(len(truth.frames)) < 0.9)
    twice = kept[rng.random(len(kept)) < 0.25]
    source = np.concatenate([kept, twice])[:count]
    background = count - len(source)
    sides = truth.boxes[source, 2:] - truth.boxes[source, :2]
    noise = rng.normal(0, 0.07, (len(source), 4)) * np.tile(sides, 2)
    corner = rng.uniform([0, 0], [250, 170], (background, 2))
    fresh = np.concatenate([corner, corner + rng.uniform(15, 70, (background, 2))], axis=1)
    boxes = np.concatenate([truth.boxes[source] + noise, fresh])
    boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 1)
    frames = np.concatenate([truth.frames[source], rng.integers(0, truth.num_frames, background)])
    classes = np.where(rng.random(count) < 0.85, label, rng.integers(0, CLASSES, count))
    objectness = np.concatenate([rng.beta(5, 2, len(source)), rng.beta(1, 6, background)])
    order = np.argsort(frames, kind="stable")
    scores = np.zeros((count, CLASSES))
    scores[np.arange(count), classes] = 0.005 + 0.99 * objectness * rng.beta(6, 2, count)
    return VideoDetections(
        truth.name,
        frames[order],
        boxes[order].round(3),
        objectness[order].round(9),
        scores[order].round(9),
        np.array([[0, truth.num_frames - 1]]),
    )


def write_files(folder: Path, annotations: AnnotationSet, detections: DetectionSet) -> None:
    """`gt.json` (COCO-video) and `detections.jsonl` in `folder`."""
    from stadet.datasets.formats.coco_video import write_coco_video
    from stadet.detect.detections.reader import DetectionsWriter

    folder.mkdir(parents=True, exist_ok=True)
    write_coco_video(folder / "gt.json", annotations)
    with DetectionsWriter(folder / "detections.jsonl", detections.names, 0.005) as writer:
        for video in detections:
            for frame in np.unique(video.frames):
                writer.write(video.name, int(frame), video[int(frame)])
            writer.processed(video.name, 0, int(video.processed[0, 1]))


def coco_dicts(annotations: AnnotationSet, detections: DetectionSet) -> tuple[dict, list[dict]]:
    """The same as COCO ground truth and COCO results, for pycocotools."""
    images, truths, results = [], [], []
    for truth in annotations:
        first = len(images) + 1
        images.extend({"id": first + f} for f in range(truth.num_frames))
        found = detections.videos[truth.name]
        for frame, box, label in zip(
            truth.frames.tolist(),
            xyxy_to_xywh(truth.boxes).tolist(),
            truth.labels.argmax(axis=1).tolist(),
            strict=True,
        ):
            truths.append(
                {
                    "id": len(truths) + 1,
                    "image_id": first + frame,
                    "category_id": label + 1,
                    "bbox": box,
                    "area": box[2] * box[3],
                    "iscrowd": 0,
                }
            )
        rows, classes = np.nonzero(found.scores)
        for frame, box, label, score in zip(
            found.frames[rows].tolist(),
            xyxy_to_xywh(found.boxes[rows]).tolist(),
            classes.tolist(),
            found.scores[rows, classes].tolist(),
            strict=True,
        ):
            results.append(
                {"image_id": first + frame, "category_id": label + 1, "bbox": box, "score": score}
            )
    categories = [{"id": i + 1, "name": name} for i, name in enumerate(annotations.names)]
    return {"images": images, "annotations": truths, "categories": categories}, results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    annotations, detections = generate(args.scale, args.seed)
    write_files(args.out, annotations, detections)
    sizes = {path.name: path.stat().st_size for path in sorted(args.out.iterdir())}
    truths = sum(len(video.frames) for video in annotations)
    print(json.dumps({"truths": truths, "detections": len(detections), "bytes": sizes}))


if __name__ == "__main__":
    main()
