"""A checkpoint over videos, cameras or one side of a data set, to a detections file."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby, islice
from pathlib import Path

import numpy as np
import torch

from stadet.datasets.clips.timing import Rate, check_rate, used_timing
from stadet.datasets.footage.first_pass import PacketsMislead
from stadet.datasets.footage.video import open_video
from stadet.datasets.splits.overlap import refuse_overlap
from stadet.datasets.splits.split import Split
from stadet.detect.actors.tracker import ActorTracker
from stadet.detect.clock import Clock
from stadet.detect.detections.detection_set import VideoDetections
from stadet.detect.detections.reader import read_detections, read_floor
from stadet.detect.detections.writer import DetectionsWriter, written_so_far
from stadet.detect.inference import InferenceConfig, detect
from stadet.detect.structures import Detections
from stadet.engine.errors import UserError
from stadet.engine.files import atomic_path, expect_absent, file_names
from stadet.engine.limits import expect_within
from stadet.engine.progress import progress, progress_bar
from stadet.engine.signatures import checked
from stadet.tools.actors import actors_text, add_actors
from stadet.tools.inference.detectors import DetectorFile, open_detector
from stadet.tools.inference.frame_streams import (
    FrameStream,
    open_first_pass_stream,
    open_stream,
)
from stadet.tools.inference.predictor import Predictor
from stadet.tools.inference.render import render
from stadet.tools.inference.runtimes import (
    RuntimeOptions,
    choose_device,
    open_for_runtime,
)
from stadet.tools.inference.sources import expand_sources
from stadet.tools.inference.windows import ShownFrames, Windows
from stadet.tools.training.data import open_footage

_log = logging.getLogger(__name__)

RANGE_FRAMES = 16  # frames between two range rows of the detections file
ROUNDED = 2e-6  # seconds that times of range rows may be off
USE_FLOOR = 0.1  # least score to keep where no mean average precision is computed


@checked
def predict(
    sources: str | Path | Sequence[str | Path],
    checkpoint: str | Path,
    out: str | Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    for_evaluation: bool = False,
    score_floor: float | None = None,
    window: int = 8,
    tiles: tuple[int, int] | None = None,
    forget: bool = False,
    scene_cuts: float | None = None,
    runtime: RuntimeOptions | None = None,
    device: str | None = None,
    max_frames: int | None = None,
    fps: Rate = None,
    actors: bool = False,
    save: str | Path | None = None,
    show: bool = False,
) -> Path:
    """Run a checkpoint over videos and write a detections file.

    The file grows as frames are done; what was reached before a kill stays, and `resume` continues.

    Args:
        sources: video files, frame folders, folders of videos, or "camera:N".
        checkpoint: `best.pt` of a run, or an exported `.onnx` file.
        out: the detections file; its name says its form: .jsonl, .jsonl.gz, .jsonl.zst, .parquet.
        resume: continue the file where it ends.
        overwrite: replace the file instead.
        for_evaluation: keep scores down to the floor of the training's configuration, on which
            mean average precision depends; the file is then up to a hundred times larger.
        score_floor: keep class scores above this (default: what `use_floor` gives).
        window: frames a step; changes speed, not results.
        tiles: (rows, columns) of overlapping tiles of each frame, for small objects.
        forget: a diagnostic: zero the memory at every frame.
        scene_cuts: a model with memory forgets where this share of the colours changes at once.
        runtime: how the checkpoint is run (default: plain torch in fp32).
        device: "cpu", "cuda" or "cuda:N" (default: the GPU if there is one).
        max_frames: stop after so many frames of each source.
        fps: frames a second at which a model that uses earlier frames is shown footage (default:
            those of its training); "native": every frame as it comes.
        actors: give the hands and people of the whole file ids when it is done, as `add_actors`
            does; with `scene_cuts`, anew at those of files.
        save: folder for each video with its boxes, as `render` draws them.
        show: show the frames with their boxes in windows of this machine's display; q or Escape
            in one ends the work.

    Returns:
        The path of the detections file.

    Raises:
        UserError: where `out` exists (unless `resume` or `overwrite`), and for sources or options
            that do not suit the model.
    """
    out = Path(out)
    if written_so_far(out).exists() and not (resume or overwrite):
        raise UserError(
            f"{out} exists; give --resume to continue it, --overwrite to replace it, or another "
            "--out"
        )
    if resume and overwrite:
        raise UserError("expected --resume or --overwrite, found both")
    given = [sources] if isinstance(sources, (str, Path)) else sources
    opened = expand_sources([str(source) for source in given], cameras=save is None)
    stems = file_names(opened)
    boxed: dict[str, Path] = {}
    if save is not None:
        boxed = {name: Path(save) / f"{s}.mp4" for name, s in zip(opened, stems, strict=True)}
    expect_absent(*boxed.values(), overwrite=overwrite or resume)
    if actors:
        ActorTracker()  # a package that is missing is told before the work
    if score_floor is None and resume and not for_evaluation:
        score_floor = _written_floor(out)
    predictor = open_predictor(
        checkpoint,
        for_evaluation=for_evaluation,
        score_floor=score_floor,
        window=window,
        tiles=tiles,
        forget=forget,
        scene_cuts=scene_cuts,
        runtime=runtime,
        device=device,
        fps=fps,
    )
    with contextlib.ExitStack() as stack:
        look = None
        if show:
            threshold = predictor.detector.shown_threshold
            look = ShownFrames(stack.enter_context(Windows()), threshold)
        predict_opened(predictor, opened, out, resume=resume, max_frames=max_frames, look=look)
    if actors:
        files = {name: Path(source) for name, source in opened.items() if Path(source).exists()}
        found = add_actors(
            out,
            out=out,
            videos=files if scene_cuts is not None else None,
            scene_cuts=scene_cuts or 0.5,
        )
        _log.info(actors_text(found))
    for name, place in boxed.items():
        render(
            place,
            video=opened[name],
            detections=[out],
            threshold=max(predictor.detector.shown_threshold, predictor.config.score_floor),
            seconds=seconds_before(opened[name], max_frames),
            overwrite=True,
        )
    return out


def open_predictor(
    checkpoint: str | Path,
    *,
    for_evaluation: bool = False,
    score_floor: float | Callable[[DetectorFile], float] | None = None,
    window: int = 8,
    tiles: tuple[int, int] | None = None,
    forget: bool = False,
    scene_cuts: float | None = None,
    runtime: RuntimeOptions | None = None,
    device: str | None = None,
    fps: Rate = None,
) -> Predictor:
    """A checkpoint with the settings of its use, of which `predict` tells.

    score_floor: a number, or what gives it for an opened checkpoint.
    """
    expect_within("window", window, 1)
    runtime = runtime or RuntimeOptions.for_file(checkpoint)
    detector = open_for_runtime(checkpoint, runtime)
    if score_floor is None and not for_evaluation:
        score_floor = use_floor
    predictor = Predictor(
        detector,
        choose_device(device, runtime),
        runtime=runtime,
        window=window,
        score_floor=score_floor(detector) if callable(score_floor) else score_floor,
        tiles=tiles,
        forget=forget,
        scene_cuts=scene_cuts,
        fps=fps,
    )
    tell_unknown_rate(predictor.detector, fps)
    return predictor


def predict_opened(
    predictor: Predictor,
    places: Mapping[str, str | Path],
    out: str | Path,
    *,
    resume: bool = False,
    max_frames: int | None = None,
    look: ShownFrames | None = None,
) -> None:
    """An opened checkpoint over sources by name to a detections file, which is continued
    (`resume`) or replaced."""
    expect_within("max_frames", max_frames, 1)
    names = predictor.detector.names
    with DetectionsWriter(out, names, predictor.config.score_floor, resume=resume) as writer:
        written = {
            video.name: video
            for video in read_detections(writer.growing, names)
            if len(video.processed)
        }
        for name, source in places.items():
            begun = written.get(name)
            _predict_source(predictor, name, source, writer, begun, max_frames, look)
            if look is not None and look.ended:
                break


def seconds_before(video: str | Path, frame: int | None) -> float | None:
    """Time of a frame of a video; None where it has none of that number."""
    times = open_video(video).timestamps
    return float(times[frame]) if frame is not None and frame < len(times) else None


def use_floor(detector: DetectorFile) -> float:
    """Least score that is kept for use: `USE_FLOOR`, or half of the learnt threshold if that is
    lower; never below the floor of the training's configuration."""
    learnt = USE_FLOOR if detector.threshold is None else detector.threshold / 2
    return max(detector.config.inference.score_floor, min(USE_FLOOR, learnt))


