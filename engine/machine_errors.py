"""Errors of the machine rather than of the program, in words: memory, disks, files, processes."""

from __future__ import annotations

import errno
import os
import re

_NUMBER = re.compile(r"\[Errno (\d+)\]")
_KILLED = re.compile(r"DataLoader worker \(pid\(?s?\)? ?[\d, ]+\) is killed by signal: ([\w ]+)")


def machine_error(error: BaseException) -> str | None:
    """One line on what to do, for an error that the machine caused; else None."""
    text = str(error).strip()
    if isinstance(error, MemoryError) or "OutOfMemoryError" in type(error).__name__:
        return "memory ran out; make the batch or the network's input smaller"
    if "Too many open files" in text or "received 0 items of ancdata" in text:
        return "too many files are open; raise the limit (ulimit -n 4096) or use fewer workers"
    if isinstance(error, OSError):
        return _disk(error, text)
    if isinstance(error, RuntimeError) and "DataLoader worker (pid" in text:
        return _loading_process(text)
    return None


def _disk(error: OSError, text: str) -> str | None:
    from stadet.engine.files import disk_error

    number = error.errno
    if number is None and (found := _NUMBER.search(text)):  # raised again from a loading process
        number = int(found[1])
    if number is None or number == errno.EPIPE:
        return None
    told = disk_error(OSError(number, os.strerror(number)), error.filename or "a file")
    return None if isinstance(told, OSError) else str(told)


def _loading_process(text: str) -> str:
    found = _KILLED.search(text)
    reason = found[1].strip() if found else ""
    if reason in ("Terminated", "Hangup", "Interrupt"):
        return f"a loading process was stopped from outside ({reason}); run the command again"
    if "Bus error" in reason:
        return (
            "a loading process ran out of shared memory; give the container more (docker run "
            "--shm-size=2g), or set the number of workers to 0"
        )
    if "Segmentation" in reason or "Aborted" in reason:
        return (
            f"a loading process crashed ({reason}), in a video decoder as a rule; set the number "
            "of workers to 0 to see where"
        )
    return (
        "a loading process was killed, most likely because memory ran out; lower the number "
        "of workers or the batch, then resume"
    )
