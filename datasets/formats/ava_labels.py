"""AVA's lists of actions: the label map as protobuf text or as csv."""

from __future__ import annotations

import re
from pathlib import Path

from stadet.engine.errors import UserError
from stadet.engine.reading import csv_rows, guarded, parse_whole, read_text, safe_label, shown

_DIGITS = re.compile(r"[0-9]+")
_ENTRY = re.compile(r"(?<!\w)\w+\s*\{([^{}]*)\}")
_NAME = re.compile(r"name\s*:\s*(\"[^\"]*\"|'[^']*')")
_ID = re.compile(r"\b(?:label_)?id\s*:\s*([0-9]+)")


@guarded("AVA's label map")
def read_label_map(path: str | Path) -> dict[int, str]:
    """Action id -> name, by rising id.

    Reads `item { name: "sit" id: 11 }` (or `label { name: .. label_id: .. }`) blocks, and csv with
    the columns id, name (a header is allowed). UserError for anything else, repeated ids or names.
    """
    path = Path(path)
    text = read_text(path, "AVA's label map (label_map)")
    pairs = _from_blocks(path, text) if "{" in text else _from_csv(path)
    labels: dict[int, str] = {}
    for number, name in pairs:
        if number in labels or name in labels.values():
            raise UserError(
                f"{path}: expected each id and name once, found {number} {name!r} again; "
                "remove the repetition"
            )
        labels[number] = safe_label(name, str(path))
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
        line = text.count("\n", 0, block.start()) + 1
        pairs.append((parse_whole(number[1], f"{path}, line {line}: id"), name[1][1:-1]))
    return pairs


def _from_csv(path: Path) -> list[tuple[int, str]]:
    pairs = []
    for line, row in csv_rows(path, "AVA's label map"):
        is_entry = bool(row) and _DIGITS.fullmatch(row[0].strip()) is not None
        if not row or (line == 1 and not is_entry):
            continue
        if len(row) < 2 or not is_entry:
            raise UserError(
                f"{path}, line {line}: expected an id and a name, found {shown(','.join(row))}"
            )
        pairs.append((parse_whole(row[0], f"{path}, line {line}: id"), row[1].strip()))
    return pairs
