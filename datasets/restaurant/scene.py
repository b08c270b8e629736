"""A recording of one counter: its script, its cameras, its frames and its annotations."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from stadet.datasets.restaurant.annotator import annotate
from stadet.datasets.restaurant.arm import ArmPicture, Worker, paint_arm, reach_of
from stadet.datasets.restaurant.camera import Camera
from stadet.datasets.restaurant.classes import Look
from stadet.datasets.restaurant.config import FootageConfig
from stadet.datasets.restaurant.counter import MARGIN, paint_counter
from stadet.datasets.restaurant.layout import Layout
from stadet.datasets.restaurant.painter import rotate
from stadet.datasets.restaurant.script import Script
from stadet.detect.structures import VideoAnnotations

_DETAIL = 1.1  # canvas pixels a picture pixel, so that the camera's warp does not blur
_LIFT = (0.10, 0.16)  # offset of a hand's shadow in hand lengths

_SKINS = ((238, 196, 168), (222, 172, 138), (196, 142, 106), (150, 102, 74), (104, 70, 52))
_SLEEVES = ((42, 46, 58), (232, 232, 230), (112, 30, 38), (46, 92, 70), (64, 92, 142))
_GLOVES = ((74, 122, 198), (46, 46, 50), (226, 228, 230))


class Scene:
    """One recording of a counter from one or two views.

    name; layout; script: the actions of the workers; cameras: view name -> camera. Frames are
    painted when asked for and depend only on the configuration and the scene's number.
    """

    def __init__(
        self, config: FootageConfig, number: int = 0, script: Script | None = None
    ) -> None:
        """script: what happens, in place of the one that would be drawn."""
        self.config = config
        self.number = number
        self.name = f"counter{number:02d}"
        self.classes = config.class_set
        height, width = config.size
        streams = np.random.SeedSequence([config.seed, number]).spawn(5 + config.views)
        layout, story, look, paint, faults, *cameras = map(np.random.default_rng, streams)
        self.layout = Layout.draw(layout, width / height, config.hand, self.classes, config.variety)
        self.script = script or Script.draw(story, self.layout, self.classes, config)
        self.workers = _draw_workers(look)
        self._paint_seed, self._fault_seed = (int(r.integers(1 << 62)) for r in (paint, faults))
        self.cameras = {
            view: Camera.draw(
                rng,
                view,
                config.size,
                self.script.num_frames,
                config.fps,
                variety=config.variety,
                drift=config.drift,
                noise=config.noise,
            )
            for view, rng in zip(config.view_names, cameras, strict=True)
        }
        self._scale = _DETAIL * height  # canvas pixels a counter unit
        self._backgrounds: tuple[np.ndarray, np.ndarray] | None = None
        self._arms: dict[tuple[Look, int], ArmPicture] = {}
        self._on_stage = _index_by_frame(self.script)

    def __len__(self) -> int:
        return self.script.num_frames

    def video_name(self, view: str) -> str:
        return f"{self.name}_{view}"

    def annotations(self, view: str, *, imperfect: bool = False) -> VideoAnnotations:
        """The truth as seen from `view`; `imperfect`: as a hurried annotator would write it."""
        faults = np.random.default_rng(self._fault_seed) if imperfect else None
        return annotate(self, view, faults)

    def frames(self, view: str, start: int = 0, stop: int | None = None) -> Iterator[np.ndarray]:
        """(H, W, 3) uint8 RGB frames start, start + 1, ... of one view."""
        for index in range(start, len(self) if stop is None else stop):
            yield self.frame(view, index)

    def frames_of_views(self) -> Iterator[dict[str, np.ndarray]]:
        """Every frame from all views; the counter is painted once a frame."""
        for index in range(len(self)):
            canvas = self.canvas(index)
            yield {
                view: camera.shoot(canvas, self._scale, MARGIN, index)
                for view, camera in self.cameras.items()
            }

    def frame(self, view: str, index: int) -> np.ndarray:
        """(H, W, 3) uint8 RGB."""
        return self.cameras[view].shoot(self.canvas(index), self._scale, MARGIN, index)

    def canvas(self, index: int) -> np.ndarray:
        """The counter and all hands on frame `index` from straight above, before any camera."""
        if not 0 <= index < len(self):
            raise IndexError(f"{self.name}: frame {index} of {len(self)}")
        if self._backgrounds is None:
            rng = np.random.default_rng(self._paint_seed)
            self._backgrounds = paint_counter(rng, self.layout, self._scale)
        present = self._on_stage[index]
        looks = [appearance.performance.looks[index - appearance.start] for appearance in present]
        canvas = self._backgrounds[any(look.tool == "lever" for look in looks)].copy()
        for appearance, look in zip(present, looks, strict=True):
            performance, at = appearance.performance, index - appearance.start
            self._put_arm(
                canvas,
                self._arm(look, appearance.worker),
                performance.tip[at],
                performance.angle(at),
                performance.reach - reach_of(look),
            )
        return canvas

    def _arm(self, look: Look, worker: int) -> ArmPicture:
        if (look, worker) not in self._arms:
            pixels = self.layout.hand * self._scale
            length = (1.35 + MARGIN) / self.layout.hand
            self._arms[look, worker] = paint_arm(look, self.workers[worker], pixels, length)
        return self._arms[look, worker]

    def _put_arm(
        self, canvas: np.ndarray, arm: ArmPicture, tip: np.ndarray, angle: float, ahead: float
    ) -> None:
        """Blend an arm and its shadow into the canvas. ahead: hand lengths from focus to tip."""
        anchor = arm.focus - (0, ahead * arm.scale)
        turn = rotate(np.eye(2), angle).T  # columns: where the picture's axes point
        target = (tip + MARGIN) * self._scale
        lift = np.array(_LIFT) * arm.scale
        _darken(canvas, arm.shade, turn, anchor, target + lift)
        region = _region(canvas, arm.rgba.shape, turn, anchor, target)
        if region is None:
            return
        part, matrix = region
        shape = (part.shape[1], part.shape[0])
        warped = cv2.warpAffine(arm.rgba, matrix, shape, flags=cv2.INTER_LINEAR)
        through = cv2.cvtColor(255 - warped[..., 3], cv2.COLOR_GRAY2RGB)
        cv2.multiply(part, through, part, scale=1 / 255)
        cv2.add(part, np.ascontiguousarray(warped[..., :3]), part)


def _region(canvas, shape, turn, anchor, target):
    """The part of the canvas under a picture that is turned about `anchor` and put at `target`
    (pixels), and the matrix that warps the picture into it; None where they do not meet."""
    height, width = shape[:2]
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], dtype=np.float64)
    placed = (corners - anchor) @ turn.T + target
    limits = [canvas.shape[1], canvas.shape[0]]
    left, top = np.clip(np.floor(placed.min(0)).astype(int), 0, limits)
    right, bottom = np.clip(np.ceil(placed.max(0)).astype(int), 0, limits)
    if right <= left or bottom <= top:
        return None
    # pixel centres sit at index + 0.5
    shift = target - turn @ (anchor - 0.5) - [left, top] - 0.5
    return canvas[top:bottom, left:right], np.column_stack([turn, shift])


def _darken(canvas, shade, turn, anchor, target) -> None:
    region = _region(canvas, shade.shape, turn, anchor, target)
    if region is None:
        return
    part, matrix = region
    warped = cv2.warpAffine(shade, matrix, part.shape[1::-1], flags=cv2.INTER_LINEAR)
    cv2.multiply(part, cv2.cvtColor(255 - warped, cv2.COLOR_GRAY2RGB), part, scale=1 / 255)


def _index_by_frame(script: Script) -> list[list]:
    present: list[list] = [[] for _ in range(script.num_frames)]
    for appearance in script.appearances:
        for index in range(appearance.start, min(appearance.stop, script.num_frames)):
            present[index].append(appearance)
    return present


def _draw_workers(rng: np.random.Generator) -> tuple[Worker, Worker]:
    workers = []
    for _ in range(2):
        gloved = rng.uniform() < 0.4
        workers.append(
            Worker(
                _SKINS[rng.integers(len(_SKINS))],
                _SLEEVES[rng.integers(len(_SLEEVES))],
                _GLOVES[rng.integers(len(_GLOVES))] if gloved else None,
                left=bool(rng.uniform() < 0.4),
            )
        )
    return workers[0], workers[1]


def generate(config: FootageConfig) -> Iterator[Scene]:
    """The scenes of a configuration, in order; nothing is painted until frames are asked for."""
    for number in range(config.scenes):
        yield Scene(config, number)
