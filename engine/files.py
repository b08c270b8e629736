"""Files that are whole or absent: written under a temporary name, then renamed."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from stadet.engine.errors import UserError


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary sibling of `path` (same suffix); rename it to `path` if the block succeeds.

    On an error or interruption the temporary file is removed and `path` keeps its old content.
    A full disk becomes a `UserError`.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(
            prefix=f".{path.stem}.", suffix=path.suffix, dir=path.parent
        )
    except OSError as error:
        raise disk_error(error, path) from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        os.chmod(temporary, 0o666 & ~_umask())  # mkstemp makes private files
        os.replace(temporary, path)
    except OSError as error:
        raise disk_error(error, path) from error
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike, mode: str = "w") -> Iterator[IO[Any]]:
    """Open `path` for writing (`"w"` UTF-8 text or `"wb"`), visible only once it is complete."""
    encoding = None if "b" in mode else "utf-8"
    with atomic_path(path) as temporary, open(temporary, mode, encoding=encoding) as stream:
        yield stream
        stream.flush()
        os.fsync(stream.fileno())


@contextlib.contextmanager
def atomic_directory(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary sibling folder of `path`; rename it to `path` if the block succeeds.

    A `UserError` where `path` holds something already: a folder is never merged or overwritten.
    """
    path = Path(path)
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise UserError(f"{path}: expected a new or an empty folder; choose another or remove it")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    except OSError as error:
        raise disk_error(error, path) from error
    try:
        yield temporary
        os.chmod(temporary, 0o777 & ~_umask())  # mkdtemp makes private folders
        os.replace(temporary, path)
    except OSError as error:
        raise disk_error(error, path) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def no_file(path: str | os.PathLike) -> str:
    """What is wrong with a path for which `Path.is_file` says no."""
    return "expected a file, found a folder" if os.path.isdir(path) else "no such file"


def disk_error(error: OSError, path: str | os.PathLike) -> Exception:
    """A `UserError` for a full disk or a place that cannot be written; else `error` itself."""
    reasons = {
        errno.ENOSPC: "the disk is full; free some space and run the same command again",
        errno.EDQUOT: "the disk quota is used up; free some space and run the same command again",
        errno.EACCES: "permission denied; choose a folder you can write to",
        errno.EPERM: "permission denied; choose a folder you can write to",
        errno.EEXIST: "a file stands where a folder is needed; choose another place",
        errno.ENOTDIR: "a file stands where a folder is needed; choose another place",
        errno.EISDIR: "a folder stands there; choose another name",
        errno.EROFS: "the file system is read-only; choose a folder you can write to",
    }
    reason = reasons.get(error.errno or 0)
    return UserError(f"cannot write {path}: {reason}") if reason else error


def file_digest(path: str | os.PathLike, length: int = 16) -> str:
    """First `length` hexadecimal digits of the SHA-256 of a file's content."""
    with open(path, "rb") as stream:
        return (
            hashlib.file_digest(stream, "sha256").hexdigest()[:length]
            if hasattr(hashlib, "file_digest")
            else _digest_in_chunks(stream)[:length]
        )


def _digest_in_chunks(stream: IO[bytes]) -> str:  # Python 3.10 has no hashlib.file_digest
    digest = hashlib.sha256()
    while chunk := stream.read(1 << 20):
        digest.update(chunk)
    return digest.hexdigest()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
