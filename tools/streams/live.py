"""Models on live streams until they end or are stopped: pictures, events, recordings, a page."""

from __future__ import annotations

import contextlib
import math
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from stadet.datasets.live.reader import LiveFrame, StreamCounts, StreamReader
from stadet.datasets.live.source import StreamSource, parse_sources
from stadet.engine.addresses import is_loopback
from stadet.engine.errors import UserError
from stadet.engine.files import disk_error
from stadet.engine.folder_lock import folder_lock
from stadet.tools.inference.windows import Windows
from stadet.tools.streams.counts_board import CountsBoard
from stadet.tools.streams.cuts import CutFinder
from stadet.tools.streams.events import EventLog
from stadet.tools.streams.hit_clips import HitClips
from stadet.tools.streams.latency import LatencyFigures, LatencyMeter
from stadet.tools.streams.overlay import draw_line
from stadet.tools.streams.page import LivePage
from stadet.tools.streams.recorder import Recorder
from stadet.tools.streams.session import Event, LiveAnswer, LiveSession
from stadet.tools.streams.webhook import Webhook

TELL_SECONDS = 10.0  # between two lines of figures on the terminal
BEHIND_SHARE = 0.8  # of the model's rate: below it the user is told
CHECK_SECONDS = 5.0  # between two looks at the latency
MOST_EVERY = 8  # at most one of so many frames is answered for
EASY_SHARE = 0.5  # of --max-latency: below it, more frames are answered for again
EASY_SECONDS = 30.0  # after so long; doubled each time that it was too early


@dataclass
class StreamReport:
    """Figures of one stream.

    Attributes:
        name: of the stream.
        counts: of its frames.
        answered: frames that the model answered for.
        latency: over the last seconds.
        peak_p95: highest 95th percentile of the latency that was told, milliseconds.
    """

    name: str
    counts: StreamCounts = field(default_factory=StreamCounts)
    answered: int = 0
    latency: LatencyFigures = field(default_factory=lambda: LatencyFigures(math.nan, math.nan, 0))
    peak_p95: float = 0.0


def run_live(
    sources: Sequence[str],
    make_session: Callable[[str], LiveSession],
    *,
    realtime: bool = False,
    every_frame: bool = False,
    serve: int | None = None,
    host: str = "127.0.0.1",
    window: bool = False,
    record: str | Path | None = None,
    evidence_only: bool = False,
    events: str | Path | None = None,
    webhook: str | None = None,
    webhook_folder: str | Path = "webhook",
    webhook_secret: str | None = None,
    clips: str | Path | None = None,
    clip_seconds: float = 2.0,
    clip_wait: float = 0.0,
    counts: CountsBoard | None = None,
    scene_cuts: float | None = None,
    max_latency: float | None = None,
    max_seconds: float | None = None,
    max_outage: float | None = None,
    stop: threading.Event | None = None,
    on_answer: Callable[[str, LiveFrame, LiveAnswer], None] | None = None,
) -> list[StreamReport]:
    """Follow streams until all have ended, `max_seconds` have passed, or `stop` is set.

    Args:
        sources: as `parse_sources` takes them.
        make_session: makes the model's session of a stream by its name.
        realtime: play files at their own speed, as a camera would.
        every_frame: answer for every frame, however late.
        serve: port of a page with the live pictures; None: no page.
        host: address that the page listens at.
        window: show the pictures in windows of this machine's display.
        record: folder for one H.264 video of the pictures a stream.
        evidence_only: record only while an action goes on, and 2 s after it.
        events: file for the events as JSON Lines; ``-`` for standard output.
        webhook: address that the events are posted to (`stadet.tools.streams.webhook`).
        webhook_folder: for events that have not arrived.
        webhook_secret: key of the signature.
        clips: folder for a clip of every hit of a rule (`stadet.tools.streams.hit_clips`).
        clip_seconds: shown before and after a hit.
        clip_wait: the longest time from a hit's start until its rule is met, seconds.
        counts: the board that the sessions count on; its files are written meanwhile.
        scene_cuts: share of the colours whose change from one frame to the next starts a new
            stream; None: only a gap, a new connection or another size does.
        max_latency: milliseconds that a picture may be late; where the 95th percentile is above,
            every second frame is left out, then two of three, .., and that is told; well below it,
            fewer are left out again.
        max_seconds: end after so much time.
        max_outage: seconds that a stream may be without a connection before the run ends.
        stop: ends the run when set.
        on_answer: called with (name, frame, answer) for every answer.

    Returns:
        A `StreamReport` for each source.

    Raises:
        UserError: for sources, a port or places to write to that cannot be used.
    """
    named = parse_sources(list(sources))
    stop = stop or threading.Event()
    if scene_cuts is not None:
        CutFinder(scene_cuts)  # a bad share is told before any source opens
    with contextlib.ExitStack() as stack:
        hook = None
        if webhook is not None:
            stack.enter_context(folder_lock(webhook_folder, "sending events"))
            hook = stack.enter_context(
                Webhook(webhook, webhook_folder, secret=webhook_secret, notify=_say)
            )
        log = stack.enter_context(EventLog(events, hook))
        if record is not None:
            _make_folder(Path(record))
        if clips is not None:
            _make_folder(Path(clips))
            stack.enter_context(folder_lock(clips, "writing clips of hits"))
        windows = stack.enter_context(Windows()) if window else None
        readers = [
            stack.enter_context(
                StreamReader(
                    source,
                    realtime=realtime,
                    every_frame=True if every_frame else None,
                    max_outage=max_outage,
                    notify=_say,
                )
            )
            for source in named
        ]
        if counts is not None:
            stack.enter_context(counts)
        page = None
        if serve is not None:
            names = [source.name for source in named]
            page = stack.enter_context(LivePage(names, serve, host, counts))
            _say(f"live pictures: {page.address}")
            if not is_loopback(host):
                _say(f"whoever reaches {host} sees them: the page has no password")
        followers = [
            _Follower(
                source,
                reader,
                make_session(source.name),
                log,
                page,
                Path(record) if record is not None else None,
                evidence_only,
                HitClips(clips, source.name, around=clip_seconds, wait=clip_wait, notify=_say)
                if clips is not None
                else None,
                CutFinder(scene_cuts) if scene_cuts is not None else None,
                max_latency,
                on_answer,
            )
            for source, reader in zip(named, readers, strict=True)
        ]
        _follow_all(followers, stop, max_seconds, windows)
        reports = [follower.report() for follower in followers]
    for report in reports:
        _say(_line(report))
    return reports


