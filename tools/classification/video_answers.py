"""A classifier's answers to videos outside a data set: whole, or window by window."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from stadet.classify.answers import Answers, average_clips, split_outputs
from stadet.classify.rejection import Rejection
from stadet.classify.timeline import Timeline, window_spans
from stadet.classify.training import logits_of
from stadet.datasets.clips.resample import resample, same_rate
from stadet.datasets.clips.timing import Rate, check_rate, rate_text, used_timing
from stadet.datasets.footage.video import Video, open_video
from stadet.datasets.labelled.clip_sampling import evaluation_clips
from stadet.datasets.labelled.clip_stream import stream_clips
from stadet.datasets.labelled.labelled_video import BadVideo
from stadet.detect.batch import ClipRequest
from stadet.detect.classification_batch import UNKNOWN, LabelledClip, collate_labelled
from stadet.detect.view import View, pair
from stadet.engine.errors import UserError
from stadet.engine.limits import expect_within
from stadet.engine.signatures import checked
from stadet.tools.classification.checkpoint import ClassifierFile
from stadet.tools.classification.data import extra_inputs, shown_frames, too_short
from stadet.tools.classification.runtimes import open_for_runtime, prepare_model
from stadet.tools.inference.runtimes import RuntimeOptions, choose_device
from stadet.tools.inference.sources import expand_sources

ClassifierSource = str | Path | Video | np.ndarray | Iterable[str | Path | Video]


class VideoClassifier:
    """A clip classifier opened for use; made by `stadet.open_classifier`.

    Attributes:
        names: class names; column c of `Answers.probabilities` is `names[c]`.
        rejection: thresholds below which an answer is "none of these".
        device: where it runs.
    """

    def __init__(
        self,
        file: ClassifierFile,
        device: torch.device,
        rejection: Rejection | None = None,
        *,
        rate: Rate = None,
        runtime: RuntimeOptions | None = None,
    ) -> None:
        """rejection: takes the place of the checkpoint's; rate: see `open_classifier`; runtime: how
        the model is run (default: as it is)."""
        self.extras = extra_inputs(file.model.inputs)  # refuses a model that needs keypoints
        self.file, self.device = file, device
        runtime = runtime or RuntimeOptions()
        self.model = prepare_model(file, runtime, device)
        self._autocast = runtime.autocast
        self.rejection = file.rejection if rejection is None else rejection
        self.names: tuple[str, ...] = file.names
        self.fps = used_timing(file.timing, check_rate(rate, "--fps")).fps

    def __repr__(self) -> str:
        height, width = self.file.config.input.size
        return (
            f"VideoClassifier({str(self.file.path)!r}: {self.file.config.model.name}, "
            f"{len(self.names)} classes, input {width}x{height}, {self.device})"
        )

    def __call__(self, videos: ClassifierSource) -> Answers:
        """Classify whole videos.

        Args:
            videos: a video file, a frame folder, a folder of videos, or several of them; a `Video`
                (of an array: `Video.from_array`) or several; or one array of frames (T, H, W, 3)
                uint8 RGB.

        Returns:
            `Answers`, one row for each video, in order of name.

        Raises:
            UserError: for videos that cannot be read, are shorter than a clip, or have one name.

        Example:
            >>> classifier = stadet.open_classifier("runs/handwash/best.pt")    # doctest: +SKIP
            >>> answers = classifier("clips/")                                  # doctest: +SKIP
            >>> dict(zip(answers.videos, answers.predicted_names))              # doctest: +SKIP
        """
        opened = videos_to_classify(videos, self)
        return self.answer(opened)

    def answer(self, videos: Sequence[Video]) -> Answers:
        """One answer a video, its clips averaged as in evaluation."""
        rows = []
        for video in videos:
            for _, row in self._rows(video, self.clips_of(video, 0, len(video))):
                rows.append((video.name, UNKNOWN, row))
        return average_clips(rows, self.file.names)

    def clips_of(self, video: Video, start: int, stop: int) -> list[np.ndarray]:
        """Frames (T,) of the clips that stand for frames start..stop - 1 in evaluation, spaced in
        time as in training."""
        clock = video.clock[start:stop]
        frames = np.arange(start, stop)
        if self.fps is not None and not same_rate(clock, self.fps):
            frames = start + resample(clock, stop - start, self.fps).shown
        return [frames[clip] for clip in evaluation_clips(len(frames), self.file.config.sampling)]

    def too_short(self, videos: Mapping[str, Video]) -> list[BadVideo]:
        """Those of these videos by name into which no clip fits."""
        shown = {name: shown_frames(video, self.fps) for name, video in videos.items()}
        lengths = {n: len(v) if shown[n] is None else len(shown[n]) for n, v in videos.items()}
        return too_short(videos, self.file.config.sampling, lengths)

    def rate_note(self, video: Video) -> str | None:
        """Line about the rate at which the model is shown a video."""
        if self.fps is None or same_rate(video.clock, self.fps):
            return None
        rate = rate_text(video.clock)
        return f"{rate} fps, shown to the model at {self.fps:.4g} fps (--fps native: every frame)"

    def watch(
        self, video: str | Path | Video, window_seconds: float, stride_seconds: float
    ) -> Timeline:
        """The answers to overlapping windows of a long video."""
        if not isinstance(video, Video):
            video = open_video(video)
        spans = window_spans(len(video), video.clock, window_seconds, stride_seconds)
        clips, window = [], []
        for number, (start, stop) in enumerate(spans):
            for frames in self.clips_of(video, start, stop):
                clips.append(frames)
                window.append(number)
        sums = np.zeros((len(spans), len(self.file.names) + 1))
        counts = np.bincount(window, minlength=len(spans))
        for number, row in self._rows(video, clips):
            sums[window[number]] += row
        means = sums / counts[:, None]
        unknown = np.full(len(spans), UNKNOWN)
        names = tuple(map(str, range(len(spans))))
        answers = Answers(self.file.names, names, unknown, means[:, :-1], means[:, -1])
        times = video.clock.seconds(np.array(spans))
        return Timeline(
            video.name,
            self.file.names,
            times[:, 0],
            times[:, 1],
            answers.probabilities,
            self.rejection.rejects(answers),
        )

    def answer_clips(self, clips: Sequence[np.ndarray]) -> Answers:
        """One answer, averaged over clips (T, h, w, 3) uint8 RGB in the network's size."""
        unasked = ClipRequest("clip", tuple(range(len(clips[0]))))
        labelled = ((number, self._labelled(unasked, clip)) for number, clip in enumerate(clips))
        rows = [("clip", UNKNOWN, row) for _, row in self.answer_rows(labelled)]
        return average_clips(rows, self.file.names)

    def inputs_of(
        self, video: Video, clips: Sequence[np.ndarray]
    ) -> Iterator[tuple[int, LabelledClip]]:
        """(number, what the model takes of that clip), without augmentation."""
        config = self.file.config.input
        view = View.fit(video.size, pair(config.size), config.resize)
        for number, frames in stream_clips(video, clips, view):
            request = ClipRequest(video.name, tuple(map(int, clips[number])))
            yield number, self._labelled(request, frames)

    def _labelled(self, request: ClipRequest, frames: np.ndarray) -> LabelledClip:
        """The model's inputs for a clip (T, h, w, 3) uint8 RGB in the network's size."""
        inputs = {"frames": torch.from_numpy(frames).permute(0, 3, 1, 2)}
        for name, extra in self.extras.items():
            inputs[name] = torch.from_numpy(extra(request, frames))
        return LabelledClip(inputs, UNKNOWN, request.video)

    def _rows(self, video: Video, clips: Sequence[np.ndarray]) -> Iterator[tuple[int, np.ndarray]]:
        """(number of the clip, C probabilities and P(known)), batch by batch."""
        return self.answer_rows(self.inputs_of(video, clips))

    def answers_to(self, clips: Sequence[LabelledClip]) -> np.ndarray:
        """(N, C + 1) float64: probabilities of the classes, and P(known), of each clip."""
        return np.stack([row for _, row in self.answer_rows(enumerate(clips))])

    @torch.inference_mode()
    def answer_rows(
        self, clips: Iterable[tuple[int, LabelledClip]]
    ) -> Iterator[tuple[int, np.ndarray]]:
        """Numbered clips to (number, C probabilities and P(known)), batch by batch."""
        for chunk in _chunks(clips, self.file.config.input.batch):
            batch = collate_labelled([clip for _, clip in chunk]).to(self.device)
            with torch.autocast(self.device.type, self._autocast, enabled=bool(self._autocast)):
                logits = logits_of(self.model, batch)
            probabilities, known = split_outputs(logits, self.file.rejects)
            found = torch.cat([probabilities, known[:, None]], dim=1).double().cpu().numpy()
            for (number, _), row in zip(chunk, found, strict=True):
                yield number, row


