"""Videos as they are named on a command line: files, folders of them, cameras."""

from __future__ import annotations

from pathlib import Path

CAMERA = "camera:"


def expand_sources(sources: list[str], *, cameras: bool = True) -> dict[str, str | Path]:
    """Video name -> file, frame folder or camera; every video below a folder.

    UserError for two videos of one name, and for a camera where there must be none.
    """
    from stadet.datasets.footage.catalog import find_video_paths
    from stadet.datasets.footage.frame_folder import IMAGE_SUFFIXES
    from stadet.engine.errors import UserError

    found: dict[str, str | Path] = {}
    for source in sources:
        if source.startswith(CAMERA):
            if not cameras:
                raise UserError(f"{source}: expected files or folders; record the camera first")
            if not source.removeprefix(CAMERA).isdecimal():
                raise UserError(f"{source}: expected a camera's number, as in camera:0")
            named: dict[str, str | Path] = {source.replace(":", ""): source}
        else:
            path = Path(source)
            if not path.exists():
                raise UserError(f"{path}: expected a video or a folder, found nothing there")
            one = not path.is_dir() or any(
                p.suffix.lower() in IMAGE_SUFFIXES for p in path.iterdir()
            )
            named = {path.stem: path} if one else find_video_paths(path)
        for name, place in named.items():
            if name in found:
                raise UserError(
                    f"two videos are named {name!r}: {found[name]} and {place}; rename one"
                )
            found[name] = place
    return found
