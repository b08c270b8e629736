"""Small sound videos of several containers and codecs."""

from __future__ import annotations

import tempfile
from pathlib import Path

import av
import numpy as np

KINDS = {
    "a.mp4": ("libx264", {"g": "6", "bf": "2"}),
    "b.mkv": ("libx264", {"g": "8"}),
    "c.avi": ("mpeg4", {"g": "6"}),
    "d.ts": ("mpeg2video", {"g": "6"}),
    "e.webm": ("libvpx-vp9", {"g": "8", "deadline": "realtime"}),
}


def small_videos() -> dict[str, bytes]:
    """File name -> content: 30 frames of 64 x 96 pixels of moving stripes."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, (codec, options) in KINDS.items():
            path = Path(folder) / name
            with av.open(str(path), "w") as output:
                stream = output.add_stream(codec, rate=25, options=options)
                stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
                for number in range(30):
                    image = np.zeros((64, 96, 3), np.uint8)
                    image[:, (np.arange(96) + 5 * number) % 24 < 12] = (200, 40 + 5 * number, 90)
                    output.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
                output.mux(stream.encode(None))
            found[name] = path.read_bytes()
    return found
