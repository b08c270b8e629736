"""Changes of a scene file's zones and lines that leave the rest of its text as it is."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import yaml

from stadet.detect.scene.file import SceneError, parse_scene
from stadet.detect.scene.polygon import Point
from stadet.detect.scene.yaml_text import TextEdits, end_of, find_entry
from stadet.engine.errors import UserError
from stadet.engine.reading import parse_yaml, shown

KINDS = {"zones": "zone", "lines": "line"}  # of a camera, and the key by which rules name one
_NAMING = {"items", "use", "bins", "shifts"}  # mappings whose keys are names, no keywords
_PLAIN = re.compile(r"[^\W\d][\w-]*(?: [\w-]+)*")  # names that need no quotes


@dataclass(frozen=True)
class Shape:
    """A zone or a line as it shall be.

    Attributes:
        name: of it.
        points: (x, y) in shares of the frame.
        was: its name in the file; None = it is new.
    """

    name: str
    points: tuple[Point, ...]
    was: str | None = None


Wanted = Mapping[str, Mapping[str, Sequence[Shape]]]  # shapes by camera and "zones" or "lines"


def edit_scene(text: str, where: str, wanted: Wanted) -> str:
    """The text of a scene file with other zones and lines.

    What is not changed stays letter by letter, comments too; lost are those within the points of a
    zone whose number of points changes. Where a name is gone from all cameras because it was
    changed, rules and counts follow the new name.

    Args:
        text: of the file.
        where: the file, for messages.
        wanted: all zones or lines of a camera that shall have others.

    Raises:
        SceneError: for what `read_scene` would refuse.
        UserError: for cameras and former names that the file has not, and for files that are
            written in a way that cannot be changed so (aliases, merge keys).
    """
    document = parse_yaml(text, where)
    parse_scene(document, where)
    before = {name: dict(values) for name, values in document["cameras"].items()}
    after = {name: dict(values) for name, values in before.items()}
    changed = [
        (camera, kind, shapes)
        for camera, kinds in wanted.items()
        for kind, shapes in kinds.items()
        if _update(after, camera, kind, shapes, where)
    ]
    renamed = {
        KINDS[kind]: dict(_followed(before, after, changed, kind)) for kind in KINDS
    }  # old to new name by the key of rules
    sections = [key for key in ("rules", "counts") if key in document]
    expected = {**document, "cameras": after}
    expected |= {key: _with_names(document[key], renamed) for key in sections}
    parse_scene(expected, where)
    edits = TextEdits(text)
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    try:
        for camera, kind, shapes in changed:
            _edit_shapes(edits, root, camera, kind, before[camera].get(kind, {}), shapes)
        for key in sections:
            _rename(edits, find_entry(root, key)[1], renamed)
        edited = edits.applied()
        done = parse_yaml(edited, where) == expected
    except (UserError, LookupError):
        done = False
    if not done:  # an alias, a merge key, ..
        raise UserError(
            f"{where}: expected cameras, zones and lines written out, found a file that cannot be "
            "changed without changing more of it; edit it by hand"
        )
    return edited


def _update(
    cameras: dict[str, dict[str, Any]], camera: str, kind: str, shapes: Sequence[Shape], where: str
) -> bool:
    """Put the shapes into a camera; False where they are there already."""
    if camera not in cameras:
        raise UserError(f"{where}: camera {shown(camera)} is unknown; load the file again")
    present = cameras[camera].get(kind, {})
    target: dict[str, list[list[float]]] = {}
    for shape in shapes:
        place = ("cameras", camera, kind, shape.name)
        what = f"{where}: camera {camera!r}: {KINDS[kind]}"
        if not shape.name.strip() or not shape.name.isprintable() or len(shape.name) > 200:
            raise SceneError(
                f"{what}: expected a name of 1 to 200 printable characters, found "
                f"{shown(shape.name)}",
                place,
            )
        if shape.name in target:
            raise SceneError(f"{what}: two are called {shape.name!r}; rename one", place)
        target[shape.name] = [list(point) for point in shape.points]
    former = [shape.was for shape in shapes if shape.was is not None]
    if len(set(former)) != len(former) or not set(former) <= set(present):
        raise UserError(f"{where}: camera {camera!r}: {kind} have changed; load the file again")
    if target == present:
        return False
    cameras[camera][kind] = target
    return True


def _followed(
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    changed: Sequence[tuple[str, str, Sequence[Shape]]],
    kind: str,
) -> Iterator[tuple[str, str]]:
    """(old name, new name) where only one new name can be meant."""
    pairs = {
        (shape.was, shape.name)
        for _, changed_kind, shapes in changed
        if changed_kind == kind
        for shape in shapes
        if shape.was not in (None, shape.name)
    }
    known = {name for values in before.values() for name in values.get(kind, {})}
    left = {name for values in after.values() for name in values.get(kind, {})}
    for old, new in pairs:
        alone = [pair for pair in pairs if old in pair or new in pair] == [(old, new)]
        if old is not None and alone and old not in left and new not in known:
            yield old, new


def _with_names(value: Any, renamed: Mapping[str, Mapping[str, str]], naming: bool = False) -> Any:
    """Rules or counts with the new names of zones and lines; `naming`: the keys are names."""
    if isinstance(value, list):
        return [_with_names(item, renamed) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: renamed[key].get(item, item)
        if not naming and key in renamed and isinstance(item, str)
        else _with_names(item, renamed, not naming and key in _NAMING)
        for key, item in value.items()
    }


def _rename(
    edits: TextEdits,
    node: yaml.Node,
    renamed: Mapping[str, Mapping[str, str]],
    naming: bool = False,
) -> None:
    """Do in the text what `_with_names` does."""
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _rename(edits, item, renamed)
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            names = {} if naming else renamed.get(key.value, {})
            if isinstance(value, yaml.ScalarNode) and value.value in names:
                edits.replace(value, _scalar(names[value.value]))
            else:
                _rename(edits, value, renamed, not naming and key.value in _NAMING)


def _edit_shapes(
    edits: TextEdits,
    root: yaml.Node | None,
    camera: str,
    kind: str,
    present: Mapping[str, Any],
    shapes: Sequence[Shape],
) -> None:
    """Make a camera's zones or lines be `shapes`."""
    _, view = find_entry(find_entry(root, "cameras")[1], camera)
    if not isinstance(view, yaml.MappingNode):
        raise LookupError(camera)
    entries = {_scalar(shape.name): _points(shape.points) for shape in shapes}
    if not any(key.value == kind for key, _ in view.value):
        edits.add_entry(view, kind, entries)
        return
    key, node = find_entry(view, kind)
    kept = {shape.was: shape for shape in shapes if shape.was is not None}
    other_count = len(kept) < max(len(shapes), len(present))
    if not kept or (node.flow_style and other_count):
        edits.replace_mapping(view, key, node, entries)
        return
    for name, value in node.value:
        shape = kept.get(name.value)
        if shape is None:
            edits.remove_entry(name, value)
            continue
        if shape.name != name.value:
            edits.replace(name, _scalar(shape.name))
        if [list(point) for point in shape.points] != present[name.value]:
            _edit_points(edits, name, value, shape.points)
    for shape in shapes:
        if shape.was is None:
            edits.append_to(node, f"{_scalar(shape.name)}: {_points(shape.points)}")


def _edit_points(
    edits: TextEdits, name: yaml.Node, value: yaml.Node, points: Sequence[Point]
) -> None:
    """Change the numbers that differ, or write all points where there are others."""
    if len(value.value) == len(points):
        for node, point in zip(value.value, points, strict=True):
            for number, side in zip(node.value, point, strict=True):
                if float(yaml.safe_load(number.value)) != side:
                    edits.replace(number, _number(side))
    elif isinstance(value, yaml.CollectionNode) and value.flow_style:
        edits.replace(value, _points(points))
    else:
        edits.put(name.end_mark.index, end_of(value), f": {_points(points)}")


def _points(points: Sequence[Point]) -> str:
    return "[" + ", ".join(f"[{_number(x)}, {_number(y)}]" for x, y in points) + "]"


def _number(value: float) -> str:
    """The shortest text that means the number, without an exponent, which YAML may take as text."""
    return np.format_float_positional(value, trim="-")


def _scalar(name: str) -> str:
    """A name as YAML."""
    if _PLAIN.fullmatch(name) and yaml.safe_load(name) == name:
        return name
    return json.dumps(name, ensure_ascii=False)
