"""What a reader of annotations must know of a video."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from engine.errors import UserError


@dataclass(frozen=True)
class VideoInfo:
    """name: unique in its set; size (height, width) in pixels; fps; num_frames by counting."""

    name: str
    size: tuple[int, int]
    fps: float
    num_frames: int


def find_video(name: str, videos: Mapping[str, object]) -> str | None:
    """The key in `videos` that annotations mean by `name`, or `None`.

    A video in a folder of folders is called `Class/video`. Annotations may name it in full, by its
    last part alone, or with a folder that the footage does not have. Iterates over names only, so
    no video is opened. UserError where the last part alone stands for several videos.
    """
    if name in videos:
        return name
    last = PurePosixPath(name).name
    if last in videos:
        return last
    found = [key for key in videos if PurePosixPath(key).name == last]
    if "/" in name:  # another folder's video of the same last name is another video
        found = [key for key in found if key.endswith(f"/{name}") or name.endswith(f"/{key}")]
    if len(found) > 1:
        raise UserError(
            f"expected one video called {name!r}, found {', '.join(sorted(found))}; "
            "name it with its folder in the annotations"
        )
    return found[0] if found else None
