"""A local page that shows live pictures: one picture a stream, with its figures below."""

from __future__ import annotations

import html
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import numpy as np

from stadet.detect.drawing.image_file import encode_jpeg
from stadet.engine.addresses import is_loopback, names_loopback
from stadet.engine.errors import UserError
from stadet.tools.streams.counts_board import CountsBoard

JPEG_QUALITY = 80
MOST_VIEWERS = 32  # connections that watch at once
BOUNDARY = "frame"
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>stad live</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
:root {{ color-scheme: light dark; font-family: system-ui, sans-serif }}
body {{ margin: 1rem; display: grid; gap: 1rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 30rem), 1fr)) }}
h1 {{ grid-column: 1 / -1; font-size: 1.2rem; margin: 0 }}
figure {{ margin: 0 }} img {{ width: 100%; height: auto; background: #8884 }}
figcaption {{ font-variant-numeric: tabular-nums; padding: .3rem 0 }}
</style></head><body><h1>stad live</h1>{figures}{counts}
<script>
async function tell() {{
  try {{
    const streams = await (await fetch("status.json")).json();
    for (const [name, s] of Object.entries(streams)) {{
      const line = document.querySelector(`[data-stream="${{CSS.escape(name)}}"]`);
      if (line) line.textContent = s.line;
    }}
    const counted = document.getElementById("counts");
    if (counted) {{
      const lines = await (await fetch("counts.json")).json();
      counted.replaceChildren(...lines.map((line) => {{
        const row = document.createElement("li");
        row.textContent = line;
        return row;
      }}));
    }}
  }} catch (error) {{ }}
  setTimeout(tell, 1000);
}}
tell();
// once the page has loaded: a picture that never ends would keep it loading
addEventListener("load", () => setTimeout(() => {{
  for (const image of document.images) image.src = image.dataset.src;
}}));
</script></body></html>
"""
FIGURE = (
    '<figure><img data-src="stream/{path}" alt="live picture of {name}">'
    '<figcaption><strong>{name}</strong> <span data-stream="{name}"></span></figcaption></figure>'
)


COUNTS = (
    '<section><h2>Counted today</h2><ul id="counts"></ul>'
    '<p><a href="counts.html">with plots</a></p></section>'
)
EMPTY = "<!doctype html><title>Counts</title><p>Nothing was counted yet."
COUNTS_REFRESH = "30"  # seconds


class _Picture:
    """The newest picture of a stream, encoded once however many watch."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.number = 0
        self.jpeg = b""
        self.viewers = 0
        self.status: dict[str, Any] = {"line": "waiting for the first frame"}


class LivePage:
    """Serves the newest picture of each stream at ``http://HOST:PORT/``.

    Pictures are multipart JPEG, which browsers and players show as they come; they are encoded only
    while somebody watches. `status.json` holds the figures.

    Args:
        names: names of the streams.
        port: port to listen at; 0 takes a free one.
        host: address to listen at. The page has no password: keep the loopback address, or put a
            proxy with one in front. At a loopback address only requests for one are answered, so
            that no other site's page reaches the pictures by a name of its own.
        counts: the board whose totals are shown, and whose page is at ``/counts.html``.

    Raises:
        UserError: where the port is taken.
    """

    def __init__(
        self,
        names: list[str],
        port: int,
        host: str = "127.0.0.1",
        counts: CountsBoard | None = None,
    ):
        self._counts = counts
        self._pictures = {name: _Picture() for name in names}
        self._local = is_loopback(host)
        page = self

        class Handler(BaseHTTPRequestHandler):
            timeout = 30

            def do_GET(self) -> None:
                page._answer(self)

            def log_message(self, *_: object) -> None:
                pass

        try:
            self._http = ThreadingHTTPServer((host, port), Handler)
        except (OSError, OverflowError) as error:
            raise UserError(
                f"--serve: expected a free port, found that {port} cannot be used ({error}); "
                "choose another"
            ) from error
        self._http.daemon_threads = True
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._http.serve_forever, daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        """Address of the page."""
        host, port = self._http.server_address[:2]
        return f"http://{host}:{port}/"

    def watched(self, name: str) -> bool:
        """Whether somebody looks at a stream now."""
        return self._pictures[name].viewers > 0

    def show(self, name: str, image: np.ndarray, status: dict[str, Any]) -> None:
        """Take a stream's newest picture.

        Args:
            name: name of the stream.
            image: (H, W, 3) uint8 RGB.
            status: plain values for `status.json`; ``line`` is shown below the picture.
        """
        picture = self._pictures[name]
        picture.status = status
        if not self.watched(name) and picture.number:
            return
        jpeg = encode_jpeg(image, JPEG_QUALITY)
        with picture.changed:
            picture.jpeg = jpeg
            picture.number += 1
            picture.changed.notify_all()

    def close(self) -> None:
        """Stop listening; open connections end."""
        self._stopping.set()
        for picture in self._pictures.values():
            with picture.changed:
                picture.changed.notify_all()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def __enter__(self) -> LivePage:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        if self._local and not names_loopback(request.headers.get("Host", "localhost")):
            request.send_error(403, "expected localhost or 127.0.0.1 as the host")
            return
        path = unquote(urlsplit(request.path).path)
        if path == "/":
            figures = "".join(
                FIGURE.format(path=quote(name, safe=""), name=html.escape(name, quote=True))
                for name in self._pictures
            )
            page = PAGE.format(figures=figures, counts=COUNTS if self._counts else "")
            _send(request, "text/html; charset=utf-8", page.encode())
        elif path == "/status.json":
            status = {name: picture.status for name, picture in self._pictures.items()}
            _send(request, "application/json", json.dumps(status).encode())
        elif path == "/counts.html" and self._counts is not None:
            page = self._counts.page or EMPTY
            _send(request, "text/html; charset=utf-8", page.encode(), Refresh=COUNTS_REFRESH)
        elif path == "/counts.json" and self._counts is not None:
            _send(request, "application/json", json.dumps(self._counts.lines).encode())
        elif path == "/health":
            _send(request, "text/plain", b"ok")
        elif path.startswith("/stream/") and path.removeprefix("/stream/") in self._pictures:
            self._stream(request, self._pictures[path.removeprefix("/stream/")])
        else:
            request.send_error(404)

    def _stream(self, request: BaseHTTPRequestHandler, picture: _Picture) -> None:
        if sum(other.viewers for other in self._pictures.values()) >= MOST_VIEWERS:
            request.send_error(503, "too many viewers")
            return
        with picture.changed:
            picture.viewers += 1
        try:
            request.send_response(200)
            request.send_header("Cache-Control", "no-store")
            request.send_header("Content-Type", f"multipart/x-mixed-replace; boundary={BOUNDARY}")
            request.end_headers()
            # a browser shows a picture once the boundary behind it has come
            request.wfile.write(f"--{BOUNDARY}\r\n".encode())
            seen = 0
            while not self._stopping.is_set():
                with picture.changed:
                    picture.changed.wait_for(
                        lambda seen=seen: picture.number > seen or self._stopping.is_set(), 1.0
                    )
                    number, jpeg = picture.number, picture.jpeg
                if number == seen or not jpeg:
                    continue
                seen = number
                head = f"Content-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                request.wfile.write(head.encode() + jpeg + f"\r\n--{BOUNDARY}\r\n".encode())
        except OSError:
            pass  # the viewer has gone
        finally:
            with picture.changed:
                picture.viewers -= 1


def _send(request: BaseHTTPRequestHandler, kind: str, body: bytes, **headers: str) -> None:
    request.send_response(200)
    request.send_header("Content-Type", kind)
    request.send_header("Content-Length", str(len(body)))
    request.send_header("Cache-Control", "no-store")
    for name, value in headers.items():
        request.send_header(name, value)
    request.end_headers()
    request.wfile.write(body)
