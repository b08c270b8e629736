"""Time and memory of video-mAP at all thresholds on a set of UCF101-24's size.

    python benchmarks/video_map.py                 # 914 videos, 138,527 frames
    python benchmarks/video_map.py --scale 0.1     # a tenth of it

CPU seconds of this process, one thread; linking alone, then the whole metric from arrays.
"""

from __future__ import annotations

import argparse
import platform
import resource
import time

import numpy as np
from ucf24_sized import generate

from stadet.detect.metrics.video_map import video_map
from stadet.detect.tubes.linking import link_video
from stadet.detect.tubes.truth import truth_tubes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    annotations, detections = generate(args.scale, args.seed)
    frames = sum(video.num_frames for video in annotations)
    loaded = _peak_mebibytes()
    start = time.process_time()
    detected = sum(len(link_video(video)) for video in detections)
    linking = time.process_time() - start
    start = time.process_time()
    result = video_map(annotations, detections)
    whole = time.process_time() - start
    truths = sum(len(truth_tubes(video)) for video in annotations)

    print(f"{platform.machine()}, numpy {np.__version__}, scale {args.scale}, seed {args.seed}")
    print(f"{len(annotations.videos)} videos, {frames:,} frames, {len(detections):,} detections")
    print(f"{truths:,} truth tubes, {detected:,} detected tubes")
    print(f"linking             {linking:7.2f} s  {linking / frames * 1e3:.4f} ms a frame")
    print(f"video-mAP, all IoU  {whole:7.2f} s  {whole / frames * 1e3:.4f} ms a frame")
    print(f"peak resident       {loaded:7.0f} MiB with the arrays, {_peak_mebibytes():.0f} after")
    print(", ".join(f"{key}: {value:.4f}" for key, value in result.items()))


def _peak_mebibytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
