"""How fast checkpoints run on this machine by each runtime, and how far they agree."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stadet.datasets.dataset import load_dataset
from stadet.datasets.footage.video import open_video
from stadet.detect.boxes import pairwise_iou
from stadet.detect.detections.detection_set import DetectionSet
from stadet.detect.detections.reader import read_detections
from stadet.detect.metrics.frame_map import frame_map
from stadet.detect.structures import AnnotationSet, Detections
from stadet.engine.errors import UserError
from stadet.engine.files import atomic_write, expect_absent, path_list
from stadet.engine.progress import progress_bar
from stadet.tools.classification.benchmark import ClassifierSubject
from stadet.tools.inference.kinds import Kind, expect_one_kind
from stadet.tools.inference.runtimes import EXPORTED, RUNTIMES, SESSION_RUNTIMES

CHECKPOINT_RUNTIMES = (
    "eager",
    "eager:bf16",
    "compiled",
    "onnx",
    "openvino",
    "openvino:bf16",
    "tensorrt",
)
FILE_RUNTIMES = ("onnx", "openvino", "openvino:bf16", "tensorrt")
SAME_IOU, SAME_SCORE = 0.9, 0.05  # within which two boxes are the same answer
AGREES = 0.98  # share of the same answers from which a runtime may be recommended
COLUMNS = {
    "frames_per_second": "frames/s",
    "clips_per_second": "clips/s",
    "latency_p50_ms": "p50 ms",
    "latency_p95_ms": "p95 ms",
    "memory_mib": "MiB",
    "start_s": "start s",
    "file_mib": "file MiB",
    "agreement": "agrees",
    "frame_map_50": "mAP@0.5",
    "top1": "top-1",
}


@dataclass(frozen=True, eq=False)
class Benchmark:
    """Result of `benchmark`.

    Attributes:
        rows: one for each checkpoint and runtime, as benchmark.json has them; a row of a runtime
            that does not run here has "refused", the reason.
        table: as Markdown.
        recommendation: one sentence.
        picture: benchmark.png.
    """

    rows: list[dict[str, Any]]
    table: str
    recommendation: str
    picture: Path


def benchmark(
    checkpoints: Sequence[str | Path],
    video: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    data: str | Path | None = None,
    frames: int = 64,
    clips: int = 32,
    runtimes: Sequence[str] | None = None,
    device: str | None = None,
    overwrite: bool = False,
) -> Benchmark:
    """Time checkpoints by every runtime that is installed, each in a process of its own.

    Throughput is that of `stad predict` on decoded frames, latency that of one frame after another;
    both with network, suppression and resizing. Start is from the process to the first detection,
    memory the most that the process held, without the frames. Agreement is the share of boxes above
    the threshold that the checkpoint's first runtime (eager) finds too, at IoU 0.9, of the same
    class, with a score within 0.05.

    Of classifiers the unit is a clip, decoded and resized before; throughput is that of batches,
    latency that of one clip after another. Agreement is the share of clips with the same class, its
    probability within 0.05, and top-1 is measured where the videos lie in folders named like the
    classes.

    Args:
        checkpoints: `best.pt` of runs, and `.onnx` files of `stad export`, of one kind; these are
            compared with the first checkpoint.
        video: a video file or a frame folder; of classifiers also several, and folders of videos.
        out: folder of benchmark.json, benchmark.md and benchmark.png.
        data: of detectors: data set file that annotates the video, for frame-mAP@0.5.
        frames: of detectors: of the video's beginning.
        clips: of classifiers: about so many, spread over the videos.
        runtimes: "eager", "compiled", "onnx", "openvino", "tensorrt", also with ":bf16" (default:
            all).
        device: of eager and compiled: "cpu", "cuda" or "cuda:N" (default: the GPU if there is one).
        overwrite: replace the files of an earlier call.

    Raises:
        UserError: for files that are missing or there already, unknown runtimes, and where nothing
            runs.
    """
    files = [Path(out) / f"benchmark.{kind}" for kind in ("json", "md", "png")]
    expect_absent(*files, overwrite=overwrite)
    for name in runtimes or ():
        if name.removesuffix(":bf16") not in RUNTIMES:
            raise UserError(
                f"--runtime: expected some of {', '.join(CHECKPOINT_RUNTIMES)}, found {name!r}"
            )
    for path in checkpoints:
        if not Path(path).is_file():
            raise UserError(f"{path}: expected a checkpoint or an exported file, found none")
    videos = path_list(video)
    subject = _subject(expect_one_kind([Path(p) for p in checkpoints]), videos, frames, data, clips)
    jobs = [
        (Path(path), runtime)
        for path in checkpoints
        for runtime in runtimes
        or (FILE_RUNTIMES if Path(path).suffix == EXPORTED else CHECKPOINT_RUNTIMES)
    ]
    rows: list[dict[str, Any]] = []
    wanted: Any = None  # of the first that ran
    bar = progress_bar(description="runtimes", total=len(jobs), unit="runtime")
    with tempfile.TemporaryDirectory() as folder, bar:
        for number, (path, runtime) in enumerate(jobs):
            file = Path(folder) / f"{number}.{'npz' if 'clips' in subject.task else 'jsonl'}"
            row = _timed(path, runtime, device, {**subject.task, "answers": str(file)})
            bar.update(1)
            rows.append(row)
            if "refused" in row:
                continue
            found: Any = subject.read(file)
            own_first = all(r["checkpoint"] != str(path) for r in rows[:-1] if "refused" not in r)
            if wanted is None or (own_first and path.suffix != EXPORTED):
                wanted = found
            subject.compare(row, found, wanted)
    if all("refused" in row for row in rows):
        raise UserError(f"expected a runtime that runs here, found none: {rows[0]['refused']}")
    table, advice = markdown(rows), recommend(rows)
    about = {"machine": f"{platform.machine()}, {_cpu()}", **subject.about}
    with atomic_write(files[0]) as stream:
        json.dump({**about, "rows": rows, "recommendation": advice}, stream, indent=1)
    with atomic_write(files[1]) as stream:
        stream.write(f"{table}\n\n{advice}\n\n{about['machine']}; {subject.words}\n")
    _draw(files[2], rows)
    return Benchmark(rows, table, advice, files[2])


class DetectorSubject:
    """What detectors are timed on: the first frames of a video, and what is annotated of them."""

    def __init__(self, video: str | Path, frames: int, data: str | Path | None) -> None:
        footage = open_video(video)
        if frames < 8 or len(footage) < 8:
            count = min(frames, len(footage))
            raise UserError(f"expected at least 8 frames to time, found {count}")
        self._frames = min(frames, len(footage))
        self._truth = None if data is None else _truth(data, footage.name, self._frames)
        self.task = {"kind": "detector", "video": str(footage.path), "frames": self._frames}
        self.about = {"video": str(footage.name), "frames": self._frames}
        self.words = f"{footage.name}, {self._frames} frames"

    def read(self, path: Path) -> DetectionSet:
        """The detections that a process has written."""
        return read_detections(path)

    def compare(self, row: dict[str, Any], found: DetectionSet, wanted: DetectionSet) -> None:
        """Put what the detections are worth into a row."""
        threshold = row.pop("threshold") or 0.3
        row["agreement"] = round(agreement(found, wanted, self._frames, threshold), 4)
        if self._truth is not None:
            found = _of(found, self._truth)
            row["frame_map_50"] = round(frame_map(self._truth, found).mean_at(0.5), 4)


def _subject(
    kind: Kind, videos: list[str | Path], frames: int, data: str | Path | None, clips: int
) -> DetectorSubject | ClassifierSubject:
    if kind == "classifier":
        if data is not None:
            raise UserError(
                "--data: is of detectors; a classifier is judged where its videos lie in folders "
                "named like the classes"
            )
        return ClassifierSubject(videos, clips)
    if len(videos) != 1:
        raise UserError(f"--video: expected one video for detectors, found {len(videos)}")
    return DetectorSubject(videos[0], frames, data)


def agreement(found: DetectionSet, wanted: DetectionSet, frames: int, threshold: float) -> float:
    """Share of the boxes above the threshold, of both, that have the same answer in the other."""
    same = total = 0
    for video in wanted.videos.values():
        other = found.videos[video.name]
        for frame in range(frames):
            a, b = video[frame], other[frame]
            if a is None or b is None:
                continue
            total += (a.scores.max(1, initial=0) >= threshold).sum()
            total += (b.scores.max(1, initial=0) >= threshold).sum()
            same += _shared(a, b, threshold) + _shared(b, a, threshold)
    return same / total if total else 1.0


def _shared(a: Detections, b: Detections, threshold: float) -> int:
    """Number of boxes of `a` above the threshold that `b` has too."""
    keep = a.scores.max(1, initial=0) >= threshold
    if not keep.any() or not len(b):
        return 0
    near = pairwise_iou(a.boxes[keep], b.boxes) >= SAME_IOU
    scores, others = a.scores[keep], b.scores
    near &= scores.argmax(1)[:, None] == others.argmax(1)
    near &= np.abs(scores.max(1)[:, None] - others.max(1)) <= SAME_SCORE
    return int(near.any(1).sum())


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    """The rows that ran as a table, and a line for each that did not."""
    ran = [row for row in rows if "refused" not in row]
    columns = {key: title for key, title in COLUMNS.items() if any(key in row for row in ran)}
    lines = [
        "| checkpoint | runtime | " + " | ".join(columns.values()) + " |",
        "|---|---|" + "---:|" * len(columns),
    ]
    for row in ran:
        cells = ["" if row.get(key) is None else f"{row[key]:g}" for key in columns]
        lines.append(f"| {row['checkpoint']} | {row['runtime']} | " + " | ".join(cells) + " |")
    missing = [
        f"- {r['checkpoint']}, {r['runtime']}: {r['refused']}" for r in rows if "refused" in r
    ]
    return "\n".join(lines + (["", "Not run here:", *missing] if missing else []))


def recommend(rows: Sequence[dict[str, Any]]) -> str:
    """The fastest that answers as the first one does, in a sentence."""
    sound = [row for row in rows if row.get("agreement", 0) >= AGREES]
    best = max(sound, key=_rate)
    first = next(row for row in rows if "refused" not in row)
    gain = _rate(best) / _rate(first)
    unit = _unit(rows)
    runtime, _, precision = best["runtime"].partition(":")
    flags = f"--runtime {runtime}" + (f" --precision {precision}" if precision else "")
    return (
        f"recommended: {best['checkpoint']} with {flags}: {_rate(best):g} {unit}s/s, "
        f"{gain:.2f} times {first['runtime']}, the same answers for {best['agreement']:.1%} of the "
        f"{'clips' if unit == 'clip' else 'boxes'}"
    )


def _unit(rows: Sequence[dict[str, Any]]) -> str:
    return "clip" if any("clips_per_second" in row for row in rows) else "frame"


def _rate(row: dict[str, Any]) -> float:
    return row.get("frames_per_second", row.get("clips_per_second", 0.0))


def _timed(path: Path, runtime: str, device: str | None, subject: dict[str, Any]) -> dict[str, Any]:
    name, _, precision = runtime.partition(":")
    task = {
        **subject,
        "checkpoint": str(path),
        "runtime": name,
        "precision": precision or "fp32",
        "device": None if name in SESSION_RUNTIMES else device,
        "started": time.time(),
    }
    row: dict[str, Any] = {"checkpoint": str(path), "runtime": runtime}
    command = [sys.executable, "-m", "stadet.tools.inference.benchmark_process", json.dumps(task)]
    done = subprocess.run(command, capture_output=True, text=True)
    lines = done.stdout.splitlines()
    if done.returncode != 0 or not lines:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        return {**row, "refused": f"ended with status {done.returncode}: {last}"}
    return {**row, "file_mib": round(path.stat().st_size / 2**20, 2), **json.loads(lines[-1])}


def _truth(data: str | Path, name: str, frames: int) -> AnnotationSet:
    """What is annotated of the first frames of the video."""
    annotations = load_dataset(data).annotations
    if name not in annotations.videos:
        raise UserError(f"{data}: expected annotations of the video {name}, found none")
    video = annotations.videos[name]
    return AnnotationSet(
        annotations.names, {name: video.narrowed(np.arange(video.num_frames) < frames)}
    )


def _of(found: DetectionSet, truth: AnnotationSet) -> DetectionSet:
    if found.names != truth.names:
        raise UserError(
            f"--data: expected the checkpoint's classes {', '.join(found.names)}, found "
            f"{', '.join(truth.names)}"
        )
    return found


def _cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or "unknown processor"


def _draw(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    ran = [row for row in rows if "refused" not in row][::-1]
    names = [f"{Path(row['checkpoint']).name}, {row['runtime']}" for row in ran]
    figure = Figure(figsize=(10, 1.2 + 0.45 * len(ran)), layout="constrained")
    FigureCanvasAgg(figure)
    speed, latency = figure.subplots(1, 2, sharey=True)
    speed.barh(names, [_rate(row) for row in ran], color="#2a7")
    speed.bar_label(speed.containers[0], fmt="%.1f", padding=3)
    speed.set(xlabel=f"{_unit(rows)}s a second (more is better)")
    speed.margins(x=0.15)
    p50 = [row["latency_p50_ms"] for row in ran]
    latency.barh(names, [row["latency_p95_ms"] for row in ran], color="#bcd", label="p95")
    latency.barh(names, p50, color="#36a", height=0.4, label="p50")
    latency.set(xlabel=f"milliseconds a {_unit(rows)} (less is better)")
    latency.legend()
    figure.savefig(path, dpi=100)
