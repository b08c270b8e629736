"""The process that runs one job: `python -m stadet.tools.service.job ..`, started by `workers`."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stadet.datasets.footage.decode import decode_limits
from stadet.engine.errors import UserError
from stadet.engine.messages import shown_on_terminal
from stadet.engine.progress import watch_progress
from stadet.tools.service.admission import VideoLimits, check_video
from stadet.tools.service.child import end_with_parent, limit_memory
from stadet.tools.service.models import ModelShelf
from stadet.tools.service.queue import Job, JobKind, JobQueue, JobState

if TYPE_CHECKING:
    from stadet.classify.checklist import Span
    from stadet.datasets.footage.video import Video

TELL_SECONDS = 0.5
DETECTIONS, TUBES, EVENTS = "detections.jsonl", "tubes.json", "events.json"


class Cancelled(Exception):
    """The job is no longer wanted."""


class Reporter:
    """Says how far a job is, at most twice a second; raises `Cancelled` once nobody wants it.

    A stage has several bars of progress (detecting, then drawing), each of which takes half of what
    is left of it. A bar of one item tells nothing and takes nothing.
    """

    def __init__(self, queue: JobQueue, job_id: str):
        self._queue, self._job_id = queue, job_id
        self._told = 0.0
        self._first, self._last = 0.0, 1.0
        self._message = ""
        self._bar: tuple[str, int] | None = None
        self._before = 0

    def stage(self, message: str, first: float, last: float) -> None:
        """Begin a stage that takes the job from the share `first` to `last`."""
        self._message, self._first, self._last = message, first, last
        self._bar = None
        self._tell(first)

    def __call__(self, description: str, done: int, total: int | None) -> None:
        if total is None or total < 2:
            return
        now, bar = time.monotonic(), (description, total)
        if self._bar is not None and (bar != self._bar or done < self._before):  # another bar
            self._first = (self._first + self._last) / 2
        self._bar, self._before = bar, done
        if now - self._told >= TELL_SECONDS:
            self._told = now
            share = min(done / total, 1.0)
            self._tell(self._first + (self._last - self._first) / 2 * share)

    def _tell(self, progress: float) -> None:
        if not self._queue.tell(self._job_id, progress, self._message):
            raise Cancelled


def main(argv: list[str]) -> int:
    """Run a job; its end is written into the queue."""
    data, models, job_id, memory, *limits = argv
    limit_memory(float(memory))
    end_with_parent()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    queue = JobQueue(Path(data) / "queue.sqlite")
    job = queue.get(job_id)
    if job is None or job.state is not JobState.RUNNING:
        return 0
    folder = Path(data) / "jobs" / job_id
    try:
        with shown_on_terminal(), watch_progress(reporter := Reporter(queue, job_id)):
            notes = run_job(job, folder, Path(models), VideoLimits(*map(float, limits)), reporter)
    except Cancelled:
        return 0
    except UserError as error:
        queue.finish(job_id, JobState.FAILED, _for_strangers(str(error), Path(data), job))
    except MemoryError:
        queue.finish(job_id, JobState.FAILED, f"it needed more than {memory} GiB of memory")
    else:
        queue.finish(job_id, JobState.DONE, "; ".join(["done", *notes]))
    return 0


def run_job(
    job: Job, folder: Path, models: Path, limits: VideoLimits, tell: Reporter
) -> tuple[str, ...]:
    """Make a job's results in `folder`/results; what users should know of the videos."""
    results = folder / "results"
    results.mkdir(exist_ok=True)
    model = ModelShelf(models).find(job.model)
    wanted = "detector" if job.kind is JobKind.DETECT else "classifier"
    if model.kind != wanted:
        raise UserError(f"model {model.name}: expected a {wanted} for this kind of job")
    videos = {name: folder / "inputs" / name for name in job.inputs}
    tell.stage("reading the videos", 0.0, 0.1)
    for name, path in videos.items():
        check_video(path, job.inputs[name], limits)
    with decode_limits(limits.decoding):
        if job.kind is JobKind.DETECT:
            _detect(job, next(iter(videos.values())), model.path, results, tell)
        else:
            _classify(job, videos, model.path, results, tell)
        return tuple(_notes(videos, job.inputs))


def _notes(videos: dict[str, Path], shown: dict[str, str]) -> Iterator[str]:
    """Damage and guesses, by video where there are several."""
    from stadet.datasets.footage.video import open_video

    for name, path in videos.items():
        for note in open_video(path).notes:
            yield note if len(videos) == 1 else f"{shown[name]}: {note}"


