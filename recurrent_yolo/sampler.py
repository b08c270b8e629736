"""Hybrid clip shuffle: clips in random order, frames in order, in lanes that carry a state.

A process has some lanes (places in its batch). Each lane runs through its own clips, window after
window; a lane's windows follow each other in successive batches, so that the state a lane left in
one batch belongs to the window in the same place of the next.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from stadet.detect.batch import PADDING, ClipRequest
from stadet.engine.dealing import deal_longest_first
from stadet.engine.errors import UserError
from stadet.recurrent_yolo.sequences import ActionSequence


@dataclass
class SamplerConfig:
    """Streaming of sequences through the model.

    With random_share 0, reverse 0 and stride 1, every frame of every sequence is shown exactly once
    an epoch.

    Attributes:
        lanes: sequences side by side in a batch.
        window: frames of each in one step.
        stride: take every n-th frame.
        random_share: share of the lanes that show a random window each time, as in RVT (arXiv
            2212.05598).
        reverse: probability that a sequence runs backwards, where its labels can be exchanged.
        hold: share of the shown frames with boxes that repeat the one before, as if the hand had
            stopped on its way; teaches the memory what footage with few such stops does not.
        hold_frames: least and most repeats of one frame.
        augment: augment the frames of a sequence alike.
    """

    lanes: int = 8
    window: int = 8
    stride: int = 1
    random_share: float = 0.0
    reverse: float = 0.0
    hold: float = 0.0
    hold_frames: tuple[int, int] = (4, 16)
    augment: bool = True

    def __post_init__(self) -> None:
        if min(self.lanes, self.window, self.stride) < 1:
            raise UserError(
                f"sampler: expected lanes, window and stride >= 1, found {self.lanes}, "
                f"{self.window}, {self.stride}"
            )
        self.hold_frames = (int(self.hold_frames[0]), int(self.hold_frames[1]))
        if not 0 <= self.hold < 1 or not 1 <= self.hold_frames[0] <= self.hold_frames[1]:
            raise UserError(
                f"sampler: expected hold in [0, 1) and hold_frames [least, most] from 1, found "
                f"{self.hold} and {list(self.hold_frames)}"
            )
        if not 0 <= self.random_share < 1 or not 0 <= self.reverse <= 1:
            raise UserError(
                f"sampler: expected random_share in [0, 1) and reverse in [0, 1], found "
                f"{self.random_share} and {self.reverse}"
            )
        if self.streaming_lanes < 1:
            raise UserError(
                f"sampler: random_share {self.random_share} of {self.lanes} lanes leaves none to "
                "stream; take more lanes or a smaller share"
            )

    @property
    def streaming_lanes(self) -> int:
        return self.lanes - round(self.random_share * self.lanes)


@dataclass(frozen=True)
class _Showing:
    """One run through a sequence: its frames in the order they are shown."""

    video: str
    frames: Sequence[int]
    reverse: bool
    augment_seed: int | None
    first_step: int


class HybridClipSampler:
    """A batch sampler over clips: yields, for each step, one `ClipRequest` per lane.

    A pure function of (sequences, config, seed, epoch, rank, world): every process plans the epoch
    of all of them. Clips are packed longest first onto the lane with the least to do, so that lanes
    end at nearly the same time and every epoch has the same number of steps; the order within each
    lane, and which lane it is, are shuffled. A lane with nothing left shows padding. Random lanes
    come after the streaming ones in a batch and start a stream each time.

    random_from: where random windows come from (default: the sequences).
    boxes: for each video (F,) bool, the frames with boxes, which `hold` repeats.
    Raises UserError without sequences, or for a rank outside the world.
    """

    def __init__(
        self,
        sequences: Sequence[ActionSequence],
        config: SamplerConfig,
        *,
        seed: int = 0,
        rank: int = 0,
        world: int = 1,
        random_from: Sequence[ActionSequence] | None = None,
        boxes: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        if not sequences:
            raise UserError(
                "sampler: expected at least one action sequence, found none; are there labelled "
                "frames on the training side?"
            )
        if not 0 <= rank < world:
            raise UserError(f"sampler: expected a rank below {world}, found {rank}")
        self.config, self.seed, self.rank, self.world = config, seed, rank, world
        self.boxes = boxes or {}
        self.sequences = [s for s in sequences for _ in range(s.repeats)]
        self.random_from = list(random_from or sequences)
        self._counts = np.array([max(1, len(s) // config.stride) for s in self.sequences])
        self._windows = -(-self._counts // config.window)
        self._steps = max(sum(self._windows[list(c)]) for c in self._pack(self._windows))
        self.set_epoch(0)

    def __len__(self) -> int:
        """Batches an epoch, the same on every rank and in every epoch."""
        return int(self._steps)

    def set_epoch(self, epoch: int, start: int = 0) -> None:
        """Plan `epoch`; the next iteration begins at its batch number `start`."""
        self.epoch, self.start = epoch, start
        self._lanes = self._plan()

    def __iter__(self) -> Iterator[list[ClipRequest]]:
        streaming = self.config.streaming_lanes
        for step in range(self.start, len(self)):
            batch = [self._window(self._lanes[lane], step) for lane in range(streaming)]
            yield batch + [self._random(step, n) for n in range(self.config.lanes - streaming)]

    def _pack(self, windows: np.ndarray) -> list[list[int]]:
        """Clips for each lane of all processes, given their windows, longest first."""
        return deal_longest_first(windows.tolist(), self.world * self.config.streaming_lanes)

    def _plan(self) -> list[list[_Showing]]:
        """The showings of each of this process's streaming lanes, in order."""
        config, count = self.config, len(self.sequences)
        rng = np.random.default_rng([self.seed, self.epoch])
        order = rng.permutation(count)  # which of the clips of one length comes first
        packed = [[int(order[i]) for i in lane] for lane in self._pack(self._windows[order])]
        for lane in packed:
            rng.shuffle(lane)
        rng.shuffle(packed)
        seeds = rng.integers(2**62, size=count)
        backwards = rng.random(count) < config.reverse
        phases = rng.random(count)
        mine = packed[self.rank * config.streaming_lanes :][: config.streaming_lanes]
        lanes = []
        for lane in mine:
            step, showings = 0, []
            for clip in lane:
                sequence = self.sequences[clip]
                reverse = bool(backwards[clip]) and sequence.reversible
                frames = self._frames(sequence, int(self._counts[clip]), phases[clip])
                ordered = frames[::-1] if reverse else frames
                showings.append(
                    _Showing(
                        sequence.video,
                        self._with_stops(sequence.video, ordered, int(seeds[clip])),
                        reverse,
                        int(seeds[clip]) if config.augment else None,
                        step,
                    )
                )
                step += int(self._windows[clip])
            lanes.append(showings)
        return lanes

    def _frames(self, sequence: ActionSequence, count: int, phase: float) -> range:
        """`count` frames, `stride` apart, from a place that leaves room for all of them."""
        stride = self.config.stride
        room = len(sequence) - 1 - (count - 1) * stride
        first = sequence.start + int(phase * (room + 1))
        return range(first, first + count * stride, stride)

    def _with_stops(self, video: str, frames: range, seed: int) -> Sequence[int]:
        """As many of `frames` in their order, some of those with boxes repeated: the hand stops.

        What the repeats push out is cut off at the two ends, by a draw.
        """
        config, boxes = self.config, self.boxes.get(video)
        if not config.hold or boxes is None:
            return frames
        rng = np.random.default_rng([seed, 1])
        least, most = config.hold_frames
        shown = np.asarray(frames)
        # a stop adds (least + most) / 2 frames, so that stops are `hold` of what is then shown
        chance = 2 * config.hold / ((1 - config.hold) * (least + most))
        stops = boxes[shown] & (rng.random(len(shown)) < chance)
        times = np.where(stops, 1 + rng.integers(least, most + 1, len(shown)), 1)
        longer = np.repeat(shown, times)
        first = int(rng.integers(0, len(longer) - len(shown) + 1))
        return tuple(longer[first : first + len(shown)].tolist())

    def _window(self, lane: list[_Showing], step: int) -> ClipRequest:
        place = bisect.bisect_right(lane, step, key=lambda s: s.first_step) - 1
        showing = lane[place] if lane else None
        at = (step - showing.first_step) * self.config.window if showing else 0
        frames = tuple(showing.frames[at : at + self.config.window]) if showing else ()
        if showing is None or not frames:  # the lane has no clips left
            video = showing.video if showing else self.sequences[0].video
            return ClipRequest(video, (PADDING,) * self.config.window)
        return self._request(showing, frames, starts_stream=at == 0)

    def _random(self, step: int, lane: int) -> ClipRequest:
        """A fresh window of `window` frames, from all frames alike as far as windows fit."""
        config = self.config
        rng = np.random.default_rng([self.seed, self.epoch, step, self.rank, lane])
        lengths = np.array([len(s) for s in self.random_from], dtype=float)
        sequence = self.random_from[rng.choice(len(lengths), p=lengths / lengths.sum())]
        count = min(config.window, max(1, len(sequence) // config.stride))
        frames = self._frames(sequence, count, rng.random())
        reverse = rng.random() < config.reverse and sequence.reversible
        seed = int(rng.integers(2**62)) if config.augment else None
        showing = _Showing(sequence.video, frames, reverse, seed, step)
        return self._request(showing, tuple(frames[::-1] if reverse else frames), True)

    def _request(
        self, showing: _Showing, frames: tuple[int, ...], starts_stream: bool
    ) -> ClipRequest:
        padding = (PADDING,) * (self.config.window - len(frames))
        return ClipRequest(
            showing.video, frames + padding, starts_stream, showing.augment_seed, showing.reverse
        )
