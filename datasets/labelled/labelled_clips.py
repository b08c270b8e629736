"""Labelled clips for training and evaluation: which frames, seen how, in which order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice

import numpy as np
import torch
from torch.utils.data import Dataset, Sampler

from stadet.datasets.clips.augment import AugmentConfig, draw_view, recolour
from stadet.datasets.clips.clip_dataset import ReadFrame, clip_pixels
from stadet.datasets.clips.samplers import BatchSampler
from stadet.datasets.label_maps import swap_order
from stadet.datasets.labelled.camera_motion import CameraMotionConfig, move_camera
from stadet.datasets.labelled.clip_sampling import SamplingConfig, evaluation_clips, training_clip
from stadet.datasets.labelled.labelled_video import ClassificationSet
from stadet.detect.batch import PADDING, ClipRequest
from stadet.detect.classification_batch import UNKNOWN, LabelledClip
from stadet.detect.view import View

Extra = Callable[[ClipRequest, np.ndarray], np.ndarray]


@dataclass(frozen=True, eq=False)
class Pixels:
    """Source of the frames of a set of videos.

    lengths: video -> number of frames; sizes: video -> (height, width); read_frame(video, index)
    -> (h, w, 3) uint8 RGB, the frame or a smaller copy of the whole of it (a cache).
    """

    lengths: Mapping[str, int]
    sizes: Mapping[str, tuple[int, int]]
    read_frame: ReadFrame


class LabelledClips(Dataset[LabelledClip]):
    """Maps a `ClipRequest` to a `LabelledClip`: reads, views and augments it, and moves its label.

    network_size: (height, width); resize: "letterbox" or "stretch"; augment, motion: of requests
    that carry a seed; reverses: classes that swap when time runs backwards; extras: more inputs of
    the model, name -> function of the request and its frames (T, H, W, 3) as seen. head: number of
    the data set in a model of several.
    """

    def __init__(
        self,
        data: ClassificationSet,
        pixels: Pixels,
        network_size: tuple[int, int],
        *,
        resize: str = "stretch",
        augment: AugmentConfig | None = None,
        motion: CameraMotionConfig | None = None,
        reverses: Mapping[str, str] | None = None,
        extras: Mapping[str, Extra] | None = None,
        head: int = 0,
    ) -> None:
        self.pixels = pixels
        self.network_size = tuple(network_size)
        self.resize = resize
        self.augment, self.motion = augment, motion
        self.extras = dict(extras or {})
        self.head = head
        self._label = {item.name: item.label for item in data.items}
        self._flip_order = swap_order(data.names, data.flip_labels, "flip_labels")
        self._reverse_order = swap_order(data.names, reverses or {}, "reverses")

    def __getitem__(self, request: ClipRequest) -> LabelledClip:
        view = View.fit(self.pixels.sizes[request.video], self.network_size, self.resize)
        rng = np.random.default_rng(request.augment_seed)
        augments = request.augment_seed is not None
        adjust = None
        if augments and self.augment is not None:
            view = draw_view(view, self.augment, rng)
            adjust = partial(recolour, config=self.augment, rng=rng)
        frames = clip_pixels(request, view, self.pixels.read_frame, adjust)  # (T, H, W, 3)
        if augments and self.motion is not None:
            frames = move_camera(frames, self.motion, rng)
        inputs = {"frames": torch.from_numpy(frames).permute(0, 3, 1, 2)}
        for name, extra in self.extras.items():
            inputs[name] = torch.from_numpy(extra(request, frames))
        label = self._label[request.video]
        if label != UNKNOWN:
            if view.flip:
                label = int(self._flip_order[label])
            if request.reverse_time:
                label = int(self._reverse_order[label])
        valid = any(index != PADDING for index in request.frames)
        return LabelledClip(inputs, label, request.video, valid, self.head)


class TrainingPlan:
    """Every video of a set in random order, `sampling.clips_a_video` clips each, for
    `stadet.datasets.clips.samplers.BatchSampler`.

    reverse_share: of the clips whose time runs backwards; balance: how strongly videos of rare
    classes are repeated (0 = each once, 1 = to the number of the most frequent class).
    """

    def __init__(
        self,
        data: ClassificationSet,
        lengths: Mapping[str, int],
        sampling: SamplingConfig,
        *,
        seed: int = 0,
        reverse_share: float = 0.0,
        balance: float = 0.0,
    ) -> None:
        self.lengths, self.sampling, self.seed = lengths, sampling, seed
        self.reverse_share = reverse_share
        counts = data.counts()
        self._videos: list[str] = []
        for item in data.items:
            times = 1.0
            if item.label != UNKNOWN:
                times = (counts.max() / counts[item.label]) ** balance
            self._videos += [item.name] * round(times)

    def __len__(self) -> int:
        return len(self._videos) * self.sampling.clips_a_video

    def requests(self, epoch: int) -> list[ClipRequest]:
        rng = np.random.default_rng([self.seed, epoch])
        requests = []
        for place in rng.permutation(len(self)):
            video, number = divmod(int(place), self.sampling.clips_a_video)
            name = self._videos[video]
            frames = training_clip(self.lengths[name], self.sampling, number, rng)
            backwards = bool(rng.random() < self.reverse_share)
            requests.append(
                ClipRequest(
                    name,
                    tuple(map(int, frames[::-1] if backwards else frames)),
                    augment_seed=int(rng.integers(2**31)),
                    reverse_time=backwards,
                )
            )
        return requests


def evaluation_requests(
    data: ClassificationSet, lengths: Mapping[str, int], sampling: SamplingConfig
) -> list[ClipRequest]:
    """The clips of every video whose answers are averaged, unaugmented and in order."""
    return [
        ClipRequest(item.name, tuple(map(int, frames)))
        for item in data.items
        for frames in evaluation_clips(lengths[item.name], sampling)
    ]


class SeveralSets(Dataset[LabelledClip]):
    """Clips of several data sets: (number of the set, request) -> `LabelledClip`."""

    def __init__(self, sets: Sequence[LabelledClips]) -> None:
        self.sets = list(sets)

    def __getitem__(self, key: tuple[int, ClipRequest]) -> LabelledClip:
        number, request = key
        return self.sets[number][request]


class AlternatingSampler(Sampler[list[tuple[int, ClipRequest]]]):
    """Alternate batches of two data sets (action-recognition report).

    An epoch ends when the largest set is through; smaller ones continue with their own next epoch.
    The plan is a pure function of the epoch, so that a run resumes at any batch.
    """

    def __init__(self, samplers: Sequence[BatchSampler]) -> None:
        self.samplers = list(samplers)
        self._rounds = max(map(len, self.samplers))
        self._epoch, self._start = 0, 0

    def __len__(self) -> int:
        return self._rounds * len(self.samplers)

    def set_epoch(self, epoch: int, start: int = 0) -> None:
        """Plan `epoch`; the next iteration begins at its batch number `start`."""
        self._epoch, self._start = epoch, start

    def __iter__(self) -> Iterator[list[tuple[int, ClipRequest]]]:
        streams = [self._stream(sampler) for sampler in self.samplers]
        start, self._start = self._start, 0
        rounds = (
            (number, batch)
            for batches in zip(*streams, strict=True)
            for number, batch in enumerate(batches)
        )
        for number, batch in islice(rounds, start, None):
            yield [(number, request) for request in batch]

    def _stream(self, sampler: BatchSampler) -> Iterator[list[ClipRequest]]:
        """The batches of one set in this epoch, over as many of its own epochs as that takes."""
        first = self._epoch * self._rounds
        batch = first
        while batch < first + self._rounds:
            own_epoch, position = divmod(batch, len(sampler))
            sampler.set_epoch(own_epoch, position)
            for requests in islice(sampler, first + self._rounds - batch):
                yield requests
                batch += 1
