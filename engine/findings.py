"""Counts of what a reader corrected, left out or doubts: nothing is skipped silently."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from stadet.engine.errors import UserError

_log = logging.getLogger(__name__)

SHOWN = 3  # examples kept of a kind


@dataclass
class _Kind:
    count: int
    examples: list[str]
    phrase: str  # around the examples


class Findings:
    """Counts per file and kind, with the first examples of each.

    source: the file that `add` speaks of; `note` names its own.

    >>> findings = Findings("d.jsonl")
    >>> findings.note("a.xml", "boxes clipped to the frame", 2, first="frame 7")
    >>> findings.add("rows of unknown videos", 2, ["line 4: 'b'", "line 9: 'c'"], "left out")
    >>> findings.lines()
    ['a.xml: 2 boxes clipped to the frame (first: frame 7)', "d.jsonl: 2 rows of unknown videos, left out (line 4: 'b'; line 9: 'c')"]
    """  # noqa: E501 -- the doctest's line

    def __init__(self, source: str | Path = "") -> None:
        self.source = str(source)
        self._kinds: dict[str, dict[str, _Kind]] = {}

    def __len__(self) -> int:
        return sum(kind.count for kinds in self._kinds.values() for kind in kinds.values())

    def note(self, source: str | Path, what: str, count: int = 1, first: str = "") -> None:
        """Add `count` cases of `what` (a plural noun phrase) in file `source`; 0 adds nothing."""
        self._count(str(source), what, count, [first] if first else [], " (first: {})", kept=1)

    def add(self, what: str, count: int, examples: Iterable[str], done: str) -> None:
        """Count `count` more of a kind in the own file. `what` is a plural noun phrase; `done` says
        what became of them.

        Only the first `SHOWN` examples of a kind are read from `examples`, which may be lazy.
        """
        self._count(self.source, f"{what}, {done}", count, examples, " ({})", kept=SHOWN)

    def lines(self) -> list[str]:
        """One line a file."""
        return [
            f"{source}: " + "; ".join(_phrase(*kind) for kind in kinds.items())
            for source, kinds in self._kinds.items()
        ]

    def notes(self) -> list[str]:
        """One line a kind, in the order in which the kinds were met."""
        return [
            f"{source}: {_phrase(*kind)}"
            for source, kinds in self._kinds.items()
            for kind in kinds.items()
        ]

    def report(self) -> None:
        """Log the lines as warnings."""
        for line in self.lines():
            _log.warning(line)

    def raise_if_any(self) -> None:
        """Under --strict: `UserError` with every kind in one line."""
        if self._kinds:
            raise UserError(
                " | ".join(self.notes()) + "; correct the file or run without strict checking"
            )

    def _count(
        self, source: str, what: str, count: int, examples: Iterable[str], phrase: str, kept: int
    ) -> None:
        if not count:
            return
        kind = self._kinds.setdefault(source, {}).setdefault(what, _Kind(0, [], phrase))
        kind.count += int(count)
        for example in examples:
            if len(kind.examples) >= kept:
                break
            kind.examples.append(example)


def _phrase(what: str, kind: _Kind) -> str:
    examples = kind.phrase.format("; ".join(kind.examples)) if kind.examples else ""
    return f"{kind.count:,} {what}{examples}"
