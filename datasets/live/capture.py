"""One connection to a source: decoded frames with the source's own time."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from stadet.datasets.live.source import SourceKind, StreamSource
from stadet.engine.errors import UserError

OPEN_SECONDS = 10.0  # how long a connection may take
MAX_PIXELS = 1 << 25  # of a frame: 33.6 million; 8K has 33.2 million
READ_SECONDS = 10.0  # how long a connected source may be silent


class Capture:
    """A source opened once; iterate over it for ``(image, seconds)``.

    ``image`` is (H, W, 3) uint8 RGB, upright; ``seconds`` is the source's clock from its first
    frame: a stream's timestamps where it has them, which may jump, else the time of arrival.
    The iteration ends with the source, or raises `ConnectionError` where it breaks off.

    Attributes:
        live: whether the source cannot be read faster than it happens.
        damaged: packets that could not be decoded so far.
    """

    def __init__(self, source: StreamSource):
        """Open `source`. Raises `ConnectionError` where there is no such stream."""
        self.source = source
        self.damaged = 0
        if source.kind is SourceKind.CAMERA:
            self._backend: _Camera | _Stream = _Camera(int(source.address), source.name)
        else:
            self._backend = _Stream(source, self)
        self.live = self._backend.live

    def __iter__(self) -> Iterator[tuple[np.ndarray, float]]:
        yield from self._backend

    def close(self) -> None:
        """Let go of the camera or connection."""
        self._backend.close()

    def __enter__(self) -> Capture:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Camera:
    """A camera by number, through OpenCV, which knows each system's own interface."""

    live = True

    def __init__(self, number: int, name: str):
        import cv2

        self._cv2, self._name = cv2, name
        level = cv2.utils.logging.getLogLevel()
        cv2.utils.logging.setLogLevel(0)  # the message below says it
        try:
            self._camera = cv2.VideoCapture(number)
        finally:
            cv2.utils.logging.setLogLevel(level)
        if not self._camera.isOpened():
            raise ConnectionError(f"expected camera {number}, found none that opens")
        self._camera.set(cv2.CAP_PROP_BUFFERSIZE, 1)

    def __iter__(self) -> Iterator[tuple[np.ndarray, float]]:
        started = time.monotonic()
        while True:
            more, image = self._camera.read()
            if not more:
                raise ConnectionError("the camera gives no more frames")
            yield self._cv2.cvtColor(image, self._cv2.COLOR_BGR2RGB), time.monotonic() - started

    def close(self) -> None:
        self._camera.release()


class _Stream:
    """A network stream, pipe or file, through PyAV."""

    def __init__(self, source: StreamSource, owner: Capture):
        import av
        import av.error

        self._av, self._owner = av, owner
        # larger frames are a damaged or hostile stream: they count as damaged, undecoded
        options = {"max_pixels": str(MAX_PIXELS)}
        place: Any = source.address
        if source.kind is SourceKind.RTSP:
            options["rtsp_transport"] = "tcp"
        elif source.kind is SourceKind.PIPE:
            place = sys.stdin.buffer
        elif source.kind is SourceKind.FILE:
            place = f"file:{source.address}"
        network = source.kind in (SourceKind.RTSP, SourceKind.HTTP)
        try:
            self._container = av.open(
                place,
                options=options,
                timeout=(OPEN_SECONDS, READ_SECONDS) if network else None,
                metadata_errors="replace",
            )
        except (OSError, ValueError, av.error.FFmpegError) as error:
            raise ConnectionError(_reason(error)) from error
        video = self._container.streams.best("video")
        if video is None:
            self._container.close()
            raise ConnectionError("expected a stream with video, found none")
        self._video = video
        video.codec_context.thread_count = 1
        video.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
        if source.kind is SourceKind.RTSP:
            self.live = True
        else:
            self.live = network and not (self._container.duration or 0) > 0
        # multipart JPEG has no timestamps: FFmpeg invents them from a guessed rate
        self._by_arrival = "mpjpeg" in self._container.format.name or (
            self.live and video.codec_context.name == "mjpeg"
        )

    def __iter__(self) -> Iterator[tuple[np.ndarray, float]]:
        from av.video.reformatter import VideoReformatter

        from stadet.datasets.footage.decode import upright

        errors = self._av.error
        reformatter = VideoReformatter()
        started = time.monotonic()
        first: float | None = None
        packets = self._container.demux(self._video)
        while True:
            try:
                packet = next(packets, None)
            except (errors.FFmpegError, OSError) as error:
                if self.live or isinstance(error, (errors.ExitError, errors.TimeoutError)):
                    raise ConnectionError(_reason(error)) from error
                self._owner.damaged += 1
                packet = None
            try:
                frames = self._video.decode(packet)
            except errors.EOFError:
                return
            except errors.FFmpegError:
                self._owner.damaged += 1
                frames = []
            for frame in frames:
                try:
                    image = reformatter.reformat(frame, format="rgb24").to_ndarray()
                except (errors.FFmpegError, ValueError):  # of a damaged header, say
                    self._owner.damaged += 1
                    continue
                image = upright(frame, self._owner.source.shown).apply(image)
                if self._by_arrival or frame.time is None:
                    yield image, time.monotonic() - started
                    continue
                first = frame.time if first is None else first
                yield image, frame.time - first
            if packet is None:
                return

    def close(self) -> None:
        self._container.close()


def _reason(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def expect_opens(source: StreamSource) -> Capture:
    """Open `source`; `UserError` in one line where that fails."""
    try:
        return Capture(source)
    except ConnectionError as error:
        hints = {
            SourceKind.CAMERA: "check that it is plugged in and that no other program uses it",
            SourceKind.PIPE: "check the program that writes it",
            SourceKind.FILE: "check that it is a whole video",
        }
        hint = hints.get(
            source.kind,
            "check the address, that the camera is on, and its user name and password",
        )
        raise UserError(
            f"{source.shown}: expected a stream that opens, found none ({error}); {hint}"
        ) from error
