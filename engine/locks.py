"""Locks on open files, which the kernel holds for a process and lets go of when it ends.

A lock belongs to an open file, so a killed process, a reboot or a process number that is used again
leaves no stale lock behind. Over NFS the server keeps it for all hosts.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os

_held: set[int] = set()  # open files whose locks a forked child must not keep alive


def try_lock(handle: int) -> bool | None:
    """Lock an open file for this process alone: True if it could, False if another holds it, None
    where the file system knows no locks.

    A forked child closes its copy, so that the lock ends with this process.
    """
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return False if error.errno in (errno.EWOULDBLOCK, errno.EACCES) else None
    _held.add(handle)
    return True


def close_locked(handle: int) -> None:
    """Close a file of `try_lock`, which unlocks it."""
    _held.discard(handle)
    os.close(handle)


def _close_in_child() -> None:
    for handle in _held:
        with contextlib.suppress(OSError):
            os.close(handle)
    _held.clear()


os.register_at_fork(after_in_child=_close_in_child)
