"""The error that a user can correct, as opposed to a fault of the toolkit."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Bad input. The text is one line: what was expected, what was found (file, line, frame),
    what to do. The command line prints it without a traceback and exits with code 2."""


def neighbours(word: str, known: Iterable[str]) -> str:
    """`' (did you mean a, b?)'` for the known words nearest to `word`, or an empty string."""
    close = difflib.get_close_matches(word, [str(k) for k in known], n=3, cutoff=0.5)
    return f" (did you mean {', '.join(close)}?)" if close else ""