def _written_floor(path: Path) -> float | None:
    """The floor of an unfinished file, which is continued as it was begun."""
    try:
        return read_floor(written_so_far(path))
    except (OSError, UserError):  # the writer says what is wrong with it
        return None


def _predict_source(
    predictor: Predictor,
    name: str,
    source: str | Path,
    writer: DetectionsWriter,
    written: VideoDetections | None,
    max_frames: int | None,
    look: ShownFrames | None = None,
) -> None:
    """One source to the writer, from where `written`, which the file has of it, ends.

    A video without an index is read in one pass where its packets tell what the index will say;
    what was written is taken back where they were wrong, and the index is made first.
    """
    reached = 0 if written is None else int(written.processed[-1, 1]) + 1
    if not reached and max_frames is None:
        stream = open_first_pass_stream(name, source)
        if stream is not None:
            try:
                _predict_stream(predictor, stream, writer, 0, None, look)
                return
            except PacketsMislead:
                writer.forget(name)
    stream = open_stream(name, source)
    if written is not None and stream.known is not None and not _same_times(written, stream.known):
        # a first pass that was killed before it met what the packets did not tell
        _log.warning(f"{name}: has other times than in the unfinished file; begun again")
        writer.forget(name)
        reached = 0
    _predict_stream(predictor, stream, writer, reached, max_frames, look)


