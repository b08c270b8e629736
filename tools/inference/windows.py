"""Pictures in windows of this machine's display."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterable, Iterator

import numpy as np

from stadet.detect.drawing.render import draw_detections
from stadet.detect.structures import Detections
from stadet.engine.errors import UserError

_TRIAL = "import cv2; cv2.namedWindow('stad'); cv2.waitKey(1); cv2.destroyAllWindows()"
TRIAL_SECONDS = 60.0


class Windows:
    """Windows that show pictures as they come; use it as a context manager.

    Raises:
        UserError: on creation, where no window can be opened.
    """

    def __init__(self) -> None:
        # in a process of its own: without a display OpenCV's Qt ends the process it runs in
        try:
            tried = subprocess.run(
                [sys.executable, "-c", _TRIAL],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=TRIAL_SECONDS,
                check=False,
            )
            opens = tried.returncode == 0
        except subprocess.TimeoutExpired:
            opens = False
        if not opens:
            raise UserError(
                "--show: expected a display that opens windows, found none; leave it out, and "
                "write or serve the pictures instead"
            )

    def __enter__(self) -> Windows:
        return self

    def __exit__(self, *_: object) -> None:
        import cv2

        with contextlib.suppress(cv2.error):
            cv2.destroyAllWindows()

    def show(self, name: str, image: np.ndarray) -> None:
        """Show a picture (H, W, 3) uint8 RGB in the window of that name."""
        import cv2

        cv2.imshow(name, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))

    def quit_pressed(self) -> bool:
        """Let the windows draw; whether q or Escape was pressed."""
        import cv2

        return cv2.waitKey(1) & 0xFF in (ord("q"), 27)


class ShownFrames:
    """Shows the frames of a prediction with their boxes, while the answers go on to their user.

    Attributes:
        ended: whether q or Escape was pressed; no answers come after it.
    """

    def __init__(self, windows: Windows, threshold: float):
        self.ended = False
        self._windows, self._threshold = windows, threshold
        self._waiting: dict[int, np.ndarray] = {}  # frames on their way through the model

    def passing(
        self, frames: Iterable[tuple[int, np.ndarray]]
    ) -> Iterator[tuple[int, np.ndarray]]:
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