def _detect(job: Job, video: Path, model: Path, results: Path, tell: Reporter) -> None:
    from stadet.datasets.footage.video import open_video
    from stadet.tools.inference.run import run_videos

    threshold = job.options.get("threshold")
    tell.stage("detecting and drawing", 0.1, 1.0)
    made = run_videos(video, model, results / "run", threshold=threshold, overwrite=True)
    (found,) = made.videos
    rows = [
        {
            "class": made.names[event.label],
            "start": round(event.start, 3),
            "end": round(event.stop, 3),
            "score": round(event.score, 4),
            "box": [round(float(side), 1) for side in event.box],
        }
        for event in found.events
    ]
    opened = open_video(video)
    facts = {
        "seconds": _length(opened),
        "frames": len(opened),
        "size": list(opened.size[::-1]),
        "classes": list(made.names),
    }
    (results / "video.json").write_text(json.dumps(facts, ensure_ascii=False), encoding="utf-8")
    made.detections.rename(results / DETECTIONS)
    made.tubes.rename(results / TUBES)
    found.boxed.rename(results / "boxed.mp4")
    (results / EVENTS).write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")


def _length(video: Video) -> float:
    """Seconds; a frame lasts until the next one is due."""
    return round(float(video.timestamps[-1]) + 1 / video.fps, 3)


def _classify(
    job: Job, videos: dict[str, Path], model: Path, results: Path, tell: Reporter
) -> None:
    from stadet.classify.checklist import check_timelines
    from stadet.classify.timeline import segments
    from stadet.datasets.footage.video import open_video
    from stadet.tools.classification.classify import classify, classify_windows

    window = float(job.options.get("window_seconds", 0) or 0)
    long_video = window > 0
    places = [str(path) for path in videos.values()]
    shown = {Path(name).stem: original for name, original in job.inputs.items()}
    by_name = {path.stem: path for path in videos.values()}
    tell.stage("classifying", 0.1, 0.9)
    answers: list[dict[str, Any]] = []
    lengths: dict[str, float] = {}  # of clips
    if long_video:
        timelines = classify_windows(places, str(model), window, out=results / "timelines")
        for line in timelines:
            for segment in segments(line):
                answers.append(
                    {
                        "video": shown.get(line.video, line.video),
                        "input": line.video,
                        "class": line.names[segment.label],
                        "start": round(segment.start, 3),
                        "end": round(segment.stop, 3),
                        "score": round(segment.score, 4),
                    }
                )
        steps = check_timelines(timelines, float(job.options.get("min_seconds", 1.0)))
    else:
        found = classify(places, str(model))
        lengths = {name: _length(open_video(path)) for name, path in by_name.items()}
        rejected = found.rejection.rejects(found.answers)
        for row, name in enumerate(found.answers.videos):
            probabilities = found.answers.probabilities[row]
            best = int(probabilities.argmax())
            answers.append(
                {
                    "video": shown.get(name, name),
                    "input": name,
                    "class": None if rejected[row] else found.answers.names[best],
                    "nearest": found.answers.names[best],
                    "seconds": lengths[name],
                    "score": round(float(probabilities[best]), 4),
                }
            )
        steps = found.checklist()
    (results / "answers.json").write_text(json.dumps(answers, ensure_ascii=False), encoding="utf-8")
    if job.kind is not JobKind.STEPS:
        return
    tell.stage("pictures of the steps", 0.9, 1.0)
    rows = []
    for number, step in enumerate(steps):
        lasting = {span: lengths.get(span.video, span.seconds) for span in step.spans}
        picture = None
        if lasting:
            picture = f"step{number:02d}.jpg"
            longest = max(lasting, key=lambda span: lasting[span])
            _thumbnail(by_name[longest.video], longest, results / picture)
        rows.append(
            {
                "step": step.name,
                "done": step.done,
                "seconds": round(sum(lasting.values()), 2),
                "videos": sorted({shown.get(span.video, span.video) for span in step.spans}),
                "picture": picture,
            }
        )
    (results / "steps.json").write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")


def _thumbnail(video: Path, span: Span, place: Path) -> None:
    """A picture from the middle of what was recognised, 320 pixels wide."""
    import cv2

    from stadet.datasets.footage.video import open_video

    opened = open_video(video)
    times = opened.timestamps
    middle = float(times[len(times) // 2])
    if span.start is not None and span.stop is not None:
        middle = (span.start + span.stop) / 2
    frame = opened.frame(int(abs(times - middle).argmin()))
    height = max(1, round(frame.shape[0] * 320 / frame.shape[1]))
    small = cv2.resize(frame, (320, height), interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(place), cv2.cvtColor(small, cv2.COLOR_RGB2BGR))


def _for_strangers(message: str, data: Path, job: Job) -> str:
    """A message without a path of this machine, and with the names that were uploaded."""
    for folder in (data.resolve(), data):
        for name, shown in job.inputs.items():
            message = message.replace(f"{folder}/jobs/{job.id}/inputs/{name}", shown)
        message = message.replace(f"{folder}/", "")
    return message


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
