"""`ClipDataset`: a request for frames in, a `Clip` as the network sees it out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Literal

import numpy as np
import torch
from torch.utils.data import Dataset

from stadet.datasets.clips.augment import AugmentConfig, draw_view, recolour, visible_boxes
from stadet.datasets.label_maps import swap_order
from stadet.detect.batch import PADDING, Clip, ClipRequest, Targets
from stadet.detect.structures import AnnotationSet
from stadet.detect.view import PAD_VALUE, View

ReadFrame = Callable[[str, int], np.ndarray]


class ClipDataset(Dataset[Clip]):
    """Maps a `ClipRequest` to a `Clip`: reads, views, augments once a clip, and moves the truth.

    annotations: truth, with `looked_at` masked to the side in use; read_frame(video, index) ->
    (h, w, 3) uint8 RGB: the frame or a smaller copy of the whole of it (a cache);
    network_size: (height, width); resize: keep the frame's shape on grey, or stretch it;
    augment: ranges of the augmentation of requests that carry a seed, None = none for any;
    flip_labels: classes that swap in a mirrored clip; reverses: classes that swap in a clip whose
    time runs backwards (the others keep their names, as "rolling" backwards is still rolling).
    ready: frames are read exactly as the network sees them without augmentation.
    UserError for a label map that names an unknown class or is not symmetric.
    """

    def __init__(
        self,
        annotations: AnnotationSet,
        read_frame: ReadFrame,
        network_size: tuple[int, int],
        *,
        resize: Literal["letterbox", "stretch"] = "letterbox",
        augment: AugmentConfig | None = None,
        flip_labels: Mapping[str, str] | None = None,
        reverses: Mapping[str, str] | None = None,
        ready: bool = False,
    ) -> None:
        self.annotations = annotations
        self.read_frame = read_frame
        self.network_size = network_size
        self.augment = augment
        self.resize, self.ready = resize, ready
        self._flip_order = swap_order(annotations.names, flip_labels or {}, "flip_labels")
        self._reverse_order = swap_order(annotations.names, reverses or {}, "reverses")

    def __getitem__(self, request: ClipRequest) -> Clip:
        video = self.annotations.videos[request.video]
        view = View.fit(video.size, self.network_size, self.resize)
        augment = self.augment if request.augment_seed is not None else None
        rng = np.random.default_rng(request.augment_seed)
        if augment is not None:
            view = draw_view(view, augment, rng)
        adjust = None if augment is None else partial(recolour, config=augment, rng=rng)
        frames = clip_pixels(request, view, self.read_frame, adjust, ready=self.ready)
        return Clip(
            frames=torch.from_numpy(frames).permute(0, 3, 1, 2),  # (T, C, H, W)
            targets=self._targets(request, view, augment),
            valid=torch.tensor([index != PADDING for index in request.frames]),
            starts_stream=request.starts_stream,
            view=view,
            video=request.video,
            frame_indices=torch.tensor(request.frames, dtype=torch.int64),
        )

    def _targets(self, request: ClipRequest, view: View, augment: AugmentConfig | None) -> Targets:
        video = self.annotations.videos[request.video]
        columns: list[tuple[np.ndarray, ...]] = []
        looked_at = np.zeros(len(request.frames), dtype=bool)
        for step, index in enumerate(request.frames):
            truth = video[index] if index != PADDING else None
            if truth is None:
                continue
            looked_at[step] = True  # also where every box has left the view: nothing to find there
            boxes, keep = visible_boxes(truth.boxes, view, augment.min_visible if augment else 0)
            columns.append(
                (boxes, truth.labels[keep], np.full(len(boxes), step), truth.ignored[keep])
            )
        no_boxes = (
            np.zeros((0, 4)),
            np.zeros((0, video.num_classes)),
            np.zeros(0, dtype=np.int64),
            np.zeros(0, dtype=bool),
        )
        boxes, labels, item, ignored = (
            np.concatenate(column) for column in zip(no_boxes, *columns, strict=True)
        )
        if view.flip:
            labels = labels[:, self._flip_order]
        if request.reverse_time:
            labels = labels[:, self._reverse_order]
        return Targets(
            boxes=torch.from_numpy(boxes.astype(np.float32)),
            labels=torch.from_numpy(labels.astype(np.float32)),
            item=torch.from_numpy(item),
            looked_at=torch.from_numpy(looked_at),
            ignored=torch.from_numpy(ignored),
        )


def clip_pixels(
    request: ClipRequest,
    view: View,
    read_frame: ReadFrame,
    adjust: Callable[[np.ndarray], np.ndarray] | None = None,
    *,
    ready: bool = False,
) -> np.ndarray:
    """(T, H, W, 3) uint8 as `view` sees the request's frames; padding is grey.

    A frame that occurs twice is read once. adjust: what is done to the frames that were read, all
    at once. ready: frames are read as the view sees them.
    """
    wanted = sorted(set(request.frames) - {PADDING})
    out = np.full((len(request.frames), *view.network_size, 3), PAD_VALUE, dtype=np.uint8)
    if not wanted:
        return out
    images = (read_frame(request.video, index) for index in wanted)
    seen = np.stack([image if ready else view.apply(image) for image in images])
    if adjust is not None:
        seen = adjust(seen)
    place = {index: row for row, index in enumerate(wanted)}
    for step, index in enumerate(request.frames):
        if index != PADDING:
            out[step] = seen[place[index]]
    return out
