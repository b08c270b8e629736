"""From a decoded frame to the network's size: CPU time and colours of four ways.

    OMP_NUM_THREADS=1 taskset -c 0 python benchmarks/network_size.py
    OMP_NUM_THREADS=1 taskset -c 0 python benchmarks/network_size.py --video FILE

--frames of generated 720p footage (`benchmarks/video.py`) or of --video, decoded beforehand. Each
way takes the same frames in turns, the median of --repeats; RGB of the full size is made once for
all that need it, and counted with each. Errors are grey levels from averages in float64 over the
area of each pixel, luma and chroma apart, then the standard's matrix: of 4:2:0 footage in BT.601 or
BT.709 only.

- area: full RGB, then OpenCV's INTER_AREA, as until version 0.2
- yuv: swscale's area filter from YUV, as its defaults are: chroma of two pixels at a time
- yuv full chroma: the same with chroma of every pixel, rounded exactly
- triangle: full RGB, then `stadet.detect.scaling`, as the toolkit does
"""

from __future__ import annotations

import argparse
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import av
import cv2
import numpy as np
import torch
from av.video.reformatter import Interpolation, VideoReformatter
from video import write_footage

from stadet.datasets.footage.decode import SCALER, Decoder
from stadet.detect.scaling import scaled

SIZES = ((128, 224), (256, 448), (416, 736))
FULL_CHROMA = Interpolation.FULL_CHR_H_INT | Interpolation.ACCURATE_RND
BT709 = 1  # of AVColorSpace
FULL_RANGE = 2  # of AVColorRange


def by_area(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA)


def by_swscale(size: tuple[int, int], way: int) -> Callable[[av.VideoFrame], np.ndarray]:
    scaler = VideoReformatter()

    def scale(frame: av.VideoFrame) -> np.ndarray:
        small = scaler.reformat(
            frame, width=size[1], height=size[0], format="rgb24", interpolation=way, **SCALER
        )
        return small.to_ndarray()

    return scale


def averaged(plane: np.ndarray, count: int, axis: int) -> np.ndarray:
    """Means over `count` equal stretches along an axis, by the integral."""
    plane = np.moveaxis(plane, axis, 0)
    integral = np.concatenate([np.zeros((1, *plane.shape[1:])), plane.cumsum(0)])
    places = np.arange(count + 1) * len(plane) / count
    whole = np.minimum(places.astype(int), len(plane) - 1)
    part = (places - whole)[:, None]
    ends = integral[whole] * (1 - part) + integral[whole + 1] * part
    return np.moveaxis(np.diff(ends, axis=0) * count / len(plane), 0, axis)


def exact(frame: av.VideoFrame, size: tuple[int, int]) -> np.ndarray:
    """(h, w, 3) float64 RGB, averaged in YUV."""
    height, width = frame.height, frame.width
    samples = frame.to_ndarray().astype(np.float64).reshape(-1)
    planes = np.split(samples, [height * width, height * width * 5 // 4])
    y, u, v = (
        averaged(averaged(plane.reshape(shape), size[0], 0), size[1], 1)
        for plane, shape in zip(
            planes, [(height, width), *[(height // 2, width // 2)] * 2], strict=True
        )
    )
    red, blue = (0.2126, 0.0722) if frame.colorspace == BT709 else (0.299, 0.114)
    if frame.color_range != FULL_RANGE:
        y, u, v = (y - 16) * 255 / 219, (u - 128) * 255 / 224, (v - 128) * 255 / 224
    else:
        u, v = u - 128, v - 128
    r, b = y + 2 * (1 - red) * v, y + 2 * (1 - blue) * u
    g = (y - red * r - blue * b) / (1 - red - blue)
    return np.stack([r, g, b], axis=-1).clip(0, 255)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--video", type=Path, help="in place of generated footage")
    parser.add_argument("--frames", type=int, default=30)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        path = args.video or Path(name) / "a.mp4"
        if args.video is None:
            write_footage(path, args.frames, np.random.default_rng(0))
        with Decoder(path) as decoder:
            began = time.process_time()
            frames = list(islice(decoder, args.frames))
            decoding = time.process_time() - began
            images = [decoder.rgb(frame) for frame in frames]
            measure(decoder, frames, images, args.repeats)
    print(f"decoding {1e3 * decoding / len(frames):.2f} ms a frame")


def measure(
    decoder: Decoder, frames: list[av.VideoFrame], images: list[np.ndarray], repeats: int
) -> None:
    height, width = images[0].shape[:2]
    print(
        f"{platform.machine()}, {torch.backends.cpu.get_cpu_capability()}, torch "
        f"{torch.__version__}, OpenCV {cv2.__version__}, PyAV {av.__version__}: "
        f"{len(frames)} frames of {width}x{height}"
    )
    for size in SIZES:
        if size[0] > height:
            continue
        ways: dict[str, tuple[Callable[..., np.ndarray], bool]] = {
            "full RGB": (decoder.rgb, False),
            "area": (lambda image, size=size: by_area(image, size), True),
            "yuv": (by_swscale(size, Interpolation.AREA), False),
            "yuv full chroma": (by_swscale(size, Interpolation.AREA | FULL_CHROMA), False),
            "triangle": (lambda image, size=size: scaled(image, size), True),
        }
        taken: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(repeats):
            for way, (make, from_rgb) in ways.items():
                began = time.process_time()
                for one in images if from_rgb else frames:
                    make(one)
                taken[way].append(1e3 * (time.process_time() - began) / len(frames))
        wanted = np.stack([exact(frame, size) for frame in frames[:8]])
        conversion = statistics.median(taken["full RGB"])
        before = conversion + statistics.median(taken["area"])
        print(f"{size[0]} x {size[1]}: full RGB {conversion:.2f} ms; with it")
        for way, (make, from_rgb) in list(ways.items())[1:]:
            spent = statistics.median(taken[way]) + (conversion if from_rgb else 0)
            made = np.stack([make(one) for one in (images if from_rgb else frames)[:8]])
            error, bias = np.abs(made - wanted).mean(), (made - wanted).mean()
            ratio = spent / before
            print(f"  {way:16s} {spent:5.2f} ms ({ratio:.2f}), error {error:.2f}, mean {bias:+.2f}")


if __name__ == "__main__":
    main()
