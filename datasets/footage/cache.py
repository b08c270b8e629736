"""Reduced copies of the frames of a data set, so that training reads any clip without decoding.

One file of frames per video, and a small index that is written last: frames without index
are left by an interrupted run and made again. Both are named after the video's content, the
versions, the resize policy and the frames kept, so one folder serves any mix of data sets and
settings, and a finished file never changes under a running program.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import logging
import os
import shutil
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stadet.datasets.footage.cache_files import KEEP_DAYS, note_use, prune
from stadet.datasets.footage.cached_video import JPEG, RAW, CachedVideo, load_cached, save_index
from stadet.datasets.footage.index import INDEX_VERSION
from stadet.datasets.footage.video import Video
from stadet.detect.scaling import scaled
from stadet.detect.view import View
from stadet.engine.errors import UserError
from stadet.engine.files import atomic_write, disk_error, remove_leftovers
from stadet.engine.progress import progress_bar

_log = logging.getLogger(__name__)

CACHE_VERSION = 3  # shrunk by `stadet.detect.scaling`
VERSION = f"{INDEX_VERSION}.{CACHE_VERSION}"  # of the file names
RAW_LIMIT_BYTES = 4 << 30
JPEG_QUALITY = 92
EXACT = ("letterbox", "stretch")  # fits whose copies are what a network sees


class FrameCache:
    """Reduced frames of several videos by name and index. Made by `build_cache`.

    Holds no open file and no frame: it can be pickled, forked and shared by any number of worker
    processes, and its resident memory (16 bytes a frame) does not grow with use.
    """

    def __init__(self, videos: Mapping[str, CachedVideo]):
        self.videos = dict(videos)

    def read(self, video_name: str, frame_index: int) -> np.ndarray:
        """The reduced copy of a frame, (h, w, 3) uint8 RGB. KeyError where it is not kept."""
        return self.videos[video_name].read(frame_index)

    def size(self, video_name: str) -> tuple[int, int]:
        """(height, width) of a video's copies."""
        return self.videos[video_name].size

    @property
    def bytes_on_disk(self) -> int:
        return sum(int(video.offsets[-1]) for video in self.videos.values())


def reduced_size(
    video_size: tuple[int, int],
    network_size: tuple[int, int],
    margin: float = 1.2,
    fit: str = "cover",
) -> tuple[int, int]:
    """(height, width) of the copy of a video's frame kept for a network; both (height, width).

    Both sides shrink alike, and never grow. `cover`: each side keeps at least `margin` times the
    network's, enough where the frame is stretched to the network's size; `contain`: at most, enough
    where it is letterboxed. The margin is what random crops need not to blur.
    """
    if fit not in {"cover", "contain"}:
        raise ValueError(f"expected fit 'cover' or 'contain', found {fit!r}")
    ratios = [n / v for n, v in zip(network_size, video_size, strict=True)]
    scale = margin * (max(ratios) if fit == "cover" else min(ratios))
    if scale >= 1:
        return (int(video_size[0]), int(video_size[1]))
    height, width = (max(1, round(side * scale)) for side in video_size)
    return height, width


@dataclass(frozen=True, eq=False)
class _Job:
    video: Video
    frames: np.ndarray  # (M,) int64 sorted
    size: tuple[int, int]  # of the copies
    kind: str
    directory: Path
    fit: str

    @property
    def key(self) -> str:
        coding = f"q{JPEG_QUALITY}" if self.kind == JPEG else "raw"
        if self.fit in EXACT:
            coding += f"-{self.fit}"
        height, width = self.size
        return f"{self.video.digest}-{width}x{height}-{coding}-v{VERSION}"

    @property
    def index_path(self) -> Path:
        kept = hashlib.sha256(self.frames.tobytes()).hexdigest()[:8]
        return self.directory / f"{self.key}-{kept}.npz"

    def find(self) -> CachedVideo | None:
        """The cache of an earlier run, if it holds all the frames."""
        for path in [self.index_path, *sorted(self.directory.glob(f"{self.key}-*.npz"))]:
            cached = load_cached(path)
            if cached is not None and np.isin(self.frames, cached.frames).all():
                note_use(path)
                return cached
        return None


