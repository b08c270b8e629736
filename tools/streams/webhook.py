"""Events sent to a web address: signed, repeated until they arrive, kept on disk until then."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import http.client
import json
import socket
import ssl
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections import deque
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from stadet.engine.errors import UserError
from stadet.engine.files import atomic_write, disk_error
from stadet.engine.json_lines import JsonLinesWriter, append_row

SLOWEST = 3  # times the timeout that an answer may take which comes bit by bit
LEFT_LINES = 1000  # of delivered events, and as many as wait: more are taken out of the outbox
WORTH_REPEATING = (408, 425, 429)  # of the answers 400 to 499; the others will not change


class Webhook:
    """Posts events as JSON to an address from a thread of its own; `send` never waits for it.

    An event is in `outbox.jsonl` before `send` returns and until the receiver has answered 2xx;
    what an earlier run left there is sent first. A receiver may get an event twice (its answer was
    lost, or this process was killed): the event's `id`, also the header `X-Stad-Event`, is then the
    same. Events arrive in their order. What the receiver refuses (an answer 300 to 499 other than
    408, 425 and 429) or does not take within `give_up` seconds goes to `dead.jsonl` with the
    reason. The outbox grows with the events that wait, not with those that have arrived.

    With a secret, the header `X-Stad-Signature` is `t=SECONDS,v1=HEX`: HMAC-SHA256, keyed with the
    secret, of `SECONDS`, a full stop, and the body.

    Attributes:
        left: after the context, events that wait for the next run.
        refused: dead letters of this run.

    Args:
        address: http or https.
        folder: of the two files; of this webhook alone.
        secret: key of the signature; None sends none.
        timeout: seconds that the receiver may be silent; an answer may take three times as long.
        first_pause: seconds before the second attempt; each further pause is twice as long.
        longest_pause: seconds.
        give_up: seconds that an event waits in a run until, not taken by the receiver, it is a dead
            letter; those behind it wait as well.
        linger: seconds that leaving the context waits for what is still to be sent.
        notify: told when sending begins to fail, when it works again, and of dead letters.

    Raises:
        UserError: for another kind of address, or a folder that cannot be written or read.
    """

    def __init__(
        self,
        address: str,
        folder: str | Path,
        *,
        secret: str | None = None,
        timeout: float = 10.0,
        first_pause: float = 1.0,
        longest_pause: float = 300.0,
        give_up: float = 86_400.0,
        linger: float = 5.0,
        notify: Callable[[str], None] = lambda text: None,
    ):
        try:
            parts = urllib.parse.urlsplit(address)
            right = parts.scheme in ("http", "https") and bool(parts.hostname)
            right = right and parts.port != 0 and address.isascii() and address.isprintable()
        except ValueError:  # a port or an IPv6 address that is none
            right = False
        if not right or " " in address:
            raise UserError(f"webhook: expected http://.. or https://.., found {address!r}")
        self._address, self._host, self._secret = address, str(parts.hostname), secret
        self._timeout, self._give_up, self._linger = timeout, give_up, linger
        self._first_pause, self._longest_pause = first_pause, longest_pause
        self._notify = notify
        self._outbox, self._dead = Path(folder) / "outbox.jsonl", Path(folder) / "dead.jsonl"
        self._line = _Line()
        handlers = (_NoRedirect, _Http(self._line), _Https(self._line))
        self._opener = urllib.request.build_opener(*handlers)
        self._changed = threading.Condition()
        began = time.monotonic()
        self._waiting = deque((event, began) for event in self._left_over())
        self._delivered = 0  # lines of the outbox that say so
        self._closing = False
        self.left = self.refused = 0
        self._compact()
        self._file = JsonLinesWriter(self._outbox)
        self._thread = threading.Thread(target=self._run, name="webhook", daemon=True)
        self._thread.start()

    def send(self, values: dict[str, Any]) -> None:
        """Take an event: on disk when this returns, sent when the receiver takes it."""
        event = {"id": uuid.uuid4().hex, **values}
        with self._changed:
            self._file.write(event)
            self._waiting.append((event, time.monotonic()))
            self._changed.notify_all()

    def __enter__(self) -> Webhook:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        end = time.monotonic() + self._linger
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting, timeout=self._linger)
            self._closing = True
            self._changed.notify_all()
        self._thread.join(max(0.0, end - time.monotonic()))
        with self._changed:  # a thread that hangs in the receiver finds the file closed
            self._file.close()
            self._compact()
            self.left = len(self._waiting)
        if self.left:
            self._notify(f"webhook: {self.left:,} events wait in {self._outbox} for the next run")

    def _left_over(self) -> list[dict[str, Any]]:
        events: dict[str, dict[str, Any]] = {}
        try:
            text = self._outbox.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return []
        except OSError as error:
            raise disk_error(error, self._outbox) from error
        lines = text.splitlines()
        for number, line in enumerate(lines, start=1):
            try:
                row = json.loads(line)
                if "done" in row:
                    events.pop(row["done"], None)
                else:
                    events[row["id"]] = row
            except (ValueError, TypeError, KeyError):
                if number == len(lines):
                    break  # the write that a power cut ended: `send` had not returned
                raise UserError(
                    f"{self._outbox}: line {number}: expected an event of an earlier run, found "
                    f"{line[:60]!r}; move the file away"
                ) from None
        return list(events.values())

    def _compact(self) -> None:
        """Leave in the outbox what is still to be sent."""
        with atomic_write(self._outbox) as stream:
            stream.writelines(json.dumps(event) + "\n" for event, _ in self._waiting)

    def _shorten(self) -> None:
        """`_compact` where most of the outbox has been delivered."""
        self._delivered += 1
        if self._delivered <= max(LEFT_LINES, len(self._waiting)):
            return
        self._compact()
        before, self._file = self._file, JsonLinesWriter(self._outbox)
        before.close()
        self._delivered = 0

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closing)
                if self._closing:
                    return
                event, since = self._waiting[0]
            reason = self._deliver(event, since)
            with self._changed:
                if reason == "closing" or self._file.closed:  # it stays in the outbox
                    return
                try:
                    if reason is not None:
                        self._bury(event, reason)
                    self._file.write({"done": event["id"]})
                    self._waiting.popleft()
                    self._shorten()
                except Exception as error:  # a full disk: the event stays in the outbox
                    self._notify(f"webhook: stopped, events are kept in the outbox: {error}")
                    return
                self._changed.notify_all()

    def _deliver(self, event: dict[str, Any], since: float) -> str | None:
        """None once the receiver has it, else why it never will; "closing" when told to end.

        since: the monotonic time from which the event waits.
        """
        pause, failing = self._first_pause, False
        while True:
            problem, final = self._post(event)
            if problem is None:
                if failing:
                    self._notify(f"webhook: {self._host} takes events again")
                return None
            if final:
                return problem
            if not failing:
                self._notify(f"webhook: {self._host}: {problem}; trying again")
                failing = True
            if time.monotonic() - since + pause > self._give_up:
                return f"{problem}, for {self._give_up:g} s"
            with self._changed:
                if self._changed.wait_for(lambda: self._closing, timeout=pause):
                    return "closing"
            pause = min(2 * pause, self._longest_pause)

    def _post(self, event: dict[str, Any]) -> tuple[str | None, bool]:
        """(what went wrong, whether it will always)."""
        body = json.dumps(event, ensure_ascii=False).encode()
        headers = {"Content-Type": "application/json", "X-Stad-Event": event["id"]}
        if self._secret is not None:
            headers["X-Stad-Signature"] = signature(self._secret, int(time.time()), body)
        request = urllib.request.Request(self._address, body, headers, method="POST")
        limit = threading.Timer(SLOWEST * self._timeout, self._line.cut)
        limit.daemon = True
        limit.start()
        try:
            with self._opener.open(request, timeout=self._timeout):
                return None, False
        except urllib.error.HTTPError as error:
            error.close()
            return f"answered {error.code}", error.code < 500 and error.code not in WORTH_REPEATING
        except (OSError, ValueError, http.client.HTTPException) as error:
            return f"no answer ({getattr(error, 'reason', None) or error})", False
        finally:
            limit.cancel()

    def _bury(self, event: dict[str, Any], reason: str) -> None:
        append_row(self._dead, {"reason": reason, "event": event})
        self.refused += 1
        self._notify(f"webhook: {self._host}: {reason}; the event is in {self._dead}")


def signature(secret: str, seconds: int, body: bytes) -> str:
    """The header `X-Stad-Signature` of a body sent at `seconds` since 1970."""
    signed = f"{seconds}.".encode() + body
    return f"t={seconds},v1={hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()}"


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirected POST would arrive as a GET without the event."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


class _Line:
    """The connection of the attempt that goes on; a receiver may answer so slowly that no pause is
    too long, and hold it for ever."""

    def __init__(self) -> None:
        self.connection: http.client.HTTPConnection | None = None

    def cut(self) -> None:
        """End the connection: what reads from it finds its end."""
        line = self.connection.sock if self.connection is not None else None
        if line is not None:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(line, socket.SHUT_RDWR)


class _Http(urllib.request.HTTPHandler):
    def __init__(self, line: _Line):
        super().__init__()

        class Connection(http.client.HTTPConnection):
            def connect(self) -> None:
                line.connection = self
                super().connect()

        self._kind = Connection

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(self._kind, req)


class _Https(urllib.request.HTTPSHandler):
    def __init__(self, line: _Line):
        super().__init__()
        self._ssl = ssl.create_default_context()
        self._ssl.set_alpn_protocols(["http/1.1"])

        class Connection(http.client.HTTPSConnection):
            def connect(self) -> None:
                line.connection = self
                super().connect()

        self._kind = Connection

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(self._kind, req, context=self._ssl)
