"""A thread that follows a source: the newest frame, or every frame, and what was dropped."""

from __future__ import annotations

import gc
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from stadet.datasets.live.capture import Capture, expect_opens
from stadet.datasets.live.rising_clock import RisingClock
from stadet.datasets.live.source import StreamSource
from stadet.engine.errors import UserError

FIRST_PAUSE = 0.5  # seconds before the first attempt to connect again; doubled up to LONGEST_PAUSE
LONGEST_PAUSE = 30.0
GAP_SECONDS = 2.0  # a silence of this length starts a new stream
QUEUED_FRAMES = 8  # of a source whose every frame counts


@dataclass(frozen=True)
class LiveFrame:
    """A frame and its times.

    Attributes:
        image: (H, W, 3) uint8 RGB, upright.
        seconds: the source's clock, from its first frame; never falls, also over reconnections.
        captured: `time.monotonic` at which the frame had been decoded.
        number: frames received before it, the dropped ones among them.
        starts_stream: whether earlier frames say nothing about it: the first frame, the first one
            after a reconnection or a gap, or one of another size.
    """

    image: np.ndarray = field(repr=False)
    seconds: float
    captured: float
    number: int
    starts_stream: bool


@dataclass(frozen=True)
class StreamCounts:
    """Counts of a source's frames: ``received == delivered + dropped + waiting``.

    Attributes:
        received: frames decoded.
        delivered: frames that the consumer took.
        dropped: frames that a newer one replaced before the consumer was ready.
        waiting: frames decoded and not yet taken.
        damaged: packets that could not be decoded.
        reconnections: times the connection was made again.
    """

    received: int = 0
    delivered: int = 0
    dropped: int = 0
    waiting: int = 0
    damaged: int = 0
    reconnections: int = 0


