"""Pictures in windows of this machine's display."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator

import numpy as np

from stadet.detect.drawing.render import draw_detections
from stadet.detect.structures import Detections
from stadet.engine.errors import UserError
from stadet.tools.inference import window_process

OPEN_SECONDS = 30.0


class Windows:
    """Windows that show pictures as they come; use it as a context manager.

    Raises:
        UserError: on creation, where no window can be opened.
    """

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", window_process.__name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # the message below says it
            start_new_session=True,  # Ctrl-C is for this process
        )
        assert self._process.stdout is not None
        late = threading.Timer(OPEN_SECONDS, self._process.kill)
        late.start()
        opens = self._process.stdout.readline() == window_process.READY
        late.cancel()
        if not opens:
            self.close()
            raise UserError(
                "--show: expected a display that opens windows, found none; leave it out, and "
                "write or serve the pictures instead"
            )

    def __enter__(self) -> Windows:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the windows."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                if stream is not None:
                    stream.close()

    def show(self, name: str, image: np.ndarray) -> None:
        """Show a picture (H, W, 3) uint8 RGB in the window of that name."""
        assert self._process.stdin is not None
        words = name.encode()
        with contextlib.suppress(OSError):  # closed by the user, which `quit_pressed` tells
            self._process.stdin.write(
                window_process.HEAD.pack(len(words), *image.shape[:2]) + words + image.tobytes()
            )
            self._process.stdin.flush()

    def quit_pressed(self) -> bool:
        """Whether q or Escape was pressed in a window."""
        return self._process.poll() is not None


class ShownFrames:
    """Shows the frames of a prediction with their boxes, while the answers go on to their user.

    Attributes:
        ended: whether q or Escape was pressed; no answers come after it.
    """

    def __init__(self, windows: Windows, threshold: float):
        self.ended = False
        self._windows, self._threshold = windows, threshold
        self._waiting: dict[int, np.ndarray] = {}  # frames on their way through the model

    def passing(self, frames: Iterable[tuple[int, np.ndarray]]) -> Iterator[tuple[int, np.ndarray]]:
        """Keep the frames that go to the model until they are answered for."""
        for number, image in frames:
            self._waiting[number] = image
            yield number, image

    def answered(
        self, name: str, answers: Iterable[tuple[int, Detections]]
    ) -> Iterator[tuple[int, Detections]]:
        """Show each frame with its answer in the window `name`."""
        for number, found in answers:
            image = self._waiting.pop(number).copy()
            for earlier in [key for key in list(self._waiting) if key < number]:
                del self._waiting[earlier]
            draw_detections(image, found, threshold=self._threshold)
            self._windows.show(name, image)
            yield number, found
            if self._windows.quit_pressed():
                self.ended = True
                return
