"""How many of the chosen seconds show a mistake of the detector, against seconds drawn blindly.

    python benchmarks/held_out_folds.py --out runs/faulty --minutes 10 --scenes 10 --seed 1
    python benchmarks/annotate_next.py --folds runs/faulty --count 30

A frame is a mistake where the recurrent detector, at its threshold of best F1 over all frames,
misses a box of the clean truth or finds one of no truth (IoU 0.5, the class right). The choices see
detections alone. Blind: the mean over every candidate stretch, which is what drawing gives.
"""

from __future__ import annotations

import argparse
import platform
from pathlib import Path

import numpy as np

from stadet.datasets.annotate_next import ChoiceOptions, choose_stretches
from stadet.datasets.formats.coco_video import read_coco_video
from stadet.detect.boxes import pairwise_iou
from stadet.detect.detections.detection_set import VideoDetections
from stadet.detect.detections.reader import read_detections
from stadet.detect.structures import VideoAnnotations


def wrong_frames(
    truth: VideoAnnotations, found: VideoDetections, threshold: float
) -> tuple[np.ndarray, int, int, int]:
    """((F,) bool: a truth is missed or a detection false; true positives, false ones, missed)."""
    wrong = np.zeros(truth.num_frames, dtype=bool)
    right = false = missed = 0
    for frame in np.flatnonzero(truth.looked_at).tolist():
        true, seen = truth[frame], found[frame]
        assert true is not None
        pairs = [] if seen is None else np.argwhere(seen.scores >= threshold).tolist()
        pairs.sort(key=lambda pair: -seen.scores[pair[0], pair[1]])
        iou = pairwise_iou(seen.boxes, true.boxes) if pairs else np.zeros((0, len(true)))
        free = np.ones(len(true), dtype=bool)
        for row, label in pairs:
            fits = np.where(free & true.labels[:, label], iou[row], 0)
            best = int(fits.argmax()) if len(fits) else -1
            if best >= 0 and fits[best] >= 0.5:
                free[best] = False
                right += 1
            else:
                false += 1
                wrong[frame] = True
        missed += int(free.sum())
        wrong[frame] |= bool(free.any())
    return wrong, right, false, missed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folds", type=Path, required=True)
    parser.add_argument("--count", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=4.0)
    args = parser.parse_args()
    truth = read_coco_video(args.folds / "footage" / "clean.json")
    sets = {m: read_detections(args.folds / f"{m}.jsonl", truth) for m in ("frame", "recurrent")}
    fps = {video.name: video.fps for video in truth}
    best, wrong = -1.0, {}
    for threshold in np.arange(0.1, 0.7, 0.1):
        found = {
            v.name: wrong_frames(v, sets["recurrent"].videos[v.name], threshold) for v in truth
        }
        right, false, missed = (sum(f[k] for f in found.values()) for k in (1, 2, 3))
        f1 = 2 * right / (2 * right + false + missed)
        if f1 > best:
            best, chosen = f1, threshold
            wrong = {name: f[0] for name, f in found.items()}
    seen = {v.name: v.looked_at for v in truth}
    blind = sum(w.sum() for w in wrong.values()) / sum(s.sum() for s in seen.values())
    print(f"{platform.machine()}, numpy {np.__version__}; F1 {best:.3f} at {chosen:.1f}")
    print(f"blind: {blind:.3f} of the frames are mistakes")
    ways = {
        "two detectors": (sets["recurrent"], sets["frame"]),
        "entropy": (sets["recurrent"], None),
    }
    for name, (one, other) in ways.items():
        for rarity in (0.0, 0.3):
            options = ChoiceOptions(seconds=args.seconds, count=args.count, rarity=rarity)
            stretches = choose_stretches(one, other, fps, None, options)
            parts = [
                wrong[s.video][s.first : s.last + 1][seen[s.video][s.first : s.last + 1]]
                for s in stretches
            ]
            share = float(np.concatenate(parts).mean())
            videos = len({s.video for s in stretches})
            classes = len({s.label for s in stretches})
            print(
                f"{name}, rarity {rarity:g}: {share:.3f}, {share / blind:.2f} times as many; "
                f"{videos} of {len(fps)} videos, {classes} classes"
            )


if __name__ == "__main__":
    main()
