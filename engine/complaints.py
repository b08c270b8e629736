"""Bad input, counted by kind with the first offenders kept, told once at the end."""

from __future__ import annotations

from collections.abc import Iterable

from stadet.engine.errors import UserError

SHOWN = 3  # offenders named in a message


class Complaints:
    """Faults of a file: how often, where first, and what was done about them.

    >>> complaints = Complaints("detections.jsonl")
    >>> complaints.add("rows of unknown videos", 2, ["line 4: 'b'", "line 9: 'c'"], "left out")
    >>> complaints.lines()
    ["detections.jsonl: 2 rows of unknown videos, left out (line 4: 'b'; line 9: 'c')"]
    """

    def __init__(self, source: str) -> None:
        self.source = source
        self._kinds: dict[tuple[str, str], tuple[int, list[str]]] = {}

    def __len__(self) -> int:
        return sum(count for count, _ in self._kinds.values())

    def add(self, what: str, count: int, examples: Iterable[str], done: str) -> None:
        """Count `count` more of a kind. `what` is a plural noun; `done` says what became of them.

        Only the first `SHOWN` examples of a kind are read from `examples`, which may be lazy.
        """
        if not count:
            return
        before, kept = self._kinds.get((what, done), (0, []))
        for example in examples:
            if len(kept) >= SHOWN:
                break
            kept.append(example)
        self._kinds[what, done] = (before + int(count), kept)

    def lines(self) -> list[str]:
        """One line a kind, in the order in which the kinds were met."""
        return [
            f"{self.source}: {count:,} {what}, {done}" + (f" ({'; '.join(kept)})" if kept else "")
            for (what, done), (count, kept) in self._kinds.items()
        ]

    def raise_if_any(self) -> None:
        """Under --strict: `UserError` with every kind in one line."""
        if self._kinds:
            raise UserError(
                " | ".join(self.lines()) + "; correct the file or run without strict checking"
            )
