"""CSV files whose cells a spreadsheet shows as text and never runs as a formula."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable
from typing import IO, Any

_FORMULA = re.compile(r"'*[=+\-@\t]")


class CsvWriter:
    """Write rows to a text stream, lines ending in "\\n".

    A text that begins like a formula (``=``, ``+``, ``-``, ``@`` or tab) gets a
    leading ``'``, which spreadsheets take as "this is text"; `cell_text` removes it again. Numbers,
    also those formatted as text, stay as they are; a carriage return becomes a newline.
    """

    def __init__(self, stream: IO[str]) -> None:
        self._writer = csv.writer(stream, lineterminator="\n")

    def writerow(self, cells: Iterable[Any]) -> None:
        """Write one row."""
        self._writer.writerow([_safe(cell) if isinstance(cell, str) else cell for cell in cells])


def cell_text(cell: str) -> str:
    """The text that `CsvWriter` was given for this cell."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def _safe(text: str) -> str:
    text = text.replace("\r\n", "\n").replace("\r", "\n")  # csv leaves "\r" unquoted
    return f"'{text}" if _FORMULA.match(text) and not _is_number(text) else text


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", text) is not None
