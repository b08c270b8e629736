"""A detector for Python programs: videos, arrays or frames as they come in, `Detections` out."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, cast

import numpy as np
import torch

from stadet.datasets.clips.resample import TickCounter
from stadet.datasets.footage.video import Video
from stadet.detect.clock import Clock
from stadet.detect.structures import Detections
from stadet.engine.errors import UserError
from stadet.engine.signatures import checked
from stadet.tools.inference.detectors import DetectorFile
from stadet.tools.inference.frame_streams import (
    Channels,
    FrameStream,
    RecentTimes,
    array_stream,
    check_frame,
    path_streams,
    video_stream,
)
from stadet.tools.inference.predict import use_floor
from stadet.tools.inference.predictor import Predictor
from stadet.tools.inference.runtimes import (
    RuntimeOptions,
    choose_device,
    open_for_runtime,
)
from stadet.tools.training.config import TrainConfig

Source = str | Path | Video | np.ndarray | Iterable[str | Path] | Iterable[np.ndarray]


class VideoDetector:
    """A detector opened for use; made by `open_detector`.

    Call it with footage to get an iterator of `Detections`, one for each frame, or ask for a
    `stream` to hand it single frames as they come in.

    Attributes:
        path: of the file.
        names: class names; column c of `Detections.scores` is `names[c]`.
        threshold: score that gave the best F1 on the validation side of the training; None where
            it was never measured. Detections below it are returned too, see `score_floor`.
        score_floor: scores below it are never returned.
        config: the training's configuration.
        size: (height, width) of the network's input in pixels; frames may have any size.
        device: where it runs.
    """

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        file = predictor.detector
        self.path: Path = file.path
        self.names: tuple[str, ...] = file.names
        self.threshold: float | None = file.threshold
        self.score_floor: float = predictor.config.score_floor
        self.config: TrainConfig = file.config
        self.size: tuple[int, int] = (file.config.data.size[0], file.config.data.size[1])
        self.device: torch.device = predictor.device

    def __repr__(self) -> str:
        height, width = self.size
        names = ", ".join(self.names[:5]) + (", .." if len(self.names) > 5 else "")
        return (
            f"VideoDetector({str(self.path)!r}: {self.config.model}, {len(self.names)} classes "
            f"({names}), input {width}x{height}, {self.device})"
        )

    def __call__(
        self,
        source: Source,
        *,
        threshold: float | None = None,
        fps: float | None = None,
        timestamps: Iterable[float] | None = None,
        channels: Channels = "rgb",
        max_frames: int | None = None,
    ) -> Iterator[Detections]:
        """Detections of every frame, in order.

        Memory does not grow with the length of the footage: frames are decoded, and detections
        made, while they are iterated over. A model with memory begins each video from nothing.

        Args:
            source: a video file, a folder of frames, a folder of videos, `camera:N`, several of
                those, a `Video`; or frames (H, W, 3) uint8: one, an array (T, H, W, 3), a list or
                any iterator of frames of one size.
            threshold: return only scores of at least this (default: all above `score_floor`, as
                `stad predict --for-evaluation` writes them).
            fps: frames per second of frames without times of their own: arrays, iterators, frame
                folders.
            timestamps: instead of `fps`, the time of each given frame in seconds, increasing.
            channels: order of the colours of given arrays, `"rgb"` or `"bgr"` (as OpenCV reads).
            max_frames: stop after so many frames of each video.

        Returns:
            An iterator of `Detections` with `names`, `video`, `frame` (0-based) and `seconds` (time
            since the video's first frame; of the given `timestamps`: as given; None where no time
            is known).

        Raises:
            UserError: for footage that is not there or cannot be read, and for frames of another
                shape or type; while iterating, where it first shows.

        Examples:
            >>> detector = stadet.open_detector("best.pt")                      # doctest: +SKIP
            >>> for found in detector("kitchen.mp4", threshold=0.4):            # doctest: +SKIP
            ...     print(found.seconds, found.with_classes("wipe").boxes)
        """
        _expect_threshold(threshold)
        if max_frames is not None and max_frames < 1:
            raise UserError(f"max_frames: expected at least 1, found {max_frames}")
        streams = _streams(source, fps=fps, timestamps=timestamps, channels=channels)
        return self._detections(streams, threshold, max_frames)

    def image(self, image: np.ndarray, *, channels: Channels = "rgb") -> Detections:
        """Detections of one image (H, W, 3) uint8 on its own.

        A model that uses earlier frames sees none; see `stream` for frames that follow each other.
        """
        (found,) = self(np.asarray(image)[None], channels=channels)
        return found

    def stream(
        self,
        *,
        fps: float | None = None,
        channels: Channels = "rgb",
        threshold: float | None = None,
        name: str = "stream",
    ) -> DetectionStream:
        """A stream to hand single frames to, which remembers from one to the next.

        Args:
            fps: frames per second, for `Detections.seconds` of frames that come without a time.
            channels: `"rgb"` or `"bgr"`.
            threshold: return only scores of at least this.
            name: becomes `Detections.video`.

        Raises:
            UserError: for a detector that needs later frames before it answers (`feature_bank`),
                and for another threshold, rate or order of colours.
        """
        if self._predictor.model.needs_later_frames:
            raise UserError(
                "feature_bank: needs later frames before it answers, so it cannot answer frame by "
                "frame; call the detector with an iterator of frames instead"
            )
        _expect_threshold(threshold)
        _expect_frames(fps, channels)
        return DetectionStream(self, fps=fps, channels=channels, threshold=threshold, name=name)

    def _detections(
        self, streams: Iterable[FrameStream], threshold: float | None, max_frames: int | None
    ) -> Iterator[Detections]:
        for stream in streams:
            frames = stream.frames(0)
            if max_frames is not None:
                frames = itertools.islice(frames, max_frames)
            answers = self._predictor(frames, stream.name, stream.size, clock=stream.clock)
            for frame, found in answers:
                seconds = stream.seconds(frame)
                yield self._named(found, stream.name, frame, seconds, threshold)

    def _named(
        self,
        found: Detections,
        video: str,
        frame: int,
        seconds: float | None,
        threshold: float | None,
    ) -> Detections:
        found = replace(found, names=self.names, video=video, frame=frame, seconds=seconds)
        return found if threshold is None else found.above(threshold)


class DetectionStream:
    """Frames one after another, each answered at once; made by `VideoDetector.stream`.

    A model with memory carries it from call to call, a model of clips keeps the frames it needs.
    Memory does not grow with the number of frames.

    Examples:
        >>> stream = detector.stream(channels="bgr", threshold=0.4)             # doctest: +SKIP
        >>> for image, seconds in my_camera():                                  # doctest: +SKIP
        ...     found = stream(image, seconds=seconds)
    """

    def __init__(
        self,
        detector: VideoDetector,
        *,
        fps: float | None,
        channels: Channels,
        threshold: float | None,
        name: str,
    ) -> None:
        self._detector = detector
        self._fps, self._channels, self._threshold, self._name = fps, channels, threshold, name
        self.reset()

    def reset(self) -> None:
        """Forget everything: the next frame is frame 0 of another stream, of any size."""
        self._frame = -1
        self._seconds = float("-inf")
        self._size: tuple[int, int] | None = None
        self._waiting: deque[np.ndarray] = deque()
        self._answers: Iterator[tuple[int, Detections]] | None = None
        self._times = RecentTimes()
        self._ticks: TickCounter | None = None
        self._tick = -1
        self._last: tuple[np.ndarray, Detections] | None = None  # newest frame, answer to its tick

    def __call__(self, frame: np.ndarray, *, seconds: float | None = None) -> Detections:
        """The next frame of the stream.

        Args:
            frame: (H, W, 3) uint8, of the size of those before.
            seconds: its time (default: from `fps`). Where times are known, a model that uses
                earlier frames is shown the stream at the rate of its training: a frame between two
                of that rate has the answer of the one before it.

        Returns:
            Its `Detections`, the first with frame index 0.

        Raises:
            UserError: for a frame of another shape or type, and for times that do not increase;
                the stream then continues without it.
        """
        image = check_frame(frame, self._channels, self._size, self._frame + 1)
        timed = seconds is not None
        if self._ticks is not None and seconds is None and not self._fps:
            raise UserError(f"frame {self._frame + 1}: expected its time, found none")
        if seconds is not None and not self._seconds < seconds < float("inf"):
            raise UserError(
                f"frame {self._frame + 1}: expected increasing seconds, found {seconds} after "
                f"{self._seconds}"
            )
        self._frame += 1
        if seconds is None and self._fps:
            seconds = self._frame / self._fps
        self._seconds = self._seconds if seconds is None else seconds
        if self._answers is None:
            self._size = size = (image.shape[0], image.shape[1])
            self._begin(
                size, None if timed or not self._fps else Clock(self._fps), seconds is not None
            )
        found = self._answer(image, seconds)
        return self._detector._named(found, self._name, self._frame, seconds, self._threshold)

    def _begin(self, size: tuple[int, int], clock: Clock | None, timed: bool) -> None:
        predictor = self._detector._predictor
        fps = predictor.shown_fps(clock) if timed else None
        times = None
        if fps is not None and predictor.model.follows_streams:
            self._ticks = TickCounter(fps)
        elif fps is not None:
            times = self._times
        self._answers = predictor(self._pending(), self._name, size, live=True, clock=times)

    def _answer(self, image: np.ndarray, seconds: float | None) -> Detections:
        """The model's answer; that of its tick for a frame between two ticks of the model's rate,
        while a tick without a frame shows the one before it again."""
        if self._ticks is not None:
            assert seconds is not None  # asked for before the frame was counted
            tick = self._ticks(seconds)
            if self._last is not None:
                before, found = self._last
                if tick == self._tick:
                    self._last = (image, found)
                    return found
                for _ in range(self._tick + 1, tick):
                    self._next(before, None)
            self._tick = tick
        found = self._next(image, seconds)
        self._last = (image, found)
        return found

    def _next(self, image: np.ndarray, seconds: float | None) -> Detections:
        self._waiting.append(image)
        if seconds is not None:
            self._times.add(self._frame, seconds)
        assert self._answers is not None  # begun with the first frame
        _, found = next(self._answers)
        return found

    def _pending(self) -> Iterator[tuple[int, np.ndarray]]:
        for index in itertools.count():
            yield index, self._waiting.popleft()


@checked
def open_detector(
    path: str | Path,
    device: str | torch.device | None = None,
    *,
    runtime: Literal["eager", "compiled", "onnx", "openvino", "tensorrt"] | None = None,
    precision: Literal["fp32", "bf16"] = "fp32",
    window: int = 8,
    score_floor: float | None = None,
    tiles: tuple[int, int] | None = None,
    scene_cuts: float | None = None,
    temporal_every: int = 1,
    feature_bank: bool = False,
    rate: float | Literal["native"] | None = None,
) -> VideoDetector:
    """Open a detector for use.

    Args:
        path: `best.pt` of a run of `stad train`, a checkpoint that `stad import-weights` made of
            public weights, or an `.onnx` file of `stad export` (float32 or int8).
        device: `"cpu"`, `"cuda"` or `"cuda:N"` (default: the GPU if there is one; exported files
            run on the CPU).
        runtime: plain torch (`"eager"`, the default for a checkpoint), folded and compiled torch,
            or an exported graph by onnxruntime (the default for an `.onnx` file) or OpenVINO.
        precision: of the arithmetic.
        window: frames that pass through the network at once; changes speed, not results.
        score_floor: scores below it are never returned (default: as of `stad predict`, the least
            that is of use; `detector.config.inference.score_floor` for evaluation).
        tiles: (rows, columns) of overlapping tiles to look at, for small objects; only for models
            that use no earlier frames.
        scene_cuts: a model with memory forgets where this share of the colours changes at once.
        temporal_every: YOWO: run the 3D branch on every k-th frame only.
        feature_bank: YOWO: average the 3D features of the clips around each frame.
        rate: frames per second that a model which uses earlier frames is shown (default: those of
            its training; footage of another rate is resampled by its times); `"native"`: every
            frame as it comes.

    Returns:
        A `VideoDetector`.

    Raises:
        UserError: for a file that is missing, damaged or of another program, a device or package
            that is not there, and options that do not suit the model.

    Examples:
        >>> detector = stadet.open_detector("runs/yolov3/best.pt")              # doctest: +SKIP
        >>> for found in detector("kitchen.mp4", threshold=detector.threshold): # doctest: +SKIP
        ...     print(found)
    """
    options = RuntimeOptions.for_file(path, runtime, precision, temporal_every, feature_bank)
    where = choose_device(device, options)
    if not isinstance(window, int) or window < 1:
        raise UserError(f"window: expected a whole number of at least 1, found {window}")
    file: DetectorFile = open_for_runtime(path, options)
    floor = use_floor(file) if score_floor is None else score_floor
    return VideoDetector(
        Predictor(
            file,
            where,
            runtime=options,
            window=window,
            score_floor=floor,
            tiles=tiles,
            scene_cuts=scene_cuts,
            fps=rate,
        )
    )


def _expect_threshold(threshold: float | None) -> None:
    if threshold is not None and not 0 <= threshold <= 1:
        raise UserError(f"threshold: expected one from 0 to 1, found {threshold}")


def _expect_frames(fps: float | None, channels: Channels) -> None:
    if channels not in ("rgb", "bgr"):
        raise UserError(f'channels: expected "rgb" or "bgr", found {channels!r}')
    if fps is not None and not 0 < fps < float("inf"):
        raise UserError(f"fps: expected a number above 0, found {fps}")


def _streams(
    source: Source,
    *,
    fps: float | None,
    timestamps: Iterable[float] | None,
    channels: Channels,
) -> Iterable[FrameStream]:
    """Each video of a source, opened as it is reached; what can be told at once is."""
    _expect_frames(fps, channels)
    if fps is not None and timestamps is not None:
        raise UserError("expected fps or timestamps, found both; leave one out")
    if isinstance(source, (str, Path)):
        source = [source]
    if isinstance(source, Sequence) and not len(source):
        raise UserError("expected footage, found an empty list")
    if isinstance(source, Sequence) and isinstance(source[0], (str, Path)):
        if timestamps is not None:
            raise UserError("timestamps: expected only with arrays of frames, found a path")
        for place in source:
            if not isinstance(place, (str, Path)):
                raise UserError(f"expected paths after {source[0]}, found {type(place).__name__}")
        return path_streams([str(place) for place in source], fps=fps)
    if isinstance(source, Video):
        if timestamps is not None or fps is not None:
            raise UserError("expected no fps or timestamps with a video, which has its own")
        return [video_stream(source)]
    if isinstance(source, np.ndarray) and source.ndim != 4:
        source = [source]
    if not isinstance(source, Iterable):
        raise UserError(f"expected footage, found {type(source).__name__}")
    frames = cast(Iterable[np.ndarray], source)  # each is checked when it is reached
    return array_stream(frames, fps=fps, timestamps=timestamps, channels=channels)
