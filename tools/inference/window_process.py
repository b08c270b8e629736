"""The process behind `windows.Windows`: pictures from standard input into windows.

A process of its own, because OpenCV's windows hang in one that has loaded PyAV (both bring X11's
libraries), and because Qt ends its process where there is no display.
"""

from __future__ import annotations

import struct
import sys
import threading

import numpy as np

HEAD = struct.Struct("<III")  # length of the name, height, width; then the name and RGB bytes
READY = b"ready\n"


def main() -> None:
    """Show the newest picture of each name until q, Escape or the end of the input."""
    import cv2

    cv2.namedWindow("stad")
    cv2.waitKey(1)
    cv2.destroyAllWindows()
    sys.stdout.buffer.write(READY)
    sys.stdout.buffer.flush()
    newest: dict[str, np.ndarray] = {}
    ended = threading.Event()

    def read() -> None:
        stream = sys.stdin.buffer
        while len(head := stream.read(HEAD.size)) == HEAD.size:
            length, height, width = HEAD.unpack(head)
            name = stream.read(length).decode()
            data = stream.read(3 * height * width)
            if len(data) < 3 * height * width:
                break
            newest[name] = np.frombuffer(data, np.uint8).reshape(height, width, 3)
        ended.set()

    threading.Thread(target=read, daemon=True).start()
    while not ended.is_set():
        for name in list(newest):
            cv2.imshow(name, cv2.cvtColor(newest.pop(name), cv2.COLOR_RGB2BGR))
        if cv2.waitKey(15) & 0xFF in (ord("q"), 27):
            return


if __name__ == "__main__":
    main()
