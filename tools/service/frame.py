"""One frame of a job's video, read by a process of its own: strangers sent the video."""

from __future__ import annotations

import subprocess
import sys
import threading
from dataclasses import astuple
from pathlib import Path

from stadet.datasets.footage.decode import decode_limits
from stadet.engine.errors import UserError
from stadet.tools.service.admission import VideoLimits, check_video
from stadet.tools.service.child import end_with_parent, limit_memory
from stadet.tools.service.settings import ServiceSettings

SECONDS = 120.0  # a long video's index may have to be made first
AT_ONCE = threading.BoundedSemaphore(2)
WAIT_SECONDS = 30.0
JPEG_QUALITY = 90


def read_frame(settings: ServiceSettings, path: Path, shown: str, seconds: float) -> bytes:
    """The frame that a video shows at a time, as JPEG; beyond its end the last one.

    Args:
        settings: whose limits hold.
        path: the video.
        shown: its name in messages.
        seconds: from the first frame.

    Raises:
        UserError: where no frame can be read, or too many are being read.
    """
    command = [sys.executable, "-m", "stadet.tools.service.frame", str(path), shown]
    command += [str(value) for value in (seconds, settings.job_gb, *astuple(settings.video_limits))]
    if not AT_ONCE.acquire(timeout=WAIT_SECONDS):
        raise UserError(f"{shown}: too many frames are being read; try again")
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise UserError(f"{shown}: no frame was read within {SECONDS:g} s") from error
    finally:
        AT_ONCE.release()
    if done.returncode == 0:
        return done.stdout
    said = done.stderr.decode(errors="replace").strip().splitlines()
    if done.returncode == 2 and said:
        raise UserError(said[-1])
    raise UserError(f"{shown}: expected a frame at {seconds:g} s, found none that can be read")


def main(argv: list[str]) -> int:
    """Write the frame to standard output; 2 and a line for what is wrong with the video."""
    path, shown, seconds, memory, *limits = argv
    limit_memory(float(memory))
    end_with_parent()
    from stadet.datasets.footage.video import open_video
    from stadet.detect.drawing.image_file import encode_jpeg

    allowed = VideoLimits(*map(float, limits))
    try:
        check_video(Path(path), shown, allowed)
        with decode_limits(allowed.decoding):
            video = open_video(path)
            index = min(int(video.clock.frame_at(float(seconds))), len(video) - 1)
            sys.stdout.buffer.write(encode_jpeg(video.frame(index), JPEG_QUALITY))
    except UserError as error:
        print(str(error).replace(path, shown), file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