@checked
def open_classifier(
    path: str | Path,
    device: str | torch.device | None = None,
    *,
    head: int = 0,
    threshold: float | None = None,
    rate: float | Literal["native"] | None = None,
    runtime: Literal["eager", "compiled", "onnx", "openvino", "tensorrt"] | None = None,
    precision: Literal["fp32", "bf16"] = "fp32",
) -> VideoClassifier:
    """Open a clip classifier for use.

    Args:
        path: `best.pt` of a run of `stad train-classifier`, or an `.onnx` file of `stad export`
            (float32 or int8).
        device: `"cpu"`, `"cuda"` or `"cuda:N"` (default: the GPU if there is one; exported files
            run on the CPU).
        head: of a model of two data sets: whose classes.
        threshold: least probability of the best class, below which the answer is "none of these"
            (default: what the training learnt on its validation side; 0: never).
        rate: frames per second that the model is shown (default: those of its training; videos of
            another rate are resampled by their times); `"native"`: every frame as it comes.
        runtime: plain torch (`"eager"`, the default for a checkpoint), folded and compiled torch,
            or an exported graph by onnxruntime (the default for an `.onnx` file) or OpenVINO.
        precision: of the arithmetic.

    Returns:
        A `VideoClassifier`.

    Raises:
        UserError: for a file that is missing, damaged or of no classifier, and a device or package
            that is not there.
    """
    options = RuntimeOptions.for_file(path, runtime, precision)
    where = choose_device(device, options)
    expect_within("threshold", threshold, 0, 1)
    rejection = None if threshold is None else Rejection(confidence=threshold)
    file = open_for_runtime(path, options, head)
    return VideoClassifier(file, where, rejection, rate=rate, runtime=options)


