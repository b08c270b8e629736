"""Being asked to stop: Ctrl-C, SIGTERM (schedulers, containers) and SIGHUP (a closed terminal).

Outside of training a request raises `Stopped` wherever the program is; training notes it and ends
on a whole checkpoint. Loading processes leave all three to the main process.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_WORDS: dict[int, str] = {
    signal.SIGINT: "interrupted",
    signal.SIGTERM: "stopped by SIGTERM, as schedulers and containers send it",
    signal.SIGHUP: "stopped by SIGHUP, its terminal was closed",
}
_END = 0  # in the wake-up file: no signal has this number
_AGAIN_SECONDS = 1.0  # a second Ctrl-C after so long ends the program at once


class Stopped(KeyboardInterrupt):
    """This process was asked to stop by the signal `number`."""

    def __init__(self, number: int = signal.SIGINT) -> None:
        super().__init__(words(number))
        self.number = number


def words(number: int) -> str:
    """The reason for stopping, as a message gives it."""
    return _WORDS.get(number, f"stopped by signal {number}")


def exit_status(error: BaseException | int | None) -> int:
    """The shell's status of a program that a signal ended: 130, 143 or 129."""
    number = error if isinstance(error, int) else getattr(error, "number", signal.SIGINT)
    return 128 + int(number)


class StopRequest:
    """Request to stop this process, and its signal.

    Attributes:
        number: of the first signal; None before any.
        at_once: a signal raises `Stopped` where the program is, instead of only being noted.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self.at_once = False
        self._since = 0.0

    def is_set(self) -> bool:
        return self.number is not None

    @contextlib.contextmanager
    def raising(self, wanted: bool = True) -> Iterator[None]:
        """For the block's time a signal raises `Stopped`; so does one that came just before."""
        if not wanted:
            yield
            return
        self.at_once = True
        try:
            if self.number is not None:
                raise Stopped(self.number)
            yield
        finally:
            self.at_once = False

    def handle(self, number: int, frame: FrameType | None) -> None:
        """The signals' handler."""
        if number == signal.SIGHUP:
            _leave_closed_terminals()
        insisted = (
            number == signal.SIGINT == self.number
            and time.monotonic() - self._since > _AGAIN_SECONDS
            and "TORCHELASTIC_RUN_ID" not in os.environ  # torchrun passes Ctrl-C on a second time
        )
        if self.number is None:
            self.number, self._since = number, time.monotonic()
        if self.at_once or insisted:
            self.at_once = False
            raise Stopped(self.number)


@contextlib.contextmanager
def stop_requests(notice: Callable[[int], None] | None = None) -> Iterator[StopRequest]:
    """Note signals instead of dying of them; outside of the main thread nothing is noted.

    notice: called in a thread of its own with the first signal's number, also while the main
    thread is busy in native code.
    """
    request = StopRequest()
    with _handling(request.handle) as handled, contextlib.ExitStack() as stack:
        if handled and notice is not None:
            stack.enter_context(_noticing(notice))
        yield request


@contextlib.contextmanager
def stopping_at_once() -> Iterator[None]:
    """SIGTERM and SIGHUP raise `Stopped` like Ctrl-C, so that everything is put away."""
    request = StopRequest()
    request.at_once = True

    def handle(number: int, frame: FrameType | None) -> None:
        if request.number is None:
            request.handle(number, frame)
        elif number == signal.SIGINT:
            raise Stopped(number)

    with _handling(handle):
        yield


@contextlib.contextmanager
def _handling(handler: Callable[[int, FrameType | None], None]) -> Iterator[bool]:
    if threading.current_thread() is not threading.main_thread():
        yield False
        return
    # what is ignored stays so: nohup ignores SIGHUP, a shell Ctrl-C for its background jobs
    wanted = [s for s in SIGNALS if signal.getsignal(s) not in (signal.SIG_IGN, None)]
    previous = {s: signal.signal(s, handler) for s in wanted}
    try:
        yield True
    finally:
        for number, handler_before in previous.items():
            signal.signal(number, handler_before)


@contextlib.contextmanager
def _noticing(notice: Callable[[int], None]) -> Iterator[None]:
    """Call `notice` from a thread that the interpreter's wake-up file reaches at once."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)

    def wait() -> None:
        while (found := os.read(reading, 1)[0]) not in (*SIGNALS, _END):
            continue
        if found != _END:
            with contextlib.suppress(OSError, ValueError):
                notice(found)

    thread = threading.Thread(target=wait, name="stop", daemon=True)
    thread.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        with contextlib.suppress(OSError):
            os.write(writing, bytes([_END]))  # closing would not do: loading processes hold copies
        thread.join()
        os.close(writing)
        os.close(reading)


def _leave_closed_terminals() -> None:
    """Let what is printed to a terminal that was closed vanish instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            handle = stream.fileno()
            try:
                termios.tcgetattr(handle)
            except termios.error as error:
                if error.args[0] == 5:  # EIO: a terminal that is gone; others are no terminal
                    empty = os.open(os.devnull, os.O_WRONLY)
                    os.dup2(empty, handle)
                    os.close(empty)


def leave_stopping_to_parent() -> None:
    """For a loading process: ignore what a terminal or a scheduler sends to the whole group.

    SIGTERM of the parent still ends it, as the parent stops its idle processes so. It also ends
    by itself once the parent is gone (torch's loader looks every few seconds).
    """
    parent = os.getppid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})

    def wait() -> None:
        while True:
            found = signal.sigwaitinfo({signal.SIGTERM})
            if found.si_pid == parent or os.getppid() != parent:
                os._exit(0)

    threading.Thread(target=wait, name="stop", daemon=True).start()
