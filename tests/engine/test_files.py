import errno
import hashlib
import os
import signal
import stat
import subprocess
import sys

import pytest

from stadet.engine import files
from stadet.engine.errors import UserError
from stadet.engine.files import (
    _digest_in_chunks,
    atomic_directory,
    atomic_path,
    atomic_write,
    disk_error,
    file_digest,
    remove_leftovers,
)


def test_text_and_bytes_arrive_whole(tmp_path):
    with atomic_write(tmp_path / "new" / "a.txt") as stream:
        stream.write("é\n")
    assert (tmp_path / "new" / "a.txt").read_bytes() == "é\n".encode()
    with atomic_write(tmp_path / "b.bin", "wb") as stream:
        stream.write(b"\0\1")
    assert (tmp_path / "b.bin").read_bytes() == b"\0\1"


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_interrupted_write_leaves_the_old_file_and_no_other(tmp_path, failure):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(failure), atomic_write(path) as stream:
        stream.write("half of the n")
        assert path.read_text() == "old"
        raise failure
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_temporary_is_a_sibling_with_the_same_suffix(tmp_path):
    with atomic_path(tmp_path / "clip.mp4") as temporary:
        assert temporary.parent == tmp_path and temporary.suffix == ".mp4"
        assert temporary.name.startswith(".")
        temporary.write_bytes(b"x")
        assert not (tmp_path / "clip.mp4").exists()
    assert (tmp_path / "clip.mp4").read_bytes() == b"x"


def test_permissions_follow_the_umask(tmp_path):
    old = os.umask(0o027)
    try:
        with atomic_write(tmp_path / "a.txt") as stream:
            stream.write("x")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == 0o640


def test_full_disk_is_the_users_to_mend(tmp_path):
    with pytest.raises(UserError, match="disk is full"), atomic_write(tmp_path / "a.txt"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert list(tmp_path.iterdir()) == []
    other = OSError(errno.EINVAL, "invalid")
    assert disk_error(other, "a") is other


def test_a_folder_that_is_a_file_is_one_line(tmp_path):
    (tmp_path / "a").write_text("")
    with pytest.raises(UserError, match="cannot write"), atomic_write(tmp_path / "a" / "b.txt"):
        pass


def test_a_file_that_is_a_folder_is_one_line(tmp_path):
    with pytest.raises(UserError, match="a folder of that name"), atomic_write(tmp_path) as stream:
        stream.write("x")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_is_one_line(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(UserError, match="permission denied"), atomic_write(tmp_path / "a.txt"):
        pass


def killed_inside(kind: str, path) -> None:
    """A process that is killed while it writes `path`."""
    script = (
        "import os, signal; from stadet.engine import files\n"
        f"with files.{kind}({str(path)!r}) as temporary:\n"
        "    (temporary / 'a' if temporary.is_dir() else temporary).write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-c", script]).returncode == -signal.SIGKILL


@pytest.mark.parametrize("kind", ["atomic_path", "atomic_directory"])
def test_what_a_killed_writer_left_goes_with_the_next_write(tmp_path, kind):
    killed_inside(kind, tmp_path / "clip.mp4")
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".clip") and files.TEMPORARY in left.name
    (tmp_path / ".clip.own.mp4").write_text("the user's own")
    age(left)
    with atomic_write(tmp_path / "other.txt") as stream:
        stream.write("x")
    assert {p.name for p in tmp_path.iterdir()} == {".clip.own.mp4", "other.txt"}


@pytest.mark.parametrize("kind", [atomic_path, atomic_directory])
def test_what_is_being_written_stays(tmp_path, kind):
    with kind(tmp_path / "clip.mp4") as temporary:
        age(temporary)
        assert remove_leftovers(tmp_path, again=True) == []
        assert temporary.exists()
        if temporary.is_file():
            temporary.write_text("whole")
    assert (tmp_path / "clip.mp4").exists()


def age(path, seconds=3600):
    then = path.stat().st_mtime - seconds
    os.utime(path, (then, then))


@pytest.mark.parametrize("size", [0, 1, (1 << 20) + 3])
def test_digest_is_sha256(tmp_path, size):
    content = bytes(i % 251 for i in range(size))
    (tmp_path / "a").write_bytes(content)
    expected = hashlib.sha256(content).hexdigest()
    assert file_digest(tmp_path / "a") == expected[:16]
    with open(tmp_path / "a", "rb") as stream:  # the way of Python 3.10
        assert _digest_in_chunks(stream) == expected
