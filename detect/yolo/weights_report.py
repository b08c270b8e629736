"""Report on loaded weights: used, missing and unused tensors."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class WeightsReport:
    """used: the model's tensors or layers that were filled; missing: those that kept their start;
    unused: what the file holds beyond that; notes: why, where it is known. `str` is one line for
    the log."""

    source: str
    used: tuple[str, ...]
    missing: tuple[str, ...]
    unused: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        parts = [f"{self.source}: used {len(self.used)}"]
        for word, names in (("missing", self.missing), ("unused", self.unused)):
            shown = f" ({_some(names)})" if names else ""
            parts.append(f"{word} {len(names)}{shown}")
        return "; ".join([", ".join(parts), *self.notes])


def _some(names: tuple[str, ...], limit: int = 6) -> str:
    more = f", and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
