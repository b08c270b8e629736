"""Answer frames as a camera gives them, and tell each action when it has ended.

    python examples/camera_stream.py runs/recurrent/best.pt 0

Any source of frames will do: `watch` takes an iterator of (seconds, image).
"""

import sys
import time
from collections.abc import Iterable, Iterator

import numpy as np

import stadet


def camera(number: int) -> Iterator[tuple[float, np.ndarray]]:
    """Frames of a camera as OpenCV reads them (BGR), with the seconds since the first."""
    import cv2

    capture = cv2.VideoCapture(number)
    began = time.monotonic()
    while True:
        there, image = capture.read()
        if not there:
            return
        yield time.monotonic() - began, image


def watch(checkpoint: str, frames: Iterable[tuple[float, np.ndarray]], threshold: float) -> int:
    """Print every action that has ended; returns their number."""
    detector = stadet.open_detector(checkpoint)
    stream = detector.stream(channels="bgr", threshold=threshold)
    linker = stadet.OnlineLinker(stadet.LinkOptions(min_length=2))
    count = 0

    def tell(tubes: list[stadet.Tube]) -> int:
        for tube in tubes:
            print(f"{detector.names[tube.label]}: frames {tube.start} to {tube.stop - 1}")
        return len(tubes)

    for seconds, image in frames:
        found = stream(image, seconds=seconds)  # remembers what came before
        count += tell(linker.update(found.frame, found))
    return count + tell(linker.finish())


if __name__ == "__main__":
    watch(sys.argv[1], camera(int(sys.argv[2])), threshold=0.3)
