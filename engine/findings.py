"""Counts of what a reader corrected or left out: nothing is skipped silently."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO


@dataclass
class Findings:
    """Counts per file and kind; the caller prints `lines()`, one line a file.

    >>> findings = Findings()
    >>> findings.note("a.xml", "boxes clipped to the frame", 2, first="frame 7")
    >>> findings.lines()
    ['a.xml: 2 boxes clipped to the frame (first: frame 7)']
    """

    _counts: dict[str, dict[str, tuple[int, str]]] = field(default_factory=dict)

    def note(self, source: str | Path, what: str, count: int = 1, first: str = "") -> None:
        """Add `count` cases of `what` (a plural noun phrase) in file `source`; 0 adds nothing."""
        if count:
            kinds = self._counts.setdefault(str(source), {})
            before, earliest = kinds.get(what, (0, first))
            kinds[what] = (before + count, earliest)

    def lines(self) -> list[str]:
        return [
            f"{source}: " + "; ".join(self._phrase(*item) for item in kinds.items())
            for source, kinds in self._counts.items()
        ]

    def report(self, stream: TextIO | None = None) -> None:
        """Print the lines, to stderr unless told otherwise."""
        for line in self.lines():
            print(line, file=stream or sys.stderr)

    @staticmethod
    def _phrase(what: str, counted: tuple[int, str]) -> str:
        count, first = counted
        return f"{count} {what}" + (f" (first: {first})" if first else "")
