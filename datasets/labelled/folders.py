"""Labelled videos in folders named after their classes."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from stadet.datasets.footage.video import find_videos
from stadet.datasets.labelled.labelled_video import SIDES, ClassificationSet, LabelledVideo
from stadet.engine.errors import UserError, neighbours

SIDE_FOLDERS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
GroupOf = Callable[[str], str]


def read_class_folders(
    root: Path, *, names: Sequence[str] | None = None, group_of: GroupOf | None = None
) -> ClassificationSet:
    """`ROOT/[train|val|test/]CLASS/video`, a video being a file or a folder of images.

    names: the order of the classes (default: alphabetical); group_of: a video's group from its
    name (default: each video is a group). A video's name is its path below the root.
    UserError where the root is missing, a class folder is empty, or a side has an unknown class.
    """
    root = Path(root)
    if not root.is_dir():
        raise UserError(f"{root}: expected a folder of class folders, found nothing; check it")
    places = _side_folders(root)
    folders = [(side, folder) for side, place in places for folder in _subfolders(place)]
    if not folders:
        raise UserError(f"{root}: expected class folders with videos, found none")
    found = sorted({folder.name for _, folder in folders})
    order = tuple(names) if names else tuple(found)
    items = []
    for side, folder in folders:
        if folder.name not in order:
            raise UserError(
                f"{folder}: expected a folder of one of the {len(order)} classes, found "
                f"{folder.name!r}{neighbours(folder.name, order)}"
            )
        videos = find_videos(folder)
        if not videos:
            raise UserError(
                f"{folder}: expected videos of class {folder.name!r}, found none; "
                "add some or remove the folder"
            )
        for path in videos:
            group = group_of(path.stem) if group_of else path.stem
            name = (path.parent.relative_to(root) / path.stem).as_posix()
            items.append(LabelledVideo(name, path, order.index(folder.name), group, side))
    items.sort(key=lambda item: item.name)
    return ClassificationSet(order, tuple(items))


def read_handwash(root: Path, *, names: Sequence[str] | None = None) -> ClassificationSet:
    """The Hand Wash Dataset's layout, `ROOT/train|val|test/Step_x/HandWash_003_A_01_G_01.mp4`.

    Its group is the recording's number (003): steps of one recording share person, sink and light.
    """
    return read_class_folders(root, names=names, group_of=handwash_group)


def handwash_group(name: str) -> str:
    """`HandWash_003_A_01_G_01` -> `003`; a name of another form is a group of its own."""
    found = re.match(r"HandWash_(\d+)_A_\d+", name)
    return found.group(1) if found else name


def read_ucf11(root: Path, *, names: Sequence[str] | None = None) -> ClassificationSet:
    """UCF11 (UCF YouTube Action): `ROOT/class/group/clip.mpg`, e.g.
    `basketball/v_shooting_01/v_shooting_01_01.mpg`; the folder `Annotation` is left out.

    Clips of one group come from one long video, so they belong on the same side.
    """
    root = Path(root)
    folders = _subfolders(root) if root.is_dir() else []
    if not folders:
        raise UserError(f"{root}: expected class folders of UCF11, found none; check the path")
    order = tuple(names) if names else tuple(folder.name for folder in folders)
    items = []
    for folder in folders:
        if folder.name not in order:
            raise UserError(
                f"{folder}: expected one of the {len(order)} classes"
                f"{neighbours(folder.name, order)}"
            )
        groups = [group for group in _subfolders(folder) if group.name.lower() != "annotation"]
        clips = [(group, path) for group in groups for path in find_videos(group)]
        if not clips:
            raise UserError(f"{folder}: expected groups of clips (class/group/clip), found none")
        for group, path in clips:
            name = f"{folder.name}/{group.name}/{path.stem}"
            label = order.index(folder.name)
            items.append(LabelledVideo(name, path, label, f"{folder.name}/{group.name}"))
    return ClassificationSet(order, tuple(items))


def read_unknown(root: Path, side: str | None = None) -> list[LabelledVideo]:
    """Videos that show none of the classes: `ROOT/[train|val|test/]video`."""
    root = Path(root)
    places = _side_folders(root) if root.is_dir() else []
    items = []
    for found, place in places:
        for path in find_videos(place):
            name = "none/" + (path.parent.relative_to(root) / path.stem).as_posix()
            items.append(LabelledVideo(name, path, 0, name, found or side))
    if not items:
        raise UserError(f"{root}: expected videos that show none of the classes, found none")
    return items


def _side_folders(root: Path) -> list[tuple[str | None, Path]]:
    """(side, folder) where all subfolders are sides, else the root itself without a side."""
    sides = {folder: SIDE_FOLDERS.get(folder.name.lower()) for folder in _subfolders(root)}
    if not sides or None in sides.values():
        return [(None, root)]
    return sorted(
        ((side, folder) for folder, side in sides.items()), key=lambda pair: SIDES.index(pair[0])
    )


def _subfolders(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
