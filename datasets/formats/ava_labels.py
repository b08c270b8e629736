"""AVA's lists of actions: the label map as protobuf text or as csv."""

from __future__ import annotations

import csv
import re
from pathlib import Path

from stadet.engine.errors import UserError

_ENTRY = re.compile(r"\w+\s*\{([^{}]*)\}")
_NAME = re.compile(r"name\s*:\s*(\"[^\"]*\"|'[^']*')")
_ID = re.compile(r"\b(?:label_)?id\s*:\s*(\d+)")


def read_label_map(path: str | Path) -> dict[int, str]:
    """Action id -> name, by rising id.

    Reads `item { name: "sit" id: 11 }` (or `label { name: .. label_id: .. }`) blocks, and csv with
    the columns id, name (a header is allowed). UserError for anything else, repeated ids or names.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: expected AVA's label map, found no file; check label_map")
    text = path.read_text(encoding="utf-8-sig")
    pairs = _from_blocks(path, text) if "{" in text else _from_csv(path, text)
    labels: dict[int, str] = {}
    for number, name in pairs:
        if number in labels or name in labels.values():
            raise UserError(
                f"{path}: expected each id and name once, found {number} {name!r} again; "
                "remove the repetition"
            )
        labels[number] = name
    if not labels:
        raise UserError(f"{path}: expected a label map of ids and names, found no entry")
    return dict(sorted(labels.items()))


def _from_blocks(path: Path, text: str) -> list[tuple[int, str]]:
    pairs = []
    for block in _ENTRY.finditer(text):
        name, number = _NAME.search(block[1]), _ID.search(block[1])
        if name is None or number is None:
            line = text.count("\n", 0, block.start()) + 1
            raise UserError(
                f"{path}, line {line}: expected an entry with a name and an id, found "
                f"{' '.join(block[0].split())[:60]!r}"
            )
        pairs.append((int(number[1]), name[1][1:-1]))
    return pairs


def _from_csv(path: Path, text: str) -> list[tuple[int, str]]:
    pairs = []
    for line, row in enumerate(csv.reader(text.splitlines()), start=1):
        if not row or (line == 1 and not row[0].strip().isdigit()):
            continue
        if len(row) < 2 or not row[0].strip().isdigit():
            raise UserError(
                f"{path}, line {line}: expected an id and a name, found {','.join(row)[:60]!r}"
            )
        pairs.append((int(row[0]), row[1].strip()))
    return pairs
