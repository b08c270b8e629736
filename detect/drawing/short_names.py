"""Long names where room is short."""

from __future__ import annotations

import unicodedata


def shortened(name: str, width: int) -> str:
    """At most `width` columns of text, the middle left out; East Asian wide letters take two."""
    if _columns(name) <= width:
        return name
    tail = ""
    while _columns(tail) < width // 3:
        tail = name[len(name) - len(tail) - 1 :]
    head = ""
    while _columns(head + name[len(head)]) + 1 + _columns(tail) <= width:
        head = name[: len(head) + 1]
    return f"{head.rstrip()}…{tail.lstrip()}"


def _columns(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)
