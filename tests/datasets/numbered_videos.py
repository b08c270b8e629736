"""Small videos whose every frame shows its own number, in awkward containers."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

SIZE = (64, 160)  # (height, width)
BITS = 10
BLOCK = 16


def numbered_frame(number: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """(H, W, 3) uint8: the number as a row of black and white blocks over a moving ramp."""
    image = np.empty((*size, 3), dtype=np.uint8)
    image[:] = ((np.arange(size[1]) + 3 * number) % 128 + 64).astype(np.uint8)[None, :, None]
    for bit in range(BITS):
        image[:BLOCK, bit * BLOCK : (bit + 1) * BLOCK] = 255 * (number >> bit & 1)
    return image


def number_of(image: np.ndarray) -> int:
    """The number that a decoded frame shows."""
    middle = BLOCK // 2
    bits = [int(image[middle, bit * BLOCK + middle].mean() > 127) for bit in range(BITS)]
    return sum(bit << place for place, bit in enumerate(bits))


def write_numbered(
    path: Path,
    codec: str = "libx264",
    container: str = "mp4",
    *,
    count: int = 60,
    rate: Fraction | int = 30,
    pts: Sequence[int] | None = None,
    time_base: Fraction = Fraction(1, 90000),
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    gop: int = 12,
    b_frames: int | None = None,
    rotation: int = 0,
    size: tuple[int, int] = SIZE,
    pixels: str = "yuv420p",
) -> Path:
    """A video of frames 0..count-1; pts in ticks of `time_base` for a variable rate."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", format=container, options=container_options or {}) as output:
        stream = output.add_stream(codec, rate=rate, options=options or {})
        stream.height, stream.width = size
        stream.pix_fmt = pixels
        stream.codec_context.gop_size = gop
        if b_frames is not None:
            stream.codec_context.max_b_frames = b_frames
        if pts is not None:
            stream.codec_context.time_base = time_base
        if rotation:
            stream.set_display_rotation(rotation)
        for number in range(count):
            frame = av.VideoFrame.from_ndarray(numbered_frame(number, size), format="rgb24")
            frame.pts = number if pts is None else int(pts[number])
            if pts is not None:
                frame.time_base = time_base
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def cut_by_stream_copy(source: Path, path: Path, first_packet: int) -> Path:
    """What careless cutting makes: packets copied from the middle of a group of pictures."""
    with av.open(str(source)) as given, av.open(str(path), "w", format="mp4") as output:
        stream = given.streams.video[0]
        copy = output.add_stream_from_template(stream)
        for place, packet in enumerate(given.demux(stream)):
            if packet.dts is not None and place >= first_packet:
                packet.stream = copy
                output.mux(packet)
    return path
