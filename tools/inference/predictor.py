"""A detector with the settings of its use: a stream of frames in, detections out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, replace

import numpy as np
import torch

from stadet.datasets.clips.live_batches import (
    image_batch,
    key_frame_batches,
    timed_key_frame_batches,
    window_batches,
)
from stadet.datasets.clips.prefetch import prefetch
from stadet.datasets.clips.resample import LiveResampler, same_rate
from stadet.datasets.clips.timing import Rate, check_rate, rate_text, used_timing
from stadet.detect.clock import Clock
from stadet.detect.detector import Detector
from stadet.detect.inference import InferenceConfig, detect
from stadet.detect.structures import Detections
from stadet.detect.tiling import detect_tiled, tile_views
from stadet.detect.view import View
from stadet.engine.errors import UserError
from stadet.recurrent_yolo.streaming import SceneCuts, reset_at_cuts
from stadet.tools.inference.detectors import DetectorFile
from stadet.tools.inference.runtimes import RuntimeOptions, prepare_model


class Predictor:
    """A detector with the settings of its use: frames in, detections out.

    forget: the recurrent cells start from nothing at every frame, while differences to earlier
    frames stay, which shows what memory contributes. scene_cuts: everything earlier is forgotten
    at a frame where this share of the colours changes (`recurrent_yolo.streaming.SceneCuts`).
    UserError for either on a model that does not use earlier frames.
    """

    def __init__(
        self,
        detector: DetectorFile,
        device: torch.device,
        *,
        runtime: RuntimeOptions | None = None,
        window: int = 8,
        score_floor: float | None = None,
        tiles: tuple[int, int] | None = None,
        forget: bool = False,
        scene_cuts: float | None = None,
        fps: Rate = None,
    ) -> None:
        runtime = runtime or RuntimeOptions()
        if forget:
            _forget(detector)
        self.detector, self.device, self.precision = detector, device, runtime.autocast
        self.model = prepare_model(detector, runtime, device)
        self.cuts = None if scene_cuts is None else _scene_cuts(self.model, scene_cuts)
        if tiles is not None and not (
            isinstance(tiles, (tuple, list)) and len(tiles) == 2 and min(tiles) >= 1
        ):
            raise UserError(f"--tiles: expected rows and columns of at least 1, found {tiles}")
        self.tiles = tiles
        wanted = check_rate(fps, "--fps")
        self.wanted_fps = wanted if isinstance(wanted, float) else None
        self.timing = used_timing(detector.timing, wanted)
        # a model that counts its frames in steps gets whole ones
        self.period = self.model.period
        self.window = -(-window // self.period) * self.period
        if runtime.feature_bank:
            self.window = self.period
        self.config: InferenceConfig = detector.config.inference
        if score_floor is not None:
            self.config = replace(self.config, score_floor=score_floor)
        if tiles and self.model.context_frames != 0:
            raise UserError(
                "--tiles: expected a frame detector, found one that uses earlier frames"
            )

    def shown_fps(self, clock: Clock | None) -> float | None:
        """Frames a second at which the model is shown footage of this clock (None: of times known
        only as they come); None: every frame as it comes."""
        timing, model = self.timing, self.model
        fps = timing.stream_fps if model.follows_streams else timing.fps
        if fps is None or model.context_frames == 0:
            return None
        return None if clock is not None and same_rate(clock, fps) else fps

    def rate_note(self, clock: Clock | None) -> str | None:
        """Line about the rate at which the model is shown such footage."""
        fps = self.shown_fps(clock)
        if fps is None:
            return None
        rate = "its frames" if clock is None else f"{rate_text(clock)} fps,"
        chosen = self.detector.timing is not None and self.timing.fps == self.detector.timing.fps
        why = "as in training (--fps native takes every frame)" if chosen else "as asked for"
        return f"{rate} shown to the model at {fps:.4g} fps {why}"

    def frames_before(self, start: int, clock: Clock | None = None) -> int:
        """First frame to show so that the answers from `start` on are those of a whole run."""
        context = self.model.context_frames
        fps = None if clock is None else self.shown_fps(clock)
        if clock is not None and fps is not None and context is not None:
            if self.model.follows_streams:
                return 0  # ticks are counted from the first frame
            return max(0, int(clock.frame_at(clock.seconds(start) - context / fps)) - 2)
        return 0 if context is None else max(0, start - context) // self.period * self.period

    def __call__(
        self,
        frames: Iterable[tuple[int, np.ndarray]],
        video: str,
        size: tuple[int, int],
        *,
        live: bool = False,
        clock: Clock | Callable[[int], float | None] | None = None,
    ) -> Iterator[tuple[int, Detections]]:
        """(frame index, (H, W, 3) uint8 RGB) of one stream in order to (frame index, detections).

        size: (height, width) of the frames. Constant memory on endless streams.
        live: each frame is answered before the next one is asked for, which is slower.
        clock: when the frames are shown, or the seconds of a frame that has just come; footage at
        another rate than the model's is then resampled (`datasets.clips.resample`), except that a
        live stream's frames must come at the model's rate. None: frames as they come.
        """
        window = 1 if live else self.window
        if self.tiles:
            yield from self._tiled(frames, video, size)
            return
        data, model = self.detector.config.data, self.model
        view = View.fit(size, data.size, data.resize)
        known = clock if isinstance(clock, Clock) else None
        fps = None if clock is None else self.shown_fps(known)
        resampler = None
        if fps is not None and model.follows_streams and not live:
            resampler = LiveResampler(fps)
            frames = resampler.shown(_timed(frames, clock))
        if model.predicts == "every_frame":
            batches = window_batches(frames, video, view, window)
            if self.cuts is not None:
                batches = reset_at_cuts(batches, self.cuts)
        else:
            clip = (video, view, model.clip_length, window, model.clip_step)
            if fps is None:
                batches = key_frame_batches(frames, *clip)
            else:
                batches = timed_key_frame_batches(_timed(frames, clock, fps), *clip)
        if not live:
            batches = prefetch(batches)  # decoding continues while the network works
        found = detect(model, batches, self.config, self.device, precision=self.precision)
        answers = ((frame, detections) for _, frame, detections in found)
        yield from answers if resampler is None else resampler.answers(answers)

    def _tiled(
        self, frames: Iterable[tuple[int, np.ndarray]], video: str, size: tuple[int, int]
    ) -> Iterator[tuple[int, Detections]]:
        def detect_one(image: np.ndarray, view: View) -> Detections:
            batch = [image_batch(image, video, view)]
            model, config = self.model, self.config
            ((_, _, found),) = detect(model, batch, config, self.device, precision=self.precision)
            return found

        rows, columns = self.tiles or (1, 1)
        tile = (-(-size[0] * 4 // (3 * rows + 1)), -(-size[1] * 4 // (3 * columns + 1)))
        views = tile_views(size, tile, self.detector.config.data.size)
        for index, image in frames:
            yield index, detect_tiled(image, views, detect_one, **asdict(self.config))


def _timed(
    frames: Iterable[tuple[int, np.ndarray]],
    clock: Clock | Callable[[int], float | None],
    scale: float = 1.0,
) -> Iterator[tuple[int, float, np.ndarray]]:
    """(index, seconds * scale, image); a frame without a time is an error of the caller."""
    seconds = clock.seconds if isinstance(clock, Clock) else clock
    for index, image in frames:
        second = seconds(index)
        if second is None:
            raise ValueError(f"frame {index}: expected its time, found none")
        yield index, float(second) * scale, image


def _forget(detector: DetectorFile) -> None:
    from stadet.recurrent_yolo.temporal import TemporalBlock

    blocks = [m for m in detector.model.modules() if isinstance(m, TemporalBlock)]
    if not blocks:
        raise UserError("--forget: expected a recurrent detector, found one without memory")
    for block in blocks:
        block.carry = False


def _scene_cuts(model: Detector, share: float) -> SceneCuts:
    if not model.follows_streams:
        raise UserError("--scene-cuts: expected a detector with memory, found one without")
    return SceneCuts(share)
