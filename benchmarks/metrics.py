"""Cost of evaluation at UCF101-24's size, pycocotools in the same run.

    python benchmarks/metrics.py [--scale 0.05] [--seed 0] [--files FOLDER]

Prints CPU seconds: frame-mAP from arrays under each protocol, reading the two files, the whole of
`stad evaluate` (report, intervals and all) with its peak resident memory, and pycocotools on the
same detections with the difference of the two figures.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from ucf24_sized import coco_dicts, generate, write_files

from stadet.detect.metrics.frame_map import frame_map
from stadet.detect.metrics.protocols import IOU_THRESHOLDS, PROTOCOLS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scale", type=float, default=1.0, help="1 = UCF101-24's test set")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--files", type=Path, help="keep the generated files here")
    args = parser.parse_args()
    print(
        f"{platform.processor() or platform.machine()}, Python {platform.python_version()}, "
        f"numpy {np.__version__}, seed {args.seed}, scale {args.scale:g}"
    )
    annotations, detections = generate(args.scale, args.seed)
    frames = sum(video.num_frames for video in annotations)
    truths = sum(len(video.frames) for video in annotations)
    print(f"{frames:,} frames, {truths:,} truths, {len(detections):,} detections\n")

    for name in PROTOCOLS:
        for thresholds in ((0.5,), IOU_THRESHOLDS):
            # the process's first call also pays for fresh pages of memory: print it and the third
            runs = [_timed(frame_map, annotations, detections, name, thresholds) for _ in range(3)]
            what = f"frame-mAP from arrays, {name}, {len(thresholds)} IoU"
            _row(f"{what}, first call", runs[0][1], runs[0][0].mean)
            _row(f"{what}, third call", runs[2][1], runs[2][0].mean)
    ours = frame_map(annotations, detections, "coco", [0.5]).mean
    theirs, seconds = _timed(_pycocotools, *coco_dicts(annotations, detections))
    _row("pycocotools, 1 IoU, from dictionaries", seconds, theirs)
    print(f"{'difference of the two':<46} {abs(ours - theirs):.1e}\n")

    with contextlib.ExitStack() as stack:
        folder = args.files or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        write_files(folder, annotations, detections)
        for words, more in (
            ("stad evaluate, the whole report", []),
            ("stad evaluate without intervals", ["--bootstrap", "0"]),
        ):
            seconds, peak = _command(folder, more)
            _row(words, seconds, None, f"peak {peak / 2**20:,.0f} MiB")


def _timed(work: Callable[..., Any], *given: Any) -> tuple[Any, float]:
    start = time.process_time()
    result = work(*given)
    return result, time.process_time() - start


def _row(what: str, seconds: float, figure: float | None, more: str = "") -> None:
    value = "" if figure is None else f"{figure:.6f}"
    print(f"{what:<46} {seconds:7.2f} s CPU  {value} {more}".rstrip(), flush=True)


def _pycocotools(truth: dict, results: list[dict]) -> float:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with _quiet():
        coco = COCO()
        coco.dataset = truth
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(results), "bbox")
        evaluation.params.iouThrs = np.array([0.5])
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"][0, :, :, 0, -1]
    return float(precision[precision > -1].mean())


def _command(folder: Path, more: list[str]) -> tuple[float, int]:
    """CPU seconds and peak resident bytes of a fresh process.

    The peak is the process's own VmHWM: ru_maxrss would begin with the size of this one.
    """
    code = (
        "import sys; from pathlib import Path; from stadet.tools.cli import main;"
        "main(sys.argv[1:]);"
        "print(Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0])"
    )
    command = [sys.executable, "-c", code, "evaluate", "--out", str(folder / "report")]
    command += ["--ground-truth", str(folder / "gt.json")]
    command += ["--detections", str(folder / "detections.jsonl"), *more]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds, int(output.split()[-1]) * 1024


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with contextlib.redirect_stdout(io.StringIO()):
        yield


if __name__ == "__main__":
    main()
