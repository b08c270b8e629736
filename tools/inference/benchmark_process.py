"""One runtime of `stad benchmark`, in a process of its own: `python -m ... JSON` prints JSON."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from itertools import islice
from typing import Any

WARM_UP = 3  # frames before latency counts


def measure(task: dict[str, Any]) -> dict[str, Any]:
    """Time a detector on the first frames of a video and write what it found.

    task: checkpoint, runtime, precision, device, video, frames, answers (file to write) and started
    (time.time() when the process was asked for).
    """
    from stadet.datasets.footage.video import open_video
    from stadet.detect.detections.writer import DetectionsWriter
    from stadet.tools.inference.video_detector import open_detector

    video = open_video(task["video"])
    frames = [frame for _, frame in islice(video.frames(), task["frames"])]
    detector = open_detector(
        task["checkpoint"],
        task["device"],
        runtime=task["runtime"],
        precision=task["precision"],
        score_floor=0.005,
        rate="native",
    )
    stream = detector.stream()
    stream(frames[0])
    start = time.time() - task["started"]
    for frame in frames[1 : 1 + WARM_UP]:
        stream(frame)
    latency = []
    for frame in frames:
        began = time.perf_counter()
        stream(frame)
        latency.append(time.perf_counter() - began)
    list(detector(frames[: 2 * 8]))
    began = time.perf_counter()
    found = list(detector(frames))
    taken = time.perf_counter() - began
    with DetectionsWriter(task["answers"], detector.names, 0.005) as writer:
        for detections in found:
            writer.write(video.name, detections.frame or 0, detections)
        writer.processed(video.name, 0, len(frames) - 1)
    return {
        "start_s": round(start, 2),
        "frames_per_second": round(len(frames) / taken, 2),
        **figures(latency, sum(frame.nbytes for frame in frames)),
        "threshold": detector.threshold,
        "device": str(detector.device),
    }


def figures(latency: Sequence[float], held: int) -> dict[str, Any]:
    """Quantiles of latencies in seconds, and the most memory that the process held but for `held`
    bytes of footage."""
    import numpy as np

    milliseconds = 1e3 * np.array(latency)
    return {
        "latency_p50_ms": round(float(np.quantile(milliseconds, 0.5)), 2),
        "latency_p95_ms": round(float(np.quantile(milliseconds, 0.95)), 2),
        "memory_mib": round(_peak_mib() - held / 2**20) if _peak_mib() else None,
    }


def _peak_mib() -> float:
    """Most resident memory of this process; 0 where the system does not tell."""
    try:
        import resource
    except ImportError:  # Windows
        return 0.0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def main() -> int:
    from stadet.engine.errors import UserError

    task = json.loads(sys.argv[1])
    try:
        if task["kind"] == "classifier":
            from stadet.tools.classification.benchmark import measure_classifier

            found = measure_classifier(task)
        else:
            found = measure(task)
        print(json.dumps(found))
    except UserError as error:
        print(json.dumps({"refused": str(error)}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
