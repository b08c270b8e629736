"""Long videos cut to short clips in folders by action, each with the truth of its frames.

Two layouts: `folders` holds `<side>/<Class>/<clip>.mp4` and one COCO file of the boxes, for clip
classifiers and for detectors; `yowo` holds YOWO's images, label files and frame lists.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from stadet.datasets.clips.resample import resample, resampled_annotations, same_rate
from stadet.datasets.clips.timing import training_timing
from stadet.datasets.footage.video import Video
from stadet.datasets.footage.writer import VideoWriter
from stadet.datasets.formats.coco_video import write_coco_video
from stadet.datasets.formats.rows import scale_boxes
from stadet.datasets.formats.yowo_writer import FrameFolderWriter, write_yowo_labels
from stadet.detect.structures import AnnotationSet, VideoAnnotations
from stadet.engine.errors import UserError
from stadet.engine.files import atomic_write

Layout = Literal["folders", "yowo"]


@dataclass(frozen=True)
class ExportClip:
    """Frames start..stop - 1 of a video, for the folder of class `label` on `side`."""

    video: str
    start: int
    stop: int
    label: str
    side: str

    @property
    def stem(self) -> str:
        """Unique among the clips of a class and a side."""
        return f"{self.video.replace('/', '_')}_{self.start:06d}"

    @property
    def folder(self) -> str:
        """The class as the name of a folder."""
        return self.label.replace("/", "-").strip(". ") or "class"

    def __len__(self) -> int:
        return self.stop - self.start


class FrameSink(Protocol):
    def write(self, image: np.ndarray, time: float | None = None) -> None: ...


def cut_annotations(
    video: VideoAnnotations, clip: ExportClip, name: str, size: tuple[int, int] | None = None
) -> VideoAnnotations:
    """The truth of a clip's frames under a new name, boxes scaled to `size` (height, width)."""
    first, last = np.searchsorted(video.frames, [clip.start, clip.stop])
    boxes = video.boxes[first:last]
    return VideoAnnotations(
        name,
        size or video.size,
        video.fps,
        video.looked_at[clip.start : clip.stop],
        video.frames[first:last] - clip.start,
        scale_boxes(boxes, size, video.size) if size else boxes,
        video.labels[first:last],
        video.track_ids[first:last],
        video.ignored[first:last],
        times=video.clock[clip.start : clip.stop].times,
    )


def write_clips(
    root: Path,
    clips: Sequence[ExportClip],
    annotations: AnnotationSet,
    open_video: Callable[[str], Video],
    *,
    layout: Layout = "folders",
    size: tuple[int, int] | None = None,
    watch: Callable[[ExportClip], None] = lambda clip: None,
) -> dict[str, object]:
    """Write clips, labels and lists below `root`; returns the keys of their data set file.

    annotations: truth of the long videos, every frame of every clip looked at; size: (height,
    width) that frames are stretched to, the video's own by default; watch: called after each clip.
    Each video is decoded in one pass. Files keep the times of their frames. Folders of images have
    none, so clips of `yowo` are all brought to one rate (`folder_rate`), which the data set file
    says. UserError where two classes would share a folder.
    """
    _refuse_shared_folders(annotations.names, clips)
    names = {clip: _name(clip, layout) for clip in clips}
    fps = folder_rate(annotations, clips) if layout == "yowo" else None
    cut: dict[str, VideoAnnotations] = {}
    for video_name in dict.fromkeys(clip.video for clip in clips):
        video, truth = open_video(video_name), annotations.videos[video_name]
        own = [clip for clip in clips if clip.video == video_name]
        target = size or truth.size
        repeats: dict[ExportClip, np.ndarray] = {}
        for clip in own:
            part = cut_annotations(truth, clip, names[clip], target)
            if fps is not None and not same_rate(part.clock, fps):
                stream = resample(part.clock, len(clip), fps)
                part = resampled_annotations(part, stream)
                repeats[clip] = np.bincount(stream.shown, minlength=len(clip))
            cut[names[clip]] = part

        def sink(clip: ExportClip, target=target, clock=truth.clock) -> AbstractContextManager:
            if layout == "yowo":
                return FrameFolderWriter(root / "rgb-images" / names[clip])
            path = root / f"{names[clip]}.mp4"
            return VideoWriter(path, target, clock.fps, variable_rate=not clock.constant)

        times = None if layout == "yowo" else truth.times
        _write_pixels(video, own, sink, target, watch, times, repeats)
        video.close()
    result = AnnotationSet(annotations.names, cut)
    lists = _write_lists(root, clips, names, result, layout)
    common = {"names": list(annotations.names), "split": {"method": "lists", "lists": lists}}
    if layout == "yowo":
        for video in result:
            write_yowo_labels(root / "labels", video)
        sizes = {video.size for video in result}
        stated = {"annotation_size": list(sizes.pop())} if len(sizes) == 1 else {}
        keys = {"format": "yowo", "videos": "rgb-images", "annotations": "."}
        return {**keys, "frame_folder_fps": round(fps, 6), **stated, **common}
    write_coco_video(root / "annotations.json", result)
    return {"format": "coco-video", "videos": ".", "annotations": "annotations.json", **common}


