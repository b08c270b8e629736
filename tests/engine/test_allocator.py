import ctypes
import platform
import subprocess
import sys

import pytest

from stadet.engine import allocator

GLIBC = platform.libc_ver()[0] == "glibc"
FAULTS = """
import resource, sys
import numpy as np
from stadet.engine.allocator import keep_freed_memory
if sys.argv[1] == "kept":
    assert keep_freed_memory()
np.ones(50_000_000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(4):
    np.ones(50_000_000)  # 400 MB: some 100,000 pages
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(way):
    command = [sys.executable, "-c", FAULTS, way]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@pytest.mark.skipif(not GLIBC, reason="needs glibc")
def test_memory_that_was_freed_is_used_again_without_asking_the_system():
    # numpy asks for large pages where it may: then there are fewer faults on either way
    assert faults("kept") < 0.1 * faults("given back")


@pytest.mark.parametrize("fault", [OSError, TypeError])
def test_without_a_c_library_it_does_nothing(monkeypatch, fault):
    def missing(name):
        raise fault

    monkeypatch.setattr(ctypes, "CDLL", missing)
    assert allocator.keep_freed_memory() is False


def test_without_mallopt_it_does_nothing(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    assert allocator.keep_freed_memory() is False
