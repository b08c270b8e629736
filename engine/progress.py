"""Progress bars with a rate and an estimate; silent when the output is piped."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

T = TypeVar("T")


def progress(
    items: Iterable[T], *, description: str, unit: str = "it", total: int | None = None
) -> Iterable[T]:
    """Iterate over `items` showing a bar on a terminal and nothing elsewhere.

    Call `.update(n)` on the result of `progress_bar` instead where work is not an iteration.
    """
    from tqdm import tqdm

    return tqdm(items, desc=description, unit=unit, total=total, disable=None, leave=False)


def progress_bar(*, description: str, total: int | None, unit: str = "it"):
    """A bar to be fed by hand with `.update(n)`; use it as a context manager."""
    from tqdm import tqdm

    return tqdm(desc=description, unit=unit, total=total, disable=None, leave=False)