def folder_rate(annotations: AnnotationSet, clips: Sequence[ExportClip]) -> float:
    """Frames a second of most of the clips' footage."""
    clocks = [annotations.videos[clip.video].clock for clip in clips]
    used = [
        (clock, clock.duration(clip.start, clip.stop))
        for clip, clock in zip(clips, clocks, strict=True)
    ]
    return training_timing(None, used).fps or clocks[0].fps


def _name(clip: ExportClip, layout: Layout) -> str:
    """Of the clip in its set: `side/Class/clip`, or `Class/clip` in YOWO's layout."""
    place = f"{clip.folder}/{clip.stem}"
    return place if layout == "yowo" else f"{clip.side}/{place}"


def _write_pixels(
    video: Video,
    clips: Iterable[ExportClip],
    open_sink: Callable[[ExportClip], AbstractContextManager[FrameSink]],
    size: tuple[int, int],
    watch: Callable[[ExportClip], None],
    times: np.ndarray | None,
    repeats: Mapping[ExportClip, np.ndarray],
) -> None:
    """One pass over the frames of all clips, which may overlap; times (F,): seconds of the video's
    frames, which the clips' frames keep, counted from their first; repeats: how often each frame of
    a clip is written, by default once."""
    import cv2

    waiting = sorted(clips, key=lambda clip: clip.start)
    frames = np.unique(np.concatenate([np.arange(clip.start, clip.stop) for clip in waiting]))
    active: list[tuple[ExportClip, FrameSink, ExitStack]] = []
    with ExitStack() as failing:
        for index, image in video.read(frames):
            if image.shape[:2] != size:
                image = cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA)
            while waiting and waiting[0].start == index:
                closing = ExitStack()
                failing.push(closing)  # on an error its writer is told and leaves nothing
                clip = waiting.pop(0)
                active.append((clip, closing.enter_context(open_sink(clip)), closing))
            for clip, sink, closing in active:
                count = repeats[clip][index - clip.start] if clip in repeats else 1
                for _ in range(count):
                    sink.write(image, None if times is None else times[index] - times[clip.start])
                if index == clip.stop - 1:
                    closing.close()
                    watch(clip)
            active = [item for item in active if index < item[0].stop - 1]


def _write_lists(
    root: Path,
    clips: Sequence[ExportClip],
    names: Mapping[ExportClip, str],
    annotations: AnnotationSet,
    layout: Layout,
) -> dict[str, str]:
    """One list a side; YOWO's name every looked-at frame's label file."""
    sides = list(dict.fromkeys(clip.side for clip in clips))
    files = {side: f"{side}list.txt" for side in sides}
    if layout == "yowo" and "test" not in sides:  # the public code has two sides
        files = {side: "testlist.txt" if side == "val" else file for side, file in files.items()}
    for side, file in files.items():
        own = [names[clip] for clip in clips if clip.side == side]
        with atomic_write(root / file) as stream:
            if layout == "folders":
                stream.writelines(f"{name}\n" for name in own)
                continue
            for name in own:
                frames = np.flatnonzero(annotations.videos[name].looked_at) + 1
                stream.writelines(f"{name}/{frame:05d}.txt\n" for frame in frames)
        if layout == "yowo" and file == "testlist.txt":
            with atomic_write(root / "testlist_video.txt") as stream:
                stream.writelines(f"{name}\n" for name in own)
    return files


def _refuse_shared_folders(names: Sequence[str], clips: Sequence[ExportClip]) -> None:
    owner: dict[str, str] = {}
    for clip in clips:
        other = owner.setdefault(clip.folder, clip.label)
        if other != clip.label:
            raise UserError(
                f"classes {other!r} and {clip.label!r} of {', '.join(names[:5])}, .. would share "
                f"the folder {clip.folder!r}; rename one of them"
            )