class StreamReader:
    """Follows a source in a thread; iterate over it for `LiveFrame`.

    A live source keeps its newest frame only: a slow consumer sees fewer frames, never late ones.
    Of a recorded source every frame is delivered, unless ``realtime`` plays it by its timestamps
    as if it were live. A live source that breaks off is connected again, with pauses that grow
    from 0.5 to 30 s; a recorded one ends the iteration.

    Args:
        source: the source.
        realtime: play a recorded source at its own speed, as a camera would.
        every_frame: deliver every frame, also of a live source; the thread then waits for the
            consumer. Default: only of recorded sources that are not played in real time.
        max_outage: seconds without a connection after which the iteration ends with `UserError`;
            None: never.
        notify: called with a line of text where the connection is lost or made again.
        open_capture: opens the source; for tests.

    Raises:
        UserError: on entering, where the source does not open at first.

    Examples:
        >>> with StreamReader(parse_source("rtsp://camera/stream")) as reader:  # doctest: +SKIP
        ...     for frame in reader:
        ...         print(frame.seconds, frame.image.shape)
    """

    def __init__(
        self,
        source: StreamSource,
        *,
        realtime: bool = False,
        every_frame: bool | None = None,
        max_outage: float | None = None,
        notify: Callable[[str], None] | None = None,
        open_capture: Callable[[StreamSource], Capture] = expect_opens,
    ):
        self.source = source
        self._realtime = realtime
        self._wanted_every_frame = every_frame
        self._max_outage = max_outage
        self._notify = notify or (lambda line: None)
        self._open = open_capture
        self._changed = threading.Condition()
        self._frames: deque[LiveFrame] = deque()
        self._received = self._delivered = self._dropped = self._reconnections = 0
        self._damaged_before = 0
        self._capture: Capture | None = None
        self._ended = False
        self._stopping = threading.Event()
        self._error: BaseException | None = None
        self._thread: threading.Thread | None = None
        self._every_frame = False
        self._starts_stream = True
        self._size: tuple[int, int] | None = None
        self._last_arrival: float | None = None
        self._clock = 0.0  # seconds of the newest frame

    def __enter__(self) -> StreamReader:
        self._capture = self._open(self.source)
        live = self._capture.live
        if self._wanted_every_frame is None:
            self._every_frame = not (live or self._realtime)
        else:
            self._every_frame = self._wanted_every_frame
        self._thread = threading.Thread(target=self._run, name=self.source.name, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop the thread and let go of the source."""
        self._stopping.set()
        with self._changed:
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    @property
    def counts(self) -> StreamCounts:
        """Counts of the frames so far."""
        with self._changed:
            damaged = self._capture.damaged if self._capture else 0
            return StreamCounts(
                received=self._received,
                delivered=self._delivered,
                dropped=self._dropped,
                waiting=len(self._frames),
                damaged=self._damaged_before + damaged,
                reconnections=self._reconnections,
            )

    def __iter__(self) -> Iterator[LiveFrame]:
        while (frame := self.next_frame()) is not None:
            yield frame

    def next_frame(self, timeout: float | None = None) -> LiveFrame | None:
        """The next frame, waiting for it; None at the end of the source.

        Raises:
            TimeoutError: no frame within `timeout` seconds.
            UserError: the source stayed away longer than `max_outage`.
        """
        with self._changed:
            ready = self._changed.wait_for(lambda: self._frames or self._ended, timeout)
            if not ready:
                raise TimeoutError(f"{self.source.shown}: no frame within {timeout:g} s")
            if self._frames:
                frame = self._frames.popleft()
                self._delivered += 1
                self._changed.notify_all()
                return frame
            if self._error is not None:
                raise self._error
            return None

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                try:
                    self._follow()
                    break  # a recorded source has ended
                except ConnectionError as error:
                    self._notify(f"{self.source.shown}: connection lost ({error})")
                    self._reconnect()
        except BaseException as error:
            self._error = error
        finally:
            if self._capture is not None:
                self._capture.close()
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def _follow(self) -> None:
        """Frames of the present connection, until it ends."""
        assert self._capture is not None
        live, offset, started = self._capture.live, self._clock, time.monotonic()
        if self._received:
            offset += started - (self._last_arrival or started)  # the outage passed on the clock
        clock = RisingClock()
        for image, seconds in self._capture:
            if self._stopping.is_set():
                return
            before, now = clock.offset, time.monotonic()
            seconds = clock.update(seconds, now - (self._last_arrival or now) if live else 0.0)
            if clock.offset != before:
                self._notify(
                    f"{self.source.shown}: its clock was set back by "
                    f"{clock.offset - before:.1f} s; time goes on"
                )
            if self._realtime and not live:
                wait = started + seconds - time.monotonic()
                if wait > 0 and self._stopping.wait(wait):
                    return
            self._deliver(image, offset + seconds)
        if live:
            raise ConnectionError("the stream ended")

    def _deliver(self, image: np.ndarray, seconds: float) -> None:
        now = time.monotonic()
        gap = self._received and seconds - self._clock > GAP_SECONDS
        starts = self._starts_stream or bool(gap) or image.shape[:2] != self._size
        with self._changed:
            if self._every_frame:
                self._changed.wait_for(
                    lambda: len(self._frames) < QUEUED_FRAMES or self._stopping.is_set()
                )
                if self._stopping.is_set():
                    return
            else:
                while self._frames:
                    starts |= self._frames.popleft().starts_stream
                    self._dropped += 1
            self._frames.append(LiveFrame(image, seconds, now, self._received, starts))
            self._received += 1
            self._starts_stream = False
            self._size, self._clock, self._last_arrival = image.shape[:2], seconds, now
            self._changed.notify_all()

    def _reconnect(self) -> None:
        """Connect again, with growing pauses; the next frame starts a stream."""
        assert self._capture is not None
        with self._changed:
            self._damaged_before += self._capture.damaged
            capture, self._capture = self._capture, None
        capture.close()
        del capture
        self._starts_stream = True
        lost, pause = time.monotonic(), FIRST_PAUSE
        while True:
            # PyAV's containers lie in reference cycles with their frames: megabytes a connection
            gc.collect()
            if self._stopping.wait(pause):
                return
            pause = min(2 * pause, LONGEST_PAUSE)
            try:
                capture = self._open(self.source)
            except (UserError, ConnectionError) as error:
                away = time.monotonic() - lost
                if self._max_outage is not None and away > self._max_outage:
                    raise UserError(
                        f"{self.source.shown}: no connection for {away:.0f} s; last answer: {error}"
                    ) from error
                self._notify(f"{self.source.shown}: not there; next attempt in {pause:g} s")
                continue
            with self._changed:
                self._capture = capture
                self._reconnections += 1
            self._notify(
                f"{self.source.shown}: connected again after {time.monotonic() - lost:.1f} s"
            )
            return
