"""The videos of a data set: found by name, measured when they are asked for."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from stadet.datasets.footage.info import VideoInfo
from stadet.datasets.footage.video import VIDEO_SUFFIXES, Video, find_videos, open_video
from stadet.engine.errors import UserError
from stadet.engine.reading import shown


class VideoCatalog(Mapping[str, VideoInfo]):
    """name -> `VideoInfo` of every video in a folder, opened (and so indexed) on first use.

    paths: name -> file or frame folder. Iterating and `in` open nothing.
    """

    def __init__(
        self, paths: Mapping[str, Path], *, index_dir: Path | None = None, fps: float | None = None
    ):
        self.paths = dict(paths)
        self._index_dir, self._fps = index_dir, fps
        self._opened: dict[str, Video] = {}

    def __getitem__(self, name: str) -> VideoInfo:
        video = self.open(name)
        return VideoInfo(
            name, video.size, video.fps, len(video), video.clock.times, video.first_number
        )

    def __iter__(self) -> Iterator[str]:
        return iter(self.paths)

    def __len__(self) -> int:
        return len(self.paths)

    def __contains__(self, name: object) -> bool:
        return name in self.paths

    def open(self, name: str) -> Video:
        """The video called `name`. KeyError for an unknown name, UserError for a broken file."""
        if name not in self._opened:
            path = self.paths[name]
            fps = self._fps if path.is_dir() else None
            self._opened[name] = open_video(path, name=name, index_dir=self._index_dir, fps=fps)
        return self._opened[name]


def find_video_paths(path: Path) -> dict[str, Path]:
    """name -> path of one video, or of all below a folder, in order of name.

    A name is the path below the folder without suffix: `Class/video`. UserError where there is
    nothing, where two files have one name (a.mp4 and a.avi), and where a name is not text.
    """
    if path.is_file():
        return {_text(path.stem): path}
    if not path.is_dir():
        raise UserError(f"{path}: expected a video or a folder of videos, found nothing; check it")
    paths: dict[str, Path] = {}
    for folder in _folders_without_frames(path):
        for video in find_videos(folder):
            relative = video.relative_to(path)
            is_file = video.suffix.lower() in VIDEO_SUFFIXES and not video.is_dir()
            name = _text((relative.with_suffix("") if is_file else relative).as_posix())
            if name in paths:
                raise UserError(f"{path}: two videos are called {name!r}: {paths[name]}, {video}")
            paths[name] = video
    if not paths:
        raise UserError(f"{path}: expected video files or frame folders, found none")
    return dict(sorted(paths.items()))


def _text(name: str) -> str:
    if any(0xD800 <= ord(c) < 0xE000 for c in name):  # bytes that are not UTF-8, as Python has them
        raise UserError(f"{shown(name)}: expected a file name in UTF-8; rename the file")
    return name


def _folders_without_frames(path: Path) -> Iterator[Path]:
    """`path` and the folders below it that are not themselves frame folders."""
    frame_folders: set[Path] = set()
    seen: set[Path] = set()  # of a link that leads back up
    for root, directories, _ in os.walk(path, followlinks=True):
        folder = Path(root)
        if folder in frame_folders or folder.resolve() in seen:
            directories.clear()
            continue
        seen.add(folder.resolve())
        directories[:] = sorted(d for d in directories if not d.startswith("."))
        frame_folders.update(p for p in find_videos(folder) if p.is_dir())
        yield folder