def _same_times(written: VideoDetections, clock: Clock) -> bool:
    """Whether the rows of a video have the times that `write_answers` gives them."""
    found = written.clock
    if found is None:  # they say nothing
        return True
    if found.times is None or clock.times is None:
        return found.times is clock.times and found.fps == round(clock.fps, 6)
    count = min(len(found.times), len(clock.times))
    frames = np.flatnonzero(written.is_processed(np.arange(count)))
    return bool((np.abs(found.times[frames] - clock.times[frames]) < ROUNDED).all())


def _predict_stream(
    predictor: Predictor,
    stream: FrameStream,
    writer: DetectionsWriter,
    reached: int,
    max_frames: int | None,
    look: ShownFrames | None,
) -> None:
    """A stream to the writer, from frame number `reached` on."""
    name = stream.name
    for note in [*stream.notes, predictor.rate_note(stream.known)]:
        if note:
            _log.warning(f"{name}: {note}")
    total = stream.length  # None: a camera, which begins anywhere
    first = 0 if total is None else predictor.frames_before(reached, stream.known)
    frames = stream.frames(first)
    if max_frames is not None:
        total = min(total or max_frames, max_frames)
        frames = islice(frames, max(0, max_frames - first))
    if look is not None:
        frames = look.passing(frames)
    with progress_bar(description=name, total=total, unit="frame") as bar:
        bar.update(first)
        answers = predictor(frames, name, stream.size, clock=stream.clock)
        if look is not None:
            answers = look.answered(name, answers)
        write_answers(
            (answer for answer in _ticking(answers, bar) if answer[0] >= reached),
            name,
            writer,
            stream.clock,
        )


