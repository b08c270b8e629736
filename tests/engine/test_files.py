import errno
import hashlib
import os
import stat

import pytest

from stadet.engine.errors import UserError
from stadet.engine.files import (
    _digest_in_chunks,
    atomic_path,
    atomic_write,
    disk_error,
    file_digest,
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
    other = OSError(errno.EIO, "broken")
    assert disk_error(other, "a") is other


def test_a_folder_that_is_a_file_is_one_line(tmp_path):
    (tmp_path / "a").write_text("")
    with pytest.raises(UserError, match="cannot write"), atomic_write(tmp_path / "a" / "b.txt"):
        pass


def test_a_file_that_is_a_folder_is_one_line(tmp_path):
    with pytest.raises(UserError, match="folder stands there"), atomic_write(tmp_path) as stream:
        stream.write("x")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_is_one_line(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(UserError, match="permission denied"), atomic_write(tmp_path / "a.txt"):
        pass


@pytest.mark.parametrize("size", [0, 1, (1 << 20) + 3])
def test_digest_is_sha256(tmp_path, size):
    content = bytes(i % 251 for i in range(size))
    (tmp_path / "a").write_bytes(content)
    expected = hashlib.sha256(content).hexdigest()
    assert file_digest(tmp_path / "a") == expected[:16]
    with open(tmp_path / "a", "rb") as stream:  # the way of Python 3.10
        assert _digest_in_chunks(stream) == expected
