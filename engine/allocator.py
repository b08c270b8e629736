"""Keep freed memory: glibc gives large blocks back to the system and asks for them again."""

from __future__ import annotations

import ctypes

# of malloc.h
_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4


def keep_freed_memory() -> bool:
    """Let this process reuse the memory that it freed; False where there is no glibc.

    A network's feature maps are freed and wanted again hundreds of times a second; each time, the
    system would hand out zeroed pages one by one, which costs a third of a large network's time on
    a CPU (benchmarks/freed_memory.py). The process stays at its peak until it ends. Processes that
    it forks inherit this.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, TypeError, AttributeError):  # no C library to ask, or not glibc
        return False
    never = -1
    return bool(mallopt(_M_MMAP_MAX, 0) and mallopt(_M_TRIM_THRESHOLD, never))