class _Follower:
    """One stream with its session and where its answers go."""

    def __init__(
        self,
        source: StreamSource,
        reader: StreamReader,
        session: LiveSession,
        log: EventLog,
        page: LivePage | None,
        record: Path | None,
        evidence_only: bool,
        clips: HitClips | None,
        cuts: CutFinder | None,
        max_latency: float | None,
        on_answer: Callable[[str, LiveFrame, LiveAnswer], None] | None,
    ):
        self.name, self.reader, self.session = source.name, reader, session
        self._log, self._page, self._on_answer = log, page, on_answer
        self._meter = LatencyMeter()
        self._recorder = Recorder(record / f"{source.name}.mp4", evidence_only) if record else None
        self._clips, self._cuts = clips, cuts
        self._max_latency = max_latency
        self._every = 1  # one of so many frames is answered for
        self._paced = 0.0  # when that was changed
        self._patience, self._eased = EASY_SECONDS, False
        self._seen = 0
        self._checked = math.inf  # the first pictures are late: the model warms up
        self._answered = 0
        self._peak = 0.0
        self._last_seconds = 0.0
        self._told_behind = False
        self.picture: np.ndarray | None = None

    def run(self, stop: threading.Event) -> None:
        """Answer for frames until the stream ends or `stop` is set."""
        try:
            while not stop.is_set():
                try:
                    frame = self.reader.next_frame(timeout=0.2)
                except TimeoutError:
                    continue
                if frame is None:
                    self._expect_frames()
                    break
                self._take(frame)
        finally:
            self._finish()

    def _expect_frames(self) -> None:
        counts = self.reader.counts
        if not counts.received:
            raise UserError(
                f"{self.reader.source.shown}: expected frames that can be decoded, found none "
                f"({counts.damaged} damaged or too large)"
            )

    def _finish(self) -> None:
        try:
            events: Sequence[Event] = self.session.finish(self._last_seconds)
            if self._clips is not None:
                events = self._clips.finish(events)
            for what, seconds, values in events:
                self._log.write(self.name, what, seconds, **values)
        finally:
            if self._recorder is not None:
                self._recorder.close()
            if self._clips is not None:
                self._clips.close()

    def _take(self, frame: LiveFrame) -> None:
        self._last_seconds = frame.seconds
        self._seen += 1
        if self._cuts is not None and self._cuts(frame.image):
            frame = replace(frame, starts_stream=True)
        if self._seen % self._every and not frame.starts_stream:
            return
        answer = self.session(frame)
        if answer is None:
            return
        self._answered += 1
        if self._answered == 1:
            self._checked = time.monotonic()
        figures = self._meter.figures()
        draw_line(answer.image, _status_line(figures, self.reader.counts))
        events: Sequence[Event] = answer.events
        if self._clips is not None:
            events = self._clips.take(events, answer.image, frame)
        for what, seconds, values in events:
            self._log.write(self.name, what, seconds, **values)
        if self._clips is not None:
            self._clips.check()
        if self._recorder is not None:
            self._recorder.write(answer, frame)
        if self._page is not None:
            self._page.show(self.name, answer.image, self._status(figures))
        self.picture = answer.image
        self._meter.add(frame.captured, time.monotonic())
        if self._on_answer is not None:
            self._on_answer(self.name, frame, answer)
        self._keep_up()

    def _keep_up(self) -> None:
        """Every few seconds: leave out more frames where pictures are late, and tell it."""
        now = time.monotonic()
        if now - self._checked < CHECK_SECONDS or self._answered < 10:
            return
        self._checked = now
        figures = self._meter.figures()
        self._peak = max(self._peak, figures.p95)
        if self._max_latency is not None:
            self._pace(figures.p95, self._max_latency, now)
        wanted = self.session.fps
        if wanted and figures.fps < BEHIND_SHARE * wanted and not self._told_behind:
            self._told_behind = True
            _say(
                f"{self.name}: {figures.fps:.1f} frames a second are answered for, the model was "
                f"trained at {wanted:g}; motion looks faster to it. Use a smaller model, an "
                "exported one, or a faster machine"
            )

    def _pace(self, p95: float, limit: float, now: float) -> None:
        """Answer for fewer frames where pictures are late, for more once they come easily."""
        if p95 > limit and self._every < MOST_EVERY:
            if self._eased:  # too early
                self._patience = min(2 * self._patience, 20 * EASY_SECONDS)
            self._every, self._eased = self._every + 1, False
            said = f"is above {limit:.0f} ms"
        elif self._every > 1 and p95 < EASY_SHARE * limit and now - self._paced > self._patience:
            self._every, self._eased = self._every - 1, True
            said = f"is well below {limit:.0f} ms"
        else:
            return
        self._paced = now
        self._meter = LatencyMeter()  # earlier pictures say nothing of this pace
        frames = f"one of {self._every} frames" if self._every > 1 else "every frame"
        _say(f"{self.name}: latency {p95:.0f} ms {said}; answering for {frames}")

    def report(self) -> StreamReport:
        figures = self._meter.figures()
        peak = max([self._peak, *([figures.p95] if self._answered else [])])
        return StreamReport(self.name, self.reader.counts, self._answered, figures, peak)

    def _status(self, figures: LatencyFigures) -> dict[str, Any]:
        counts = self.reader.counts
        return {
            "line": _status_line(figures, counts),
            "fps": round(figures.fps, 2),
            "p50_ms": None if math.isnan(figures.p50) else round(figures.p50, 1),
            "p95_ms": None if math.isnan(figures.p95) else round(figures.p95, 1),
            "received": counts.received,
            "answered": self._answered,
            "dropped": counts.dropped,
            "damaged": counts.damaged,
            "reconnections": counts.reconnections,
        }


