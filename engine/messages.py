"""Lines for people are log records of the logger `stadet`; a verb shows them on the terminal.

INFO is what is being done and found, WARNING what a caller should know of the data. Without
logging that the program has set up, Python writes warnings to stderr and leaves out the rest.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator

LOGGER = "stadet"
PROGRESS = "stadet.progress"  # of the lines that stand for bars of progress


class _Terminal(logging.Handler):
    """What is found goes to stdout, warnings and progress to stderr.

    A record with `stdout=True` (`extra` of the call) is a warning among what is found.

    Unlike `logging.StreamHandler` it lets the error of a closed pipe through, and looks for the
    streams at each line.
    """

    def emit(self, record: logging.LogRecord) -> None:
        beside = record.levelno >= logging.WARNING or record.name == PROGRESS
        beside = beside and not getattr(record, "stdout", False)
        print(self.format(record), file=sys.stderr if beside else sys.stdout, flush=True)


@contextlib.contextmanager
def shown_on_terminal() -> Iterator[None]:
    """In the block the lines of this package go to the terminal and nowhere else.

    For programs of this package: a library leaves that to its caller.
    """
    logger = logging.getLogger(LOGGER)
    if any(isinstance(handler, _Terminal) for handler in logger.handlers):  # a verb within a verb
        yield
        return
    handler = _Terminal()
    before = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before[0])
        logger.propagate = before[1]
