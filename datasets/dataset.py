"""The data set file: one YAML that says where footage and annotations are and how to split them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np

from stadet.datasets.footage.catalog import VideoCatalog, find_video_paths
from stadet.datasets.footage.video import Video
from stadet.datasets.formats import FORMATS, find_format
from stadet.datasets.label_maps import symmetric_labels
from stadet.datasets.splits.ranges import ranges_to_mask
from stadet.datasets.splits.split import Split, SplitConfig, make_split, view_groups
from stadet.detect.structures import AnnotationSet, VideoAnnotations
from stadet.engine.config import from_dict, read_yaml
from stadet.engine.errors import UserError, neighbours
from stadet.engine.findings import Findings
from stadet.engine.reading import (
    finite_number,
    frame_rate,
    guarded,
    image_side,
    safe_label,
    shown,
    whole_number,
)
from stadet.engine.signatures import checked

LookedAt = Literal["all", "boxes"] | dict[str, list[list[int]]]


@dataclass(frozen=True)
class DatasetConfig:
    """A data set file; paths are relative to its `path`, which is relative to the file.

    Attributes:
        format: a key of `stadet.datasets.formats.FORMATS`.
        videos: a video file, or a folder of files and frame folders.
        annotations: a file or a folder.
        path: folder that the other paths are relative to.
        names: order of the classes (default: as in the annotations).
        annotation_size: (height, width) that the boxes refer to, where it is not the video's.
        looked_at: frames that were annotated: "all" that the format says; "boxes", only frames with
            a box (YOWO's protocol for UCF101-24); or video -> [[first, last], ..], inclusive.
        views: any name -> videos that show the same time from several cameras.
        reverses: labels exchanged when time runs backwards.
        flip_labels: labels exchanged in a mirrored frame.
        split: training, validation and test sides.
        action: of cvat: "label", the name of the attribute that holds the class, or "checkboxes".
        first_frame: of yolo-txt, and of coco-video without videos: the number in a frame's file
            name that means the first frame.
        frame_folder_fps: frame rate of frame folders, 1/s.
        label_map: of ava: file of action ids and names, next to the annotations.
        excluded: of ava: csv of `video, second` that do not count.
        key_seconds: of ava: first and last annotated second.
        first_second: of ava: second at which the video files begin.
    """

    format: str
    videos: str = "videos"
    annotations: str = "annotations"
    path: str = "."
    names: list[str] | None = None
    annotation_size: tuple[int, int] | None = None
    looked_at: LookedAt = "all"
    views: dict[str, list[str]] = field(default_factory=dict)
    reverses: dict[str, str] = field(default_factory=dict)
    flip_labels: dict[str, str] = field(default_factory=dict)
    split: SplitConfig = field(default_factory=SplitConfig)
    action: str | None = None
    first_frame: int | None = None
    frame_folder_fps: float | None = None
    label_map: str | None = None
    excluded: str | None = None
    key_seconds: tuple[int, int] | None = None
    first_second: float | None = None


@dataclass(frozen=True, eq=False)
class Dataset:
    """A resolved data set file.

    Attributes:
        path: the data set file.
        config: its keys.
        annotations: truth of all videos.
        views: name -> videos that show the same time.
        reverses: label -> label when time runs backwards, in both directions.
        flip_labels: label -> label in a mirrored frame, in both directions.
        split: frames of the training, validation and test sides.
        findings: what was clipped, converted or left out on reading.
    """

    path: Path
    config: DatasetConfig
    annotations: AnnotationSet
    views: Mapping[str, list[str]]
    reverses: Mapping[str, str]
    flip_labels: Mapping[str, str]
    split: Split
    findings: Findings
    _catalog: VideoCatalog

    @property
    def names(self) -> tuple[str, ...]:
        return self.annotations.names

    @property
    def video_paths(self) -> dict[str, Path]:
        """Name -> path of every video of the footage, annotated or not."""
        return self._catalog.paths

    def open_video(self, name: str) -> Video:
        """The video called `name`; UserError for an unknown name."""
        if name not in self._catalog:
            raise UserError(f"{self.path}: no video {name!r}{neighbours(name, self._catalog)}")
        return self._catalog.open(name)

    def side(self, side: str) -> AnnotationSet:
        """Annotations of "train", "val" or "test": videos with frames there, narrowed to them."""
        return self.split.select(self.annotations, side)


@checked
def load_dataset(
    path: str | Path, *, index_dir: Path | None = None, findings: Findings | None = None
) -> Dataset:
    """Read a data set file, its annotations and its split.

    Videos are opened for their size, rate and length only.

    Args:
        path: the file, or a folder that holds `dataset.yaml`.
        index_dir: folder for the indices of videos (default: as `open_video`).
        findings: collects what was clipped or left out; `dataset.findings.report()` logs it.

    Raises:
        UserError: for any fault in the file or the annotations, in one line.
    """
    path = Path(path)
    path = path / "dataset.yaml" if path.is_dir() else path
    config = read_dataset_file(path)
    root = path.parent / config.path
    findings = findings if findings is not None else Findings()
    catalog = VideoCatalog(
        find_video_paths(root / config.videos), index_dir=index_dir, fps=config.frame_folder_fps
    )
    annotations = _read_annotations(path, config, root, catalog, findings)
    annotations = AnnotationSet(
        annotations.names,
        {v.name: v.narrowed(_looked_at(v, config.looked_at, path)) for v in annotations},
    )
    _expect_known(config.looked_at if isinstance(config.looked_at, dict) else (), catalog, path)
    for group, members in config.views.items():
        _expect_known(members, catalog, path, f"views: {group}")
    view_groups(annotations, config.views)
    digests = {name: catalog.open(name).digest for name in annotations.videos}
    return Dataset(
        path=path,
        config=config,
        annotations=annotations,
        views=config.views,
        reverses=symmetric_labels(config.reverses, annotations.names, f"{path}: reverses"),
        flip_labels=symmetric_labels(config.flip_labels, annotations.names, f"{path}: flip_labels"),
        split=make_split(
            annotations, config.split, views=config.views, video_digests=digests, folder=root
        ),
        findings=findings,
        _catalog=catalog,
    )


@guarded("a data set file")
def read_dataset_file(path: str | Path) -> DatasetConfig:
    """The data set file itself, checked; UserError names unknown keys' neighbours."""
    path = Path(path)
    content = read_yaml(path)
    ranges = content.get("looked_at")
    if isinstance(ranges, dict):
        content = {**content, "looked_at": "all"}
    config = from_dict(DatasetConfig, content, source=str(path))
    if isinstance(ranges, dict):
        config = replace(config, looked_at=_checked_ranges(ranges, f"{path}: looked_at"))
    options = find_format(config.format).options
    for option in sorted({option for kind in FORMATS.values() for option in kind.options}):
        if getattr(config, option) is not None and option not in options:
            raise UserError(f"{path}: key {option!r} means nothing for format {config.format!r}")
    _expect_limits(config, str(path))
    if config.names is not None and len(set(config.names)) < len(config.names):
        raise UserError(f"{path}: names: a name occurs more than once")
    return config


def _checked_ranges(ranges: dict, where: str) -> dict[str, list[list[int]]]:
    """The `looked_at` of a data set file; UserError for what is not video -> [[first, last], ..].

    There may be thousands, for which the general check of configurations is too slow.
    """
    for name, pairs in ranges.items():
        bad = [p for p in pairs if not _is_range(p)] if isinstance(pairs, list) else [pairs]
        if bad:
            found = shown(bad[0])
            raise UserError(f"{where}: {name}: expected [[first, last], ..], found {found}")
    return {str(name): pairs for name, pairs in ranges.items()}


def _is_range(pair: object) -> bool:
    return (
        isinstance(pair, list)
        and len(pair) == 2
        and all(isinstance(number, int) and not isinstance(number, bool) for number in pair)
    )


def _expect_limits(config: DatasetConfig, path: str) -> None:
    """UserError for numbers and names that no data set has."""
    for name in config.names or ():
        safe_label(name, f"{path}: names")
    for side in config.annotation_size or ():
        image_side(side, f"{path}: annotation_size")
    if config.frame_folder_fps is not None:
        frame_rate(config.frame_folder_fps, f"{path}: frame_folder_fps")
    for second in config.key_seconds or ():
        whole_number(second, f"{path}: key_seconds", least=0, most=10**6)
    if config.first_second is not None:
        finite_number(config.first_second, f"{path}: first_second")
    if config.first_frame is not None:
        whole_number(config.first_frame, f"{path}: first_frame", least=0)


def _read_annotations(
    path: Path, config: DatasetConfig, root: Path, catalog: VideoCatalog, findings: Findings
) -> AnnotationSet:
    kind = find_format(config.format)
    options = {key: value for key in kind.options if (value := getattr(config, key)) is not None}
    annotations = kind.load_reader()(
        root / config.annotations,
        videos=catalog,
        names=config.names,
        findings=findings,
        **options,
    )
    if not annotations.videos:
        raise UserError(
            f"{path}: expected annotations of {', '.join(list(catalog)[:5])}, found none"
        )
    if not annotations.names:
        raise UserError(f"{path}: expected at least one class, found none; give names")
    missing = [name for name in catalog if name not in annotations.videos]
    first = missing[0] if missing else ""
    findings.note(path, "videos without annotations left out", len(missing), first)
    return annotations


def _looked_at(video: VideoAnnotations, looked_at: LookedAt, path: Path) -> np.ndarray:
    if looked_at == "all":
        return video.looked_at
    if looked_at == "boxes":
        return np.isin(np.arange(video.num_frames), video.frames)
    if video.name not in looked_at:
        return video.looked_at
    try:
        return ranges_to_mask(looked_at[video.name], video.num_frames)
    except (ValueError, TypeError) as error:
        raise UserError(f"{path}: looked_at: {video.name}: {error}") from None


def _expect_known(
    names: Iterable[str], known: Iterable[str], path: Path, key: str = "looked_at"
) -> None:
    known = list(known)
    for name in names:
        if name not in known:
            raise UserError(f"{path}: {key}: no video {name!r}{neighbours(name, known)}")
