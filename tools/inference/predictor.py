"""A detector with the settings of its use: a stream of frames in, detections out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace

import numpy as np
import torch

from stadet.datasets.clips.live_batches import image_batch, key_frame_batches, window_batches
from stadet.datasets.clips.prefetch import prefetch
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
    ) -> None:
        runtime = runtime or RuntimeOptions()
        if forget:
            _forget(detector)
        self.detector, self.device, self.precision = detector, device, runtime.autocast
        self.model = prepare_model(detector, runtime, device)
        self.cuts = None if scene_cuts is None else _scene_cuts(self.model, scene_cuts)
        self.tiles = tiles
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

    def frames_before(self, start: int) -> int:
        """First frame to show so that the answers from `start` on are those of a whole run."""
        context = self.model.context_frames
        return 0 if context is None else max(0, start - context) // self.period * self.period

    def __call__(
        self,
        frames: Iterable[tuple[int, np.ndarray]],
        video: str,
        size: tuple[int, int],
        *,
        live: bool = False,
    ) -> Iterator[tuple[int, Detections]]:
        """(frame index, (H, W, 3) uint8 RGB) of one stream in order to (frame index, detections).

        size: (height, width) of the frames. Constant memory on endless streams.
        live: each frame is answered before the next one is asked for, which is slower.
        """
        window = 1 if live else self.window
        if self.tiles:
            yield from self._tiled(frames, video, size)
            return
        data, model = self.detector.config.data, self.model
        view = View.fit(size, data.size, data.resize)
        if model.predicts == "every_frame":
            batches = window_batches(frames, video, view, window)
            if self.cuts is not None:
                batches = reset_at_cuts(batches, self.cuts)
        else:
            batches = key_frame_batches(
                frames, video, view, model.clip_length, window, model.clip_step
            )
        if not live:
            batches = prefetch(batches)  # decoding continues while the network works
        answers = detect(model, batches, self.config, self.device, precision=self.precision)
        for _, frame, detections in answers:
            yield frame, detections

    def _tiled(
        self, frames: Iterable[tuple[int, np.ndarray]], video: str, size: tuple[int, int]
    ) -> Iterator[tuple[int, Detections]]:
        def detect_one(image: np.ndarray, view: View) -> Detections:
            batch = [image_batch(image, video, view)]
            model, config = self.model, self.config
            ((_, _, found),) = detect(model, batch, config, self.device, precision=self.precision)
            return found

        tile = tuple(-(-side * 4 // (3 * n + 1)) for side, n in zip(size, self.tiles, strict=True))
        views = tile_views(size, tile, self.detector.config.data.size)
        for index, image in frames:
            yield index, detect_tiled(image, views, detect_one, **asdict(self.config))


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
