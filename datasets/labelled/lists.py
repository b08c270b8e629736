"""Labelled videos whose labels and sides are in lists: UCF101, HMDB51 and Jester."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from stadet.datasets.footage.video import VIDEO_SUFFIXES
from stadet.datasets.labelled.labelled_video import ClassificationSet, LabelledVideo
from stadet.engine.errors import UserError, neighbours
from stadet.engine.reading import guarded, read_text, safe_label, safe_name, shown

HMDB_FLAGS = {"1": "train", "2": "test", "0": None}
JESTER_FPS = 12.0


@guarded("UCF101's lists")
def read_ucf101(root: Path, lists: Path, split: int = 1) -> ClassificationSet:
    """UCF101 with an official split: `ROOT/Class/v_Class_g01_c01.avi` (or that name without suffix
    as a folder of frames) and `LISTS/classInd.txt`, `trainlist0N.txt`, `testlist0N.txt`.

    A group (g01) is one long video. UserError for a list that is missing, a line of another form,
    an unknown class and a video that is not there.
    """
    root, lists = Path(root), Path(lists)
    names = _class_index(lists / "classInd.txt")
    items = []
    for side in ("train", "test"):
        file = f"{side}list{split:02d}.txt"
        for number, line in _lines(lists / file):
            entry = safe_name(line.split()[0], f"{lists / file}, line {number}")  # then the label
            folder, _, video = entry.rpartition("/")
            found = re.match(r"v_(.+)_g(\d+)_c\d+", video)
            if not found or folder not in names:
                raise UserError(
                    f"{lists / file}, line {number}: expected Class/v_Class_g01_c01.avi of a class "
                    f"in classInd.txt, found {shown(line)}{neighbours(folder, names)}"
                )
            path = _video_or_frames(root / entry, f"{lists / file}, line {number}")
            name = f"{folder}/{Path(video).stem}"
            group = f"{folder}/g{found.group(2)}"
            items.append(LabelledVideo(name, path, names.index(folder), group, side))
    return ClassificationSet(names, tuple(items))


@guarded("HMDB51's lists")
def read_hmdb51(root: Path, lists: Path, split: int = 1) -> ClassificationSet:
    """HMDB51 with an official split: `ROOT/class/video.avi` and `LISTS/class_test_splitN.txt`,
    lines `video.avi flag` with 1 = train, 2 = test, 0 = not used in this split.

    Clips cut from one source (the name up to its class) are one group.
    """
    root, lists = Path(root), Path(lists)
    files = sorted(lists.glob(f"*_test_split{split}.txt")) if lists.is_dir() else []
    if not files:
        raise UserError(f"{lists}: expected <class>_test_split{split}.txt files, found none")
    names = tuple(file.name.removesuffix(f"_test_split{split}.txt") for file in files)
    items = []
    for label, file in enumerate(files):
        for number, line in _lines(file):
            entry, _, flag = line.rpartition(" ")
            entry = entry.strip()
            if flag not in HMDB_FLAGS or not entry:
                raise UserError(
                    f"{file}, line {number}: expected a video and 0, 1 or 2, found {shown(line)}"
                )
            side = HMDB_FLAGS[flag]
            if side is None:
                continue
            safe_name(entry, f"{file}, line {number}")
            path = _video_or_frames(root / names[label] / entry, f"{file}, line {number}")
            stem = Path(entry).stem
            source = stem.partition(f"_{names[label]}_")[0]
            name = f"{names[label]}/{stem}"
            items.append(LabelledVideo(name, path, label, source, side))
    return ClassificationSet(names, tuple(items))


@guarded("Jester's lists")
def read_jester(root: Path, lists: Path) -> ClassificationSet:
    """Jester: frame folders `ROOT/ID/00001.jpg` at 12 fps and `LISTS/*train*.csv`,
    `*validation*.csv` with lines `ID;label`; the order of the classes from `*labels*.csv` where
    there is one.

    Labels that differ only in Left/Right or Clockwise/Counterclockwise swap in a mirrored video.
    Names of signers are not published, so each video is a group.
    """
    root, lists = Path(root), Path(lists)
    listed = []
    for side, word in (("train", "train"), ("val", "validation")):
        for file in sorted(lists.glob(f"*{word}*.csv")) if lists.is_dir() else []:
            listed += [(side, file, number, line) for number, line in _lines(file)]
    if not listed:
        raise UserError(f"{lists}: expected *train*.csv and *validation*.csv of Jester, found none")
    orders = [line for file in sorted(lists.glob("*labels*.csv")) for _, line in _lines(file)]
    names = tuple(orders) or tuple(sorted({line.partition(";")[2] for *_, line in listed}))
    items = []
    for side, file, number, line in listed:
        identity, separator, label = line.partition(";")
        if not separator or label not in names:
            raise UserError(
                f"{file}, line {number}: expected ID;label, found {shown(line)}"
                f"{neighbours(label, names)}"
            )
        path = root / safe_name(identity, f"{file}, line {number}")
        if not path.is_dir():
            raise UserError(f"{file}, line {number}: expected frames in {path}, found no folder")
        items.append(LabelledVideo(identity, path, names.index(label), identity, side))
    return ClassificationSet(names, tuple(items), JESTER_FPS, mirrored_labels(names))


def mirrored_labels(names: tuple[str, ...]) -> dict[str, str]:
    """Pairs of names that differ only in left/right or clockwise/counterclockwise."""
    swaps = {
        "left": "right",
        "right": "left",
        "clockwise": "counterclockwise",
        "counterclockwise": "clockwise",
    }
    by_lower = {name.lower(): name for name in names}
    pairs = {}
    for name in names:
        mirrored = re.sub(
            r"left|right|(counter)?clockwise", lambda m: swaps[m.group()], name.lower()
        )
        if mirrored != name.lower() and mirrored in by_lower:
            pairs[name] = by_lower[mirrored]
    return pairs


def _class_index(path: Path) -> tuple[str, ...]:
    """`1 ApplyEyeMakeup` a line, numbered from 1 without gaps."""
    names = []
    for number, line in _lines(path):
        index, _, name = line.partition(" ")
        if index != str(len(names) + 1) or not name:
            raise UserError(
                f"{path}, line {number}: expected '{len(names) + 1} ClassName', found {shown(line)}"
            )
        names.append(safe_label(name.strip(), f"{path}, line {number}"))
    return tuple(names)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """(number, text) of the lines that are not empty."""
    text = read_text(path, "a list")
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            yield number, line.strip()


def _video_or_frames(path: Path, where: str) -> Path:
    """The listed file, the same name with another video suffix, or a folder of its frames."""
    candidates = [path, path.with_suffix(""), *map(path.with_suffix, sorted(VIDEO_SUFFIXES))]
    for candidate in candidates:
        if candidate.exists():
            return candidate
    raise UserError(f"{where}: expected the video {path}, found nothing; check the folder")