def _follow_all(
    followers: list[_Follower],
    stop: threading.Event,
    max_seconds: float | None,
    windows: Windows | None,
) -> None:
    """A thread a stream; this one waits, tells figures and shows windows."""
    errors: list[BaseException] = []

    def run(follower: _Follower) -> None:
        try:
            follower.run(stop)
        except BaseException as error:
            errors.append(error)
            stop.set()

    threads = [
        threading.Thread(target=run, args=[follower], name=f"live {follower.name}", daemon=True)
        for follower in followers
    ]
    for thread in threads:
        thread.start()
    started = told = time.monotonic()
    try:
        with _terminated(stop):
            while any(thread.is_alive() for thread in threads) and not stop.wait(0.02):
                now = time.monotonic()
                if max_seconds is not None and now - started >= max_seconds:
                    break
                if windows is not None and not _show(windows, followers):
                    break
                if now - told >= TELL_SECONDS:
                    told = now
                    for follower in followers:
                        _say(_line(follower.report()))
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    if errors:
        raise errors[0]


def _show(windows: Windows, followers: list[_Follower]) -> bool:
    """Show the pictures that are new; False once the user has asked to quit."""
    for follower in followers:
        picture, follower.picture = follower.picture, None
        if picture is not None:
            windows.show(follower.name, picture)
    return not windows.quit_pressed()


@contextlib.contextmanager
def _terminated(stop: threading.Event) -> Iterator[None]:
    """SIGTERM ends the run in order, where this is the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda *_: stop.set())
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise disk_error(error, folder) from error


def _status_line(figures: LatencyFigures, counts: StreamCounts) -> str:
    if math.isnan(figures.p50):
        return "first frame"
    dropped = 100 * counts.dropped / max(counts.received, 1)
    return (
        f"{figures.fps:.1f} fps  latency {figures.p50:.0f} / {figures.p95:.0f} ms  "
        f"dropped {dropped:.0f} %"
    )


def _line(report: StreamReport) -> str:
    counts = report.counts
    return (
        f"{report.name}: {counts.received} frames received, {report.answered} answered, "
        f"{counts.dropped} dropped, {counts.damaged} damaged, {counts.reconnections} "
        f"reconnections; {_status_line(report.latency, counts)}"
    )


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