def videos_to_classify(videos: ClassifierSource, classifier: VideoClassifier) -> list[Video]:
    """The videos that were asked for, each long enough for a clip."""
    if isinstance(videos, np.ndarray):
        # an array has no rate: it is taken to be that of the training
        videos = Video.from_array(videos, fps=classifier.fps or 25)
    given = [videos] if isinstance(videos, (str, Path, Video)) else list(videos)
    for video in given:
        if not isinstance(video, (str, Path, Video)):
            raise UserError(
                f"expected paths and videos, found {type(video).__name__}; of arrays make "
                "Video.from_array(array, fps=.., name=..)"
            )
    paths = expand_sources([str(v) for v in given if not isinstance(v, Video)], cameras=False)
    opened = [v for v in given if isinstance(v, Video)]
    opened += [open_video(path, name=name) for name, path in paths.items()]
    by_name = {video.name: video for video in opened}
    if len(by_name) < len(opened):
        raise UserError("expected videos of different names, found two of one name; rename one")
    if not opened:
        raise UserError("expected videos to classify, found none")
    if bad := classifier.too_short(by_name):
        raise UserError("; ".join(video.reason for video in bad[:3]))
    return opened


def open_sources(
    sources: dict[str, Path], classifier: VideoClassifier, *, skip_bad: bool, whole: bool
) -> tuple[list[Video], list[BadVideo]]:
    """The videos that can be classified, and those that cannot.

    whole: a clip must fit into each video. UserError that counts and names the bad ones, unless
    `skip_bad`.
    """
    videos: dict[str, Video] = {}
    bad: list[BadVideo] = []
    for name, path in sources.items():
        try:
            videos[name] = open_video(path, name=name)
        except UserError as error:
            bad.append(BadVideo(name, str(error)))
    if whole:
        bad += classifier.too_short(videos)
    if bad and not skip_bad:
        first = "; ".join(video.reason for video in bad[:3])
        raise UserError(
            f"{len(bad)} of {len(sources)} videos cannot be used: {first}; "
            "repair or leave them out, or continue without them with --skip-bad"
        )
    names = {video.name for video in bad}
    return [video for name, video in videos.items() if name not in names], bad


def _chunks(
    items: Iterable[tuple[int, LabelledClip]], size: int
) -> Iterator[list[tuple[int, LabelledClip]]]:
    chunk = []
    for item in items:
        chunk.append(item)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
