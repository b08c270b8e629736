"""What the service's child processes do first."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import sys


def limit_memory(gigabytes: float) -> None:
    """Allocations above the limit fail, in this process only."""
    size = int(gigabytes * 2**30)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_DATA, (size, size))


def end_with_parent() -> None:
    """On Linux: this process is killed with the one that started it."""
    if sys.platform == "linux":
        parent = os.getppid()
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        if os.getppid() != parent:
            sys.exit(1)
