"""Samplers: the frames of an epoch, distributed over processes.

An epoch's plan is a pure function of (data, seed, epoch); every rank makes the same plan and takes
its share, the same number of batches for each, so nothing depends on the number of workers and a
run resumes at any batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from torch.utils.data import Sampler

from stadet.datasets.clips.frame_choice import FrameChoice
from stadet.datasets.clips.resample import clip_by_time
from stadet.detect.batch import PADDING, ClipRequest
from stadet.detect.structures import AnnotationSet


@dataclass(frozen=True)
class Share:
    """Of `world` processes that train together, number `rank`."""

    rank: int = 0
    world: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.world:
            raise ValueError(f"expected 0 <= rank < world, found {self.rank} of {self.world}")


ALONE = Share()


class Plan(Protocol):
    """A list of requests for each epoch, the same length in all of them."""

    def __len__(self) -> int: ...

    def requests(self, epoch: int) -> Sequence[ClipRequest]: ...


class BatchSampler(Sampler[list[ClipRequest]]):
    """Deals a plan's requests to batches of `batch_size` on each rank of `share`.

    Every request of the epoch goes to exactly one rank. All batches but the last are full; where
    the last has too few for every rank, a rank gets one clip of padding, which is never looked at.
    """

    def __init__(self, plan: Plan, batch_size: int, share: Share = ALONE) -> None:
        if batch_size < 1:
            raise ValueError(f"expected a batch size of at least 1, found {batch_size}")
        self.plan = plan
        self.batch_size = batch_size
        self.share = share
        self._epoch, self._start = 0, 0

    def __len__(self) -> int:
        """Batches a rank and epoch, from its beginning."""
        return -(-len(self.plan) // (self.batch_size * self.share.world))

    def set_epoch(self, epoch: int, start: int = 0) -> None:
        """Plan `epoch`; the next iteration begins at its batch number `start`.

        The position is the training loop's to count: with workers, batches are drawn ahead.
        """
        self._epoch, self._start = epoch, start

    def __iter__(self) -> Iterator[list[ClipRequest]]:
        requests = self.plan.requests(self._epoch)
        stride = self.batch_size * self.share.world
        start, self._start = self._start, 0
        for first in range(start * stride, len(requests), stride):
            batch = requests[first : first + stride][self.share.rank :: self.share.world]
            yield list(batch) or [padding_like(requests[first])]


def padding_like(request: ClipRequest) -> ClipRequest:
    """A clip of as many frames of padding, which begins a stream and is never looked at."""
    return ClipRequest(request.video, (PADDING,) * len(request.frames))


class FramePlan:
    """Single looked-at frames in random order, for frame detectors.

    augment: give each request a seed for its augmentation, its own in every epoch.
    """

    def __init__(self, choice: FrameChoice, *, seed: int = 0, augment: bool = True) -> None:
        self.choice = choice
        self.seed = seed
        self.augment = augment

    def __len__(self) -> int:
        return len(self.choice)

    def requests(self, epoch: int) -> list[ClipRequest]:
        rng = np.random.default_rng([self.seed, epoch])
        chosen = self.choice.draw(rng)
        seeds = rng.integers(2**31, size=len(chosen)).tolist()
        return [
            self._request(video, frame, rng, seed if self.augment else None)
            for (video, frame), seed in zip(chosen, seeds, strict=True)
        ]

    def _request(
        self, video: str, frame: int, rng: np.random.Generator, augment_seed: int | None
    ) -> ClipRequest:
        return ClipRequest(video, (frame,), augment_seed=augment_seed)


class KeyFramePlan(FramePlan):
    """Clips of `clip_length` frames that end at a looked-at key frame, for YOWO.

    usable: for each video the (F,) bool frames that a clip may show (a side of a split); before
    the key frame's run of usable frames, its first frame is repeated; steps: distances between
    frames, one drawn at random for each clip (YOWO trains with 1 and 2); reverse_share: chance of a
    clip that begins at the key frame and is played from its end, so that it ends there too; places:
    for videos at another rate than the model's, see `key_frame_clip`.
    """

    def __init__(
        self,
        choice: FrameChoice,
        clip_length: int,
        usable: Mapping[str, np.ndarray],
        *,
        steps: Sequence[int] = (1, 2),
        reverse_share: float = 0.0,
        places: Mapping[str, np.ndarray] | None = None,
        seed: int = 0,
        augment: bool = True,
    ) -> None:
        super().__init__(choice, seed=seed, augment=augment)
        self.clip_length = clip_length
        self.usable = usable
        self.places = places or {}
        self.steps = tuple(steps)
        self.reverse_share = reverse_share

    def _request(
        self, video: str, frame: int, rng: np.random.Generator, augment_seed: int | None
    ) -> ClipRequest:
        step = self.steps[int(rng.integers(len(self.steps)))]
        usable, places = self.usable[video], self.places.get(video)
        if rng.random() >= self.reverse_share:
            frames = key_frame_clip(frame, self.clip_length, step, usable, places)
            return ClipRequest(video, frames, augment_seed=augment_seed)
        last = len(usable) - 1  # the clip of the film that is played from its end
        mirrored = key_frame_clip(
            last - frame,
            self.clip_length,
            step,
            usable[::-1],
            None if places is None else places[-1] - places[::-1],
        )
        frames = tuple(last - index for index in mirrored)
        return ClipRequest(video, frames, augment_seed=augment_seed, reverse_time=True)


def key_frame_clip(
    frame: int,
    clip_length: int,
    step: int = 1,
    usable: np.ndarray | None = None,
    places: np.ndarray | None = None,
) -> tuple[int, ...]:
    """Indices of the clip that ends at `frame`, edge replicated at the start of its usable run.

    (T,) = frame - (T - 1) * step, .., frame - step, frame; usable (F,) bool, all by default.
    places (F,): when each frame of a video at another rate is shown, counted in frames of the
    model's (seconds * its fps); the clip's frames are then the nearest ones.
    """
    first = 0
    if usable is not None:
        barred = np.flatnonzero(~np.asarray(usable[: frame + 1], dtype=bool))
        first = min(int(barred[-1]) + 1, frame) if len(barred) else 0
    if places is not None:
        span = places[frame] - (clip_length - 1) * step
        first = max(first, int(np.searchsorted(places, span, side="right")) - 2)
        return tuple((first + clip_by_time(places[first : frame + 1], clip_length, step)).tolist())
    return tuple(max(first, frame - back * step) for back in range(clip_length - 1, -1, -1))


class FixedPlan:
    """The same requests in the same order in every epoch: evaluation."""

    def __init__(self, requests: Sequence[ClipRequest]) -> None:
        self._requests = requests

    def __len__(self) -> int:
        return len(self._requests)

    def requests(self, epoch: int) -> Sequence[ClipRequest]:
        return self._requests


def frame_sampler(
    annotations: AnnotationSet,
    batch_size: int,
    *,
    negatives: float | None = 1.0,
    balance: float = 0.0,
    seed: int = 0,
    augment: bool = True,
    share: Share = ALONE,
) -> BatchSampler:
    """Batches of single frames; see `FrameChoice` for `negatives` and `balance`."""
    choice = FrameChoice(annotations, negatives=negatives, balance=balance)
    return BatchSampler(FramePlan(choice, seed=seed, augment=augment), batch_size, share)


def key_frame_sampler(
    annotations: AnnotationSet,
    clip_length: int,
    batch_size: int,
    *,
    steps: Sequence[int] = (1, 2),
    reverse_share: float = 0.0,
    usable: Mapping[str, np.ndarray] | None = None,
    places: Mapping[str, np.ndarray] | None = None,
    negatives: float | None = 1.0,
    balance: float = 0.0,
    seed: int = 0,
    augment: bool = True,
    share: Share = ALONE,
) -> BatchSampler:
    """Batches of key-frame clips; see `KeyFramePlan` and `FrameChoice`. usable: all by default."""
    choice = FrameChoice(annotations, negatives=negatives, balance=balance)
    if usable is None:
        usable = {video.name: np.ones(video.num_frames, dtype=bool) for video in annotations}
    plan = KeyFramePlan(
        choice,
        clip_length,
        usable,
        steps=steps,
        reverse_share=reverse_share,
        places=places,
        seed=seed,
        augment=augment,
    )
    return BatchSampler(plan, batch_size, share)
