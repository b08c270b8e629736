"""Recurrent YOLO: a YOLO detector with memory between its parts."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal

from torch import Tensor, nn

from stadet.detect.batch import Predictions, normalise_frames
from stadet.detect.detector import Detector
from stadet.detect.yolo.staged import PARTS, StagedDetector
from stadet.engine.errors import UserError
from stadet.engine.optimise import freeze
from stadet.recurrent_yolo.state import BlockState
from stadet.recurrent_yolo.temporal import MemoryConfig, TemporalBlock

Placement = Literal["backbone", "neck", "head"]
LevelStates = dict[str, BlockState]  # by the level's number


class RecurrentYOLO(Detector):
    """A `StagedDetector` whose features pass through temporal blocks.

    detector: usually already trained; it becomes a part of this model, weights and all. With the
    residual memory (the default) the model's maps are exactly the detector's before training.
    placement: where the blocks are: on the backbone's features, on the neck's before the head, or
    on the head's before the last convolution (as in the restaurant report). levels: which levels
    have one (0 = finest), None = all. network_size: (height, width), needed by Hadamard peepholes
    only.

    The rivals are configurations: `carry=False` (differences without memory), with
    `differences=()` too (nothing from other frames), and the report's recipe: placement `"head"`,
    `MemoryConfig(depthwise=False, hidden=1, peepholes="conv", differences=(), residual=False)`.
    """

    def __init__(
        self,
        detector: StagedDetector,
        memory: MemoryConfig | None = None,
        *,
        placement: Placement = "neck",
        levels: Sequence[int] | None = None,
        clip_length: int = 8,
        network_size: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        if placement not in PARTS:
            raise UserError(f"placement: expected one of {', '.join(PARTS)}, found {placement!r}")
        channels = getattr(detector, f"{placement}_channels")
        if not channels:
            raise UserError(
                f"placement: {type(detector).__name__} has room for a memory before its head only, "
                f"found {placement!r}; use neck"
            )
        levels = tuple(range(len(channels))) if levels is None else tuple(levels)
        if not set(levels) <= set(range(len(channels))):
            raise UserError(
                f"levels: expected some of {list(range(len(channels)))}, found {list(levels)}"
            )
        memory = memory or MemoryConfig()
        self.detector, self.placement, self.clip_length = detector, placement, clip_length
        self.context_frames = None if memory.carry else max(memory.differences, default=0)
        self.memory = nn.ModuleDict()
        for level in levels:
            stride = detector.strides[level]
            size = tuple(side // stride for side in network_size) if network_size else None
            self.memory[str(level)] = TemporalBlock(channels[level], memory, size)

    def forward(
        self,
        frames: Tensor,
        state: LevelStates | None = None,
        starts_stream: Tensor | None = None,
        valid: Tensor | None = None,
    ) -> tuple[list[Tensor], LevelStates]:
        """Frames (B, T, 3, H, W), uint8 or in [0, 1], to the detector's maps of B*T images.

        state: what the call on the frames before returned, None at the beginning. starts_stream:
        lanes (B,) bool that begin another stream, or (B, T) where one may begin at any frame.
        valid: (B, T) bool; other frames leave the state alone and their maps mean nothing. Every
        frame but for batch norm in training counts for its own lane only.
        Raises UserError for a size the strides do not divide or a state that does not fit.
        """
        images = normalise_frames(frames.flatten(0, 1), next(self.parameters()).dtype)
        self.detector.check_size(images.shape[-2:])
        self._check_state(state)
        features = self.detector.forward_backbone(images)
        if self.placement == "backbone":
            features, state = self._remember(features, frames, state, starts_stream, valid)
        features = self.detector.forward_neck(features)
        if self.placement == "neck":
            features, state = self._remember(features, frames, state, starts_stream, valid)
        features = self.detector.forward_head_features(features)
        if self.placement == "head":
            features, state = self._remember(features, frames, state, starts_stream, valid)
        return self.detector.forward_output(features), state

    def decode(self, maps: Sequence[Tensor]) -> Predictions:
        """Maps to boxes in network pixels with final scores, not yet suppressed."""
        return self.detector.decode(maps)

    def single_step(self, lanes: int, size: tuple[int, int]) -> tuple[Detector, dict[str, Tensor]]:
        """See `Detector.single_step`."""
        from stadet.recurrent_yolo.single_step import SingleStep

        step = SingleStep(self)
        return step, step.initial_state(lanes, size)

    def freeze(self, parts: Collection[str]) -> RecurrentYOLO:
        """Fix parts of the detector ("backbone", "neck", "head"), batch norm statistics too.

        The memory always trains. Call before the optimiser is built. UserError for an unknown part.
        """
        if not set(parts) <= set(PARTS):
            raise UserError(f"freeze: expected some of {', '.join(PARTS)}, found {sorted(parts)}")
        for part in parts:
            for module in self.detector.modules_of(part):
                freeze(module)
        return self

    def _remember(
        self,
        features: list[Tensor],
        frames: Tensor,
        state: LevelStates | None,
        starts_stream: Tensor | None,
        valid: Tensor | None,
    ) -> tuple[list[Tensor], LevelStates]:
        features, after = list(features), {}
        for level, block in self.memory.items():
            x = features[int(level)].unflatten(0, frames.shape[:2])  # (B, T, C, h, w)
            own = None if state is None else state[level]
            y, after[level] = block(x, own, starts_stream, valid)
            features[int(level)] = y.flatten(0, 1)
        return features, after

    def _check_state(self, state: LevelStates | None) -> None:
        if state is not None and (not isinstance(state, dict) or set(state) != set(self.memory)):
            found = sorted(state) if isinstance(state, dict) else type(state).__name__
            raise UserError(
                f"recurrent state: expected one of levels {list(self.memory)}, found {found}; it "
                "belongs to another model: start the stream without it"
            )
