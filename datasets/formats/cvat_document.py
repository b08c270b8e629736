"""CVAT's XML and its packaging: exports of tasks, jobs and projects, as a file or in a zip."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path, PurePosixPath

import numpy as np

from stadet.datasets.formats.cvat_shapes import BOX, SHAPES, is_true, shape_box
from stadet.datasets.formats.cvat_tracks import Track
from stadet.engine.errors import UserError
from stadet.engine.findings import Findings
from stadet.engine.reading import image_side, parse_whole, parse_xml, read_bytes, shown

WHAT = "CVAT for video 1.1 XML"
BY_LABEL = "label"  # the action is the track's label
BY_CHECKBOX = "checkboxes"  # each action is an attribute of its own that is true or false
NO_ACTION = frozenset({"", "none", "no action", "__undefined__"})
MAX_ZIPPED = 64 << 20  # bytes: a larger member must not be packed more tightly than MAX_PACKED
MAX_PACKED = 400


@dataclass
class Image:
    """One `<image>` of CVAT for images: a frame of the video with boxes that have no track.

    Attributes:
        name: of the image.
        number: the frame's.
        rows: (box, labels) of its shapes.
        shapeless: it also has a shape without a box.
    """

    name: str
    number: int
    rows: list[tuple[list[float], tuple[str, ...]]]
    shapeless: bool


@dataclass
class Task:
    """One task of a file, or the frames of a task that belong to one job.

    Attributes:
        source: the file.
        names: what it calls its video, the most trusted first.
        labels: class names that it declares.
        size: frames of the task, None where it is not stated.
        image_size: (height, width), None likewise.
        every_frame_listed: see `interpolate`.
    """

    source: str
    names: list[str]
    labels: list[str]
    start: int
    step: int
    size: int | None
    image_size: tuple[int, int] | None
    is_job: bool
    every_frame_listed: bool
    tracks: list[Track]
    images: list[Image] = field(default_factory=list)


def read_tasks(path: Path, action: str, findings: Findings) -> list[Task]:
    """The tasks of an XML file, of a zip with such files at any depth, or of a folder of both."""
    tasks = []
    for source, names, content in _documents(path):
        tasks += _tasks(parse_xml(content, source, WHAT), source, names, action, findings)
    return tasks


def _documents(path: Path) -> Iterator[tuple[str, list[str], bytes]]:
    """(source for messages, names that the video may have, content) of each XML file."""
    if not path.is_dir():
        yield from _file_documents(path, [path.stem])
        return
    found = sorted(p for p in path.rglob("*") if p.suffix.lower() in (".xml", ".zip"))
    found = [p for p in found if not p.name.startswith(".") and p.is_file()]
    if not found:
        raise UserError(
            f"{path}: expected CVAT XML files (*.xml) or its zips below this folder, found none"
        )
    for file in found:
        below = file.relative_to(path).with_suffix("").as_posix()
        yield from _file_documents(file, list(dict.fromkeys([below, file.stem])))


def _file_documents(path: Path, names: list[str]) -> Iterator[tuple[str, list[str], bytes]]:
    if path.suffix.lower() != ".zip":
        yield str(path), names, read_bytes(path, WHAT)
        return
    read_bytes(path, "a zip that CVAT exported") if not path.is_file() else None
    try:
        with zipfile.ZipFile(path) as archive:
            members = [m for m in archive.infolist() if _is_annotation(m)]
            if not members:
                raise UserError(f"{path}: expected annotations.xml in CVAT's zip, found none")
            for member in members:
                packed = member.file_size > MAX_PACKED * max(member.compress_size, 1)
                if member.file_size > MAX_ZIPPED and packed:
                    raise UserError(
                        f"{path}: {shown(member.filename)} would unpack to {member.file_size:,} "
                        "bytes; it is no export of CVAT"
                    )
                stem = PurePosixPath(member.filename).stem
                own = [] if stem == "annotations" else [stem]
                yield f"{path}:{member.filename}", own + names, archive.read(member)
    except (zipfile.BadZipFile, zipfile.LargeZipFile, EOFError, NotImplementedError) as error:
        raise UserError(f"{path}: expected a zip that CVAT exported, found {error}") from None
    except (RuntimeError, zlib_error()) as error:  # encrypted, or damaged
        raise UserError(f"{path}: the zip cannot be read ({error}); export it again") from None


def zlib_error() -> type[Exception]:
    import zlib

    return zlib.error


def _is_annotation(member: zipfile.ZipInfo) -> bool:
    path = PurePosixPath(member.filename)
    hidden = path.name.startswith(".") or "__MACOSX" in path.parts
    return path.suffix.lower() == ".xml" and not hidden and not member.is_dir()


def _tasks(
    root: ElementTree.Element, source: str, names: list[str], action: str, findings: Findings
) -> list[Task]:
    if root.tag != "annotations":
        raise UserError(
            f"{source}: expected {WHAT}, found <{root.tag[:60]}>; "
            "export the task from CVAT as 'CVAT for video 1.1'"
        )
    meta = root.find("meta")
    meta = ElementTree.Element("meta") if meta is None else meta
    labels = declared_labels(meta, action)
    tracks: dict[str, list[Track]] = {}
    listed = False
    for element in root.findall("track"):
        track = _track(element, source, action, findings)
        listed = listed or bool(track.interpolated.any())
        tracks.setdefault(element.get("task_id") or "", []).append(track)
    images: dict[str, list[Image]] = {}
    sizes: dict[str, tuple[int, int]] = {}
    for element in root.findall("image"):
        key = element.get("task_id") or ""
        image, size = _image(element, source, action, findings)
        images.setdefault(key, []).append(image)
        if size is not None and sizes.setdefault(key, size) != size:
            raise UserError(f"{source}: expected images of one size, found another at {image.name}")
    project = meta.find("project")
    if project is None:
        element = next((e for tag in ("task", "job") if (e := meta.find(tag)) is not None), meta)
        own = _task(element, meta, source, names, labels)
        own.every_frame_listed = listed
        own.tracks = [track for found in tracks.values() for track in found]
        own.images = [image for found in images.values() for image in found]
        own.image_size = next(iter(sizes.values()), own.image_size)
        return [own]
    tasks = {}
    for element in project.iter("task"):
        key = (element.findtext("id") or "").strip()
        if key in tasks:
            raise UserError(f"{source}: the task {shown(key)} is listed twice")
        own = _task(element, element, source, [], labels)
        own.every_frame_listed = listed
        own.tracks, own.images = tracks.pop(key, []), images.pop(key, [])
        own.image_size = sizes.get(key, own.image_size)
        tasks[key] = own
    if len(tasks) == 1:
        (only,) = tasks.values()
        only.tracks += tracks.pop("", [])
        only.names += names
    if not tasks:
        raise UserError(f"{source}: expected the tasks of a project, found none; export it again")
    left = [*tracks, *images]
    if left:
        raise UserError(
            f"{source}: expected tracks of the project's tasks ({', '.join(list(tasks)[:8])}), "
            f"found one of task {shown(left[0])}"
        )
    return list(tasks.values())


def _task(
    task: ElementTree.Element,
    meta: ElementTree.Element,
    source: str,
    names: list[str],
    labels: list[str],
) -> Task:
    number = lambda key: (  # noqa: E731
        parse_whole(text, f"{source}: {key}", least=-1, most=2**62)
        if (text := (task.findtext(key) or "").strip())
        else None
    )
    start, size, stop = number("start_frame") or 0, number("size"), number("stop_frame")
    if start < 0 or (size or 0) < 0:
        raise UserError(f"{source}: expected start_frame and size from 0 on")
    step_text = re.search(r"step\s*=\s*([0-9]{1,18})", task.findtext("frame_filter") or "")
    step = max(int(step_text[1]), 1) if step_text else 1
    sizes = [size] if size is not None else []
    if stop is not None and stop >= start:
        sizes.append((stop - start) // step + 1)
    sides = [meta.findtext(f".//original_size/{key}") for key in ("height", "width")]
    image_size = None
    if all(sides):
        height, width = (
            image_side(parse_whole(text, f"{source}: original_size"), f"{source}: original_size")
            for text in sides
        )
        image_size = (height, width)
    found = list(names)
    for text in (meta.findtext(".//source"), task.findtext("name")):
        text = (text or "").strip()
        found += [s for s in (text, text.rpartition(".")[0]) if s and s not in found]
    return Task(
        source=source,
        names=found,
        labels=labels,
        start=start,
        step=step,
        size=min(sizes) if sizes else None,
        image_size=image_size,
        is_job=task.tag == "job",
        every_frame_listed=False,
        tracks=[],
    )


def _track(element: ElementTree.Element, source: str, action: str, findings: Findings) -> Track:
    number = (element.get("id") or "?")[:40]
    label = element.get("label") or ""
    fixed = _attributes(element)
    rows = []
    for shape in element:
        if shape.tag not in SHAPES:
            if shape.tag != "attribute":
                findings.note(source, f"elements of kind <{shape.tag[:40]}> in tracks left out")
            continue
        frame = parse_whole(shape.get("frame"), f"{source}: track {number}: frame", least=0)
        where = f"{source}: track {number} frame {frame}"
        outside = is_true(shape.get("outside"), where)
        if shape.tag == "skeleton" and shape.get("outside") is None:
            points = list(shape.iter("points"))
            outside = bool(points) and all(is_true(p.get("outside"), where) for p in points)
        box, degrees = ([0.0] * 4, 0.0) if outside else shape_box(shape, where)
        shapeless = _shapeless(
            shape, box, outside, source, f"track {number} frame {frame}", findings
        )
        interpolated = not is_true(shape.get("keyframe") or "1", where)
        labels = _labels(label, fixed | _attributes(shape), action, where)
        rows.append((frame, box, degrees, outside, interpolated, shapeless, labels))
    rows = _once_each(sorted(rows, key=lambda row: row[0]), source, number, findings)
    column = lambda i, dtype: np.array([row[i] for row in rows], dtype=dtype)  # noqa: E731
    return Track(
        number,
        element.get("group_id") or "",
        positions=column(0, np.int64),
        boxes=column(1, np.float64).reshape(-1, 4),
        degrees=column(2, np.float64),
        outside=column(3, bool),
        interpolated=column(4, bool),
        shapeless=column(5, bool),
        labels=[row[6] for row in rows],
    )


def _once_each(rows: list[tuple], source: str, number: str, findings: Findings) -> list[tuple]:
    """Rows of distinct frames; CVAT writes the box that ends a track twice where jobs meet."""
    kept = rows[:1]
    for before, after in pairwise(rows):
        if before[0] != after[0]:
            kept.append(after)
        elif (before[3] and after[3]) or before == after:
            what = "boxes that a track lists twice on a frame, taken once"
            findings.note(source, what, first=f"track {number} frame {after[0]}")
        else:
            raise UserError(
                f"{source}: track {number}: frame {after[0]} is listed twice; remove one"
            )
    return kept


def _image(
    element: ElementTree.Element, source: str, action: str, findings: Findings
) -> tuple[Image, tuple[int, int] | None]:
    name = (element.get("name") or "")[:1000]
    where = f"{source}: image {shown(name)}"
    number = parse_whole(element.get("id"), f"{where}: id", least=0)
    sides = [element.get("height"), element.get("width")]
    size = None
    if all(sides):
        height, width = (image_side(parse_whole(s, where), f"{where}: size") for s in sides)
        size = (height, width)
    rows, blank = [], False
    for shape in element:
        if shape.tag not in SHAPES:
            findings.note(source, f"elements of kind <{shape.tag[:40]}> in images left out")
            continue
        box, degrees = shape_box(shape, where)
        if degrees:
            from stadet.datasets.formats.cvat_shapes import enclose_turned

            box = enclose_turned(np.array([box]), np.array([degrees]))[0].tolist()
        if _shapeless(shape, box, False, source, f"image {name}", findings):
            blank = True
            continue
        rows.append((box, _labels(shape.get("label") or "", _attributes(shape), action, where)))
    return Image(name, number, rows, blank), size


def _shapeless(
    shape: ElementTree.Element,
    box: list[float],
    outside: bool,
    source: str,
    place: str,
    findings: Findings,
) -> bool:
    """Has a visible shape that is no `<box>` an area? Notes what is made of it."""
    if outside or shape.tag == BOX:
        if shape.tag == BOX and not outside and float(shape.get("rotation") or 0):
            findings.note(source, "turned boxes read as the boxes around them", first=place)
        return False
    if box[2] > box[0] and box[3] > box[1]:
        what = f"shapes of kind <{shape.tag}> read as the boxes around them"
        findings.note(source, what, first=place)
        return False
    what = f"shapes of kind <{shape.tag}> without an area: their frames count as not looked at"
    findings.note(source, what, first=place)
    return True


def _attributes(element: ElementTree.Element) -> dict[str, str]:
    return {a.get("name", ""): (a.text or "").strip() for a in element.findall("attribute")}


def _labels(label: str, attributes: Mapping[str, str], action: str, where: str) -> tuple[str, ...]:
    if action == BY_LABEL:
        if not label.strip():
            raise UserError(f"{where}: expected a label, found none")
        return (label,)
    if action == BY_CHECKBOX:
        return tuple(name for name, value in attributes.items() if value.lower() == "true")
    values = [part.strip() for part in attributes.get(action, "").split(";")]
    return tuple(dict.fromkeys(v for v in values if v.lower() not in NO_ACTION))


def declared_labels(meta: ElementTree.Element, action: str) -> list[str]:
    """Class names in the order of the label list; the points of a skeleton are no classes."""
    labels = [e for e in meta.iter("label") if not (e.findtext("parent") or "").strip()]
    if action == BY_LABEL:
        return [name for e in labels if (name := e.findtext("name"))]
    attributes = [a for e in labels for a in e.iter("attribute")]
    if action == BY_CHECKBOX:
        return [
            name
            for a in attributes
            if a.findtext("input_type") == "checkbox" and (name := a.findtext("name"))
        ]
    values = [a.findtext("values") or "" for a in attributes if a.findtext("name") == action]
    lines = [value.strip() for text in values for value in text.splitlines()]
    return [value for value in lines if value.lower() not in NO_ACTION]
