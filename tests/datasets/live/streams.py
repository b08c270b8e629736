"""Sources for the tests of live streams: scripted ones, and a server of multipart JPEG."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np


class ScriptedCapture:
    """Stands in for a connection: gives frames, waits, breaks off."""

    def __init__(
        self, frames: Sequence[tuple[np.ndarray, float]], *, live=True, pause=0.0, ends=False
    ):
        self.frames, self.live, self.pause, self.ends = frames, live, pause, ends
        self.damaged = 0
        self.closed = False

    def __iter__(self) -> Iterator[tuple[np.ndarray, float]]:
        for image, seconds in self.frames:
            if self.pause:
                time.sleep(self.pause)
            yield image, seconds
        if not self.ends:
            raise ConnectionError("cable pulled")

    def close(self) -> None:
        self.closed = True


class MjpegServer:
    """`http://127.0.0.1:PORT/` with `images` (RGB, or a part's bytes) as multipart JPEG, some a
    connection, then cut off."""

    def __init__(self, images: Sequence[np.ndarray | bytes], fps: float, per_connection: int):
        import cv2

        parts = [
            image
            if isinstance(image, bytes)
            else cv2.imencode(".jpg", image[..., ::-1])[1].tobytes()
            for image in images
        ]
        self.connections = 0
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                start = server.connections * per_connection
                server.connections += 1
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
                self.end_headers()
                try:
                    for part in parts[start : start + per_connection]:
                        head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(part)}"
                        self.wfile.write(head.encode() + b"\r\n\r\n" + part + b"\r\n")
                        self.wfile.flush()
                        time.sleep(1 / fps)
                except OSError:
                    pass

            def log_message(self, *_):
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        threading.Thread(target=self._http.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}/"

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
