import errno

import pytest

from stadet.engine.machine_errors import machine_error


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (MemoryError(), "memory ran out"),
        (OSError(errno.EMFILE, "Too many open files", "a.mp4"), "too many files are open"),
        (RuntimeError("unable to open shared memory: Too many open files (24)"), "too many files"),
        (RuntimeError("received 0 items of ancdata"), "too many files are open"),
        (OSError(errno.ENOSPC, "No space left on device", "a"), "cannot write a: the disk is full"),
        (
            OSError("Caught OSError in DataLoader worker process 0.\n[Errno 28] No space left"),
            "the disk is full",
        ),
        (OSError(errno.EROFS, "Read-only file system", "out"), "the file system is read-only"),
        (
            RuntimeError("DataLoader worker (pid 12) is killed by signal: Killed. "),
            "a loading process was killed, most likely because memory ran out",
        ),
        (
            RuntimeError("DataLoader worker (pid 12) is killed by signal: Terminated. "),
            "a loading process was stopped from outside (Terminated)",
        ),
        (
            RuntimeError("DataLoader worker (pid 12) is killed by signal: Bus error. It is .."),
            "ran out of shared memory",
        ),
    ],
)
def test_what_the_machine_lacks_is_told(error, words):
    line = machine_error(error)
    assert words in line and "\n" not in line


@pytest.mark.parametrize("error", [KeyError("a"), RuntimeError("shapes"), OSError("?")])
def test_faults_of_ours_are_none(error):
    assert machine_error(error) is None