def build_cache(
    videos: Sequence[Video],
    directory: str | os.PathLike,
    network_size: tuple[int, int],
    *,
    frames: Mapping[str, np.ndarray] | None = None,
    kind: str = "auto",
    margin: float = 1.2,
    fit: str = "cover",
    raw_limit_bytes: int = RAW_LIMIT_BYTES,
    workers: int | None = None,
) -> FrameCache:
    """Keep reduced frames of `videos` in `directory`, or find them there from an earlier run.

    network_size: (height, width); copies have `stadet.datasets.footage.cache.reduced_size` of it.
    fit: as there; or `letterbox` or `stretch`: copies are exactly what a network of that size sees
    without augmentation (`View.fit(..).apply`), to the last bit where they are `raw`.
    frames: for each video by name the frame indices to keep; a video that is not named and, by
    default, every video is kept whole.
    kind: `raw` (uint8, fastest), `jpeg` (about a tenth of the space) or `auto`: raw where all
    frames together take at most `raw_limit_bytes`, which the page cache can then hold.
    workers: videos filled at the same time (default: one a core, at most 4), by threads, as
    decoding and resizing release the GIL.

    Killed at any moment, it leaves no half video that is taken for whole; the next run keeps the
    videos that were finished. Several programs may build in one folder: they take turns.
    Raises `UserError` for two videos of one name, frames outside a video and a full disk.
    """
    if kind not in {"auto", JPEG, RAW}:
        raise ValueError(f"expected kind 'auto', 'jpeg' or 'raw', found {kind!r}")
    directory = Path(directory)
    wanted = _wanted_frames(videos, frames or {})
    if fit in EXACT:
        sizes = {v.name: (network_size[0], network_size[1]) for v in videos}
    else:
        sizes = {v.name: reduced_size(v.size, network_size, margin, fit) for v in videos}
    if kind == "auto":
        total = sum(_raw_bytes(sizes[name], wanted[name]) for name in wanted)
        kind = RAW if total <= raw_limit_bytes else JPEG
    jobs = [_Job(v, wanted[v.name], sizes[v.name], kind, directory, fit) for v in videos]
    found = {job.video.name: job.find() for job in jobs}
    if None in found.values():
        with _turn(directory):
            _prune(directory)
            found = {job.video.name: job.find() for job in jobs}
            # copies of one content under several names are filled once
            missing = {job.index_path: job for job in jobs if found[job.video.name] is None}
            _fill_all(list(missing.values()), directory, workers)
        found = {job.video.name: found[job.video.name] or job.find() for job in jobs}
    return FrameCache({name: video for name, video in found.items() if video is not None})


def _wanted_frames(
    videos: Sequence[Video], frames: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    wanted: dict[str, np.ndarray] = {}
    for video in videos:
        if video.name in wanted:
            raise UserError(
                f"expected videos of different names, found {video.name!r} twice (the second at "
                f"{video.path}); rename one"
            )
        indices = np.unique(np.asarray(frames.get(video.name, np.arange(len(video))), np.int64))
        if len(indices) and not (indices[0] >= 0 and indices[-1] < len(video)):
            raise UserError(
                f"{video.path}: expected frames 0..{len(video) - 1}, asked to cache "
                f"{indices[0]}..{indices[-1]}; do the annotations belong to this video?"
            )
        wanted[video.name] = indices
    return wanted


def _raw_bytes(size: tuple[int, int], frames: np.ndarray) -> int:
    return len(frames) * size[0] * size[1] * 3


@contextlib.contextmanager
def _turn(directory: Path) -> Iterator[None]:
    """Hold the folder alone; the kernel lets go of the lock when a program dies."""
    with contextlib.ExitStack() as stack:
        try:
            directory.mkdir(parents=True, exist_ok=True)
            lock = stack.enter_context(open(directory / ".lock", "w"))
        except OSError as error:
            raise disk_error(error, directory) from error
        fcntl.flock(lock, fcntl.LOCK_EX)
        remove_leftovers(directory, again=True, fresh_seconds=0)
        yield


def _prune(directory: Path) -> None:
    """Remove old sizes and versions, and say so."""
    removed = prune(directory, VERSION)
    if removed:
        size = sum(entry.bytes for entry in removed) / 2**20
        _log.warning(
            f"{directory}: removed reduced frames of {len(removed)} videos ({size:,.1f} MiB) that "
            f"no run opened for {KEEP_DAYS:g} days, or of another version"
        )


def _fill_all(jobs: list[_Job], directory: Path, workers: int | None) -> None:
    raw = sum(_raw_bytes(job.size, job.frames) for job in jobs if job.kind == RAW)
    free = shutil.disk_usage(directory).free
    if raw > free:
        raise UserError(
            f"{directory}: expected {raw / 2**20:,.1f} MiB for the frame cache, found "
            f"{free / 2**20:,.1f} MiB free; free some space or choose cache_kind jpeg"
        )
    stop = threading.Event()
    count = sum(len(job.frames) for job in jobs)
    with (
        progress_bar(description="caching frames", total=count, unit="frame") as bar,
        ThreadPoolExecutor(workers or min(4, os.cpu_count() or 1)) as pool,
    ):
        try:
            for task in as_completed([pool.submit(_fill, job, bar.update, stop) for job in jobs]):
                task.result()
        finally:  # after an error or Ctrl-C the other threads end at their next frame
            stop.set()
            pool.shutdown(cancel_futures=True)


def _fill(job: _Job, done: Callable[[], object], stop: threading.Event) -> None:
    offsets, checksums = [0], []
    frames_path = job.index_path.with_suffix(f".{job.kind}")
    with atomic_write(frames_path, "wb") as stream:
        for _, image in job.video.read(job.frames):
            if stop.is_set():
                raise InterruptedError(f"{job.video.name}: stopped")
            content = _encode(_reduce(image, job), job.kind)
            offsets.append(offsets[-1] + stream.write(content))
            checksums.append(zlib.crc32(content))
            done()
    ends = np.array(offsets, dtype=np.int64)
    crc = np.array(checksums, dtype=np.uint32)
    save_index(job.index_path, CachedVideo(frames_path, job.kind, job.size, job.frames, ends, crc))


def _reduce(image: np.ndarray, job: _Job) -> np.ndarray:
    if job.fit in EXACT:
        return View.fit(job.video.size, job.size, job.fit).apply(image)
    return scaled(image, job.size)


def _encode(image: np.ndarray, kind: str) -> bytes | memoryview:
    import cv2

    if kind == RAW:
        return memoryview(np.ascontiguousarray(image)).cast("B")
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()
