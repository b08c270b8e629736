"""MATLAB files of version 5: numbers, text, structs and cells, compressed or not.

After MathWorks' "MAT-File Format" (R2023b), chapter "Level 5 MAT-File Format". scipy reads these
files too, but ends the whole process with a segmentation fault where some bytes are damaged.
"""

from __future__ import annotations

import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from stadet.engine.errors import UserError
from stadet.engine.reading import read_bytes

MAX_UNPACKED = 512 << 20  # bytes of one compressed variable
MAX_DEPTH = 32  # structs within cells within ..

_MATRIX, _COMPRESSED, _INT8, _INT32, _UINT32 = 14, 15, 1, 5, 6
_STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8"}
_STORED |= {13: "u8", 16: "u1", 17: "u2", 18: "u4"}  # the last three: UTF-8, -16 and -32
_NUMERIC = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4"}
_NUMERIC |= {14: "i8", 15: "u8"}
_CELL, _STRUCT, _CHAR = 1, 2, 4
_TEXT = {16: "utf-8", 17: "utf-16", 18: "utf-32"}


def load_mat(path: Path) -> dict[str, Any]:
    """Variables by name: numbers as arrays of MATLAB's shape, text of one row as `str` (of several
    as a list of them), a struct array as a list of dicts, a cell array as a list, both in MATLAB's
    order, columns first. UserError for another version and for a damaged file."""
    content = read_bytes(path, "a MATLAB file (version 5)")
    try:
        return _variables(content)
    except (_Damaged, ValueError, zlib.error, OverflowError, UnicodeError) as error:
        reason = " ".join(str(error).split())[:120]
        raise UserError(
            f"{path}: expected a MATLAB file (version 5), found a damaged one or another version "
            f"({reason})"
        ) from None


def number(value: Any) -> Any:
    """The number in an array of one, as a scalar of MATLAB comes; other values as they are."""
    return value.reshape(-1)[0] if isinstance(value, np.ndarray) and value.size == 1 else value


class _Damaged(Exception):
    """The argument says what is wrong."""


class _Elements:
    """The elements of a stretch of bytes, one after the other."""

    def __init__(self, content: bytes | memoryview, order: str) -> None:
        self.content, self.order = memoryview(content), order
        self.place = 0

    def __bool__(self) -> bool:
        return self.place < len(self.content)

    def next(self) -> tuple[int, memoryview]:
        """(type, content) of the next element."""
        kind, length = self._numbers(self.place, 2)
        if kind >> 16:  # up to four bytes in the place of the length
            kind, length = kind & 0xFFFF, kind >> 16
            start, stop = self.place + 4, self.place + 8
            if length > 4:
                raise _Damaged("a small element of more than four bytes")
        else:
            start = self.place + 8
            stop = start + length + (0 if kind == _COMPRESSED else -length % 8)
        if start + length > len(self.content):
            raise _Damaged("an element that goes past the end")
        self.place = stop
        return kind, self.content[start : start + length]

    def array(self) -> tuple[int, np.ndarray]:
        """(type, numbers) of the next element."""
        kind, content = self.next()
        if kind not in _STORED:
            raise _Damaged(f"data of the unknown type {kind}")
        dtype = np.dtype(self.order + _STORED[kind])
        if len(content) % dtype.itemsize:
            raise _Damaged("a part of a number")
        return kind, np.frombuffer(content, dtype)

    def _numbers(self, place: int, count: int) -> list[int]:
        if place + 4 * count > len(self.content):
            raise _Damaged("a file that is cut off")
        found = np.frombuffer(self.content[place : place + 4 * count], self.order + "u4")
        return [int(n) for n in found]


def _variables(content: bytes) -> dict[str, Any]:
    if len(content) < 128 or content[126:128] not in (b"IM", b"MI"):
        raise _Damaged("no header of version 5")
    order = "<" if content[126:128] == b"IM" else ">"
    version = content[124:126] if order == ">" else content[125:123:-1]
    if version != b"\x01\x00":
        raise _Damaged("another version; save it with -v7")
    elements = _Elements(content[128:], order)
    variables = {}
    while elements:
        kind, part = elements.next()
        if kind == _COMPRESSED:
            unpacker = zlib.decompressobj()
            unpacked = unpacker.decompress(part, MAX_UNPACKED)
            if not unpacker.eof:
                raise _Damaged("a compressed variable that is cut off or too large")
            kind, part = _Elements(unpacked, order).next()
        if kind != _MATRIX:
            raise _Damaged(f"an element of type {kind} in the place of a variable")
        name, value = _matrix(part, order, 0)
        variables[name] = value
    return variables


def _matrix(content: memoryview, order: str, depth: int) -> tuple[str, Any]:
    """(name, value) of an array element's content."""
    if not len(content):
        return "", np.zeros((0, 0))
    if depth > MAX_DEPTH:
        raise _Damaged("arrays that are nested too deeply")
    elements = _Elements(content, order)
    flags = elements.array()[1]
    if len(flags) != 2:
        raise _Damaged("no flags of an array")
    kind, is_complex = int(flags[0]) & 0xFF, bool(int(flags[0]) & 0x0800)
    shape = [int(n) for n in elements.array()[1]]
    if len(shape) < 2 or min(shape) < 0:
        raise _Damaged(f"the shape {shape[:8]}")
    name = bytes(elements.next()[1]).decode("latin-1")
    count = math.prod(shape)
    if kind in _NUMERIC and not is_complex:
        values = elements.array()[1]
        if len(values) != count:
            raise _Damaged(f"{len(values)} numbers for the shape {shape[:8]}")
        return name, values.astype(_NUMERIC[kind]).reshape(shape, order="F")
    if kind == _CHAR:
        return name, _text(elements, shape, count)
    if count > len(content):  # each member takes eight bytes at least
        raise _Damaged(f"{count} members in {len(content)} bytes")
    if kind == _CELL:
        return name, [_member(elements, order, depth) for _ in range(count)]
    if kind == _STRUCT:
        length = int(elements.array()[1][:1].sum())
        raw = bytes(elements.next()[1])
        if not 0 < length <= 1024 or len(raw) % length:
            raise _Damaged("no names of a struct's fields")
        names = (raw[start : start + length] for start in range(0, len(raw), length))
        fields = [field.split(b"\0")[0].decode("latin-1") for field in names]
        if not fields and count:
            raise _Damaged("a struct without fields")
        rows = [{f: _member(elements, order, depth) for f in fields} for _ in range(count)]
        return name, rows
    raise _Damaged(f"an array of the unsupported class {kind}")


def _member(elements: _Elements, order: str, depth: int) -> Any:
    kind, content = elements.next()
    if kind != _MATRIX:
        raise _Damaged(f"an element of type {kind} in the place of an array")
    return _matrix(content, order, depth + 1)[1]


def _text(elements: _Elements, shape: list[int], count: int) -> str | list[str]:
    kind, codes = elements.array()
    if kind in _TEXT:
        suffix = "" if kind == 16 else "-le" if elements.order == "<" else "-be"
        text = codes.tobytes().decode(_TEXT[kind] + suffix)
    else:
        text = "".join(map(chr, codes.tolist()))
    if len(text) != count or len(shape) > 2:
        raise _Damaged(f"{len(text)} characters for the shape {shape[:8]}")
    if shape[0] <= 1:
        return text
    return [text[row :: shape[0]] for row in range(shape[0])]