def predict_dataset(
    checkpoint: str | Path,
    data: str | Path | None,
    side: str,
    out: str | Path,
    *,
    allow_overlap: bool = False,
    fps: Rate = None,
    inference: InferenceConfig | None = None,
) -> Path:
    """A checkpoint over one side ("train", "val", "test") of a data set, to a detections file.

    data: the data set file (None: the one it was trained with). Frames come through the cache of
    reduced frames, streams break where the side does, and every looked-at frame is answered for
    once. The file is whole or absent. fps: see `predict`. inference: in place of the checkpoint's
    own suppression.

    UserError for a checkpoint of other classes, and for one that was trained on frames of a side
    that judges (unless `allow_overlap`, here or in the data set file).
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    detector = open_detector(checkpoint, device)
    settings = detector.config.data
    if data is not None:
        settings = replace(settings, dataset=str(data))
    tell_unknown_rate(detector, fps)
    timing = used_timing(detector.timing, check_rate(fps, "--fps"))
    footage = open_footage(settings, detector.config.recipe.reach(), timing=timing)
    expect_classes(footage.dataset.names, detector)
    if side != "train" and not (allow_overlap or footage.dataset.config.split.allow_overlap):
        refuse_overlap(
            Split.from_record(detector.split),
            footage.dataset.split,
            what=f"checkpoint {checkpoint}",
            sides=[side],
            allow="give --allow-overlap",
        )
    if note := footage.rate_note(side, detector.model):
        _log.warning(note)
    loader = footage.evaluation_loader(side, detector.model)
    batches = progress(loader, description=side, unit="batch", total=len(loader))
    config = inference or detector.config.inference
    with (
        atomic_path(out) as temporary,
        DetectionsWriter(temporary, detector.names, config.score_floor) as writer,
    ):
        answers = detect(detector.model, batches, config, device)
        answers = footage.frames_of(answers, detector.model)
        for video, group in groupby(answers, key=lambda answer: answer[0]):
            clock = footage.dataset.annotations.videos[video].clock
            write_answers(((frame, found) for _, frame, found in group), video, writer, clock)
    return Path(out)


def tell_unknown_rate(detector: DetectorFile, fps: Rate) -> None:
    """One line where a model uses earlier frames and nobody says how far apart they should be."""
    if fps is None and detector.timing is None and detector.model.context_frames != 0:
        _log.warning(
            f"checkpoint {detector.path}: does not say at what frame rate it was trained; frames "
            "are taken as they come (--fps says it)"
        )


def expect_classes(names: Sequence[str], detector: DetectorFile) -> None:
    """UserError unless a data set's classes are the checkpoint's (in any order)."""
    if set(names) != set(detector.names):
        differing = sorted(set(names) ^ set(detector.names))
        raise UserError(
            f"checkpoint {detector.path}: expected the data set's {len(names)} classes, found "
            f"{len(detector.names)} (differing: {', '.join(map(repr, differing[:5]))}); train on "
            "this data set, or give the one that the checkpoint was trained on"
        )


def write_answers(
    answers: Iterable[tuple[int, Detections]],
    video: str,
    writer: DetectionsWriter,
    clock: Clock | Callable[[int], float | None] | None = None,
) -> None:
    """Rows as they come, and a range row every few frames, at a gap and at the end, also where
    Ctrl-C is the end.

    clock: of the video, or the seconds of a frame of a stream as it comes (None: not known).
    """
    fps = clock.fps if isinstance(clock, Clock) else None
    even = clock is None or (isinstance(clock, Clock) and clock.constant)
    first, seconds = None, []  # first frame of the range that is open; seconds of its frames
    frame = -1

    def close() -> None:
        times = None if even or None in seconds else seconds
        writer.processed(video, first, frame, fps=fps, times=times)

    try:
        for following, detections in answers:
            if first is not None and (following != frame + 1 or following - first >= RANGE_FRAMES):
                close()
                first = None
            writer.write(video, following, detections)
            if first is None:
                first, seconds = following, []
            frame = following
            if not even:
                seconds.append(clock.seconds(frame) if isinstance(clock, Clock) else clock(frame))
    finally:
        if first is not None:
            close()


def _ticking(answers: Iterable, bar) -> Iterator:
    for answer in answers:
        yield answer
        bar.update()
