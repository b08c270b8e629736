"""Files that are whole or absent: written under a temporary name, then renamed.

A temporary file or folder is called `.NAME.stad-tmp-XXXXXXXX.SUFFIX` and is locked by its writer.
What a killed writer left is removed by the next one in the same folder.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from stadet.engine.errors import UserError
from stadet.engine.locks import close_locked, try_lock

TEMPORARY = ".stad-tmp-"
_FRESH_SECONDS = 2.0  # between making a temporary file and locking it
_tidied: set[Path] = set()  # folders that this process has looked through


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary sibling of `path` (same suffix); rename it to `path` if the block succeeds.

    On an error or interruption the temporary file is removed and `path` keeps its old content.
    A full disk becomes a `UserError`.
    """
    path = Path(path)
    if not path.name:
        raise UserError(f"{str(path)!r}: expected the name of a file to write, found none")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(path.parent)
        handle, name = tempfile.mkstemp(
            prefix=f".{path.stem[:80]}{TEMPORARY}", suffix=path.suffix, dir=path.parent
        )
    except OSError as error:
        raise disk_error(error, path) from error
    try_lock(handle)
    temporary = Path(name)
    try:
        yield temporary
        os.chmod(temporary, 0o666 & ~_umask())  # mkstemp makes private files
        os.replace(temporary, path)
    except OSError as error:
        raise disk_error(error, path) from error
    finally:
        close_locked(handle)
        temporary.unlink(missing_ok=True)


def remove_leftovers(
    folder: str | os.PathLike, *, again: bool = False, fresh_seconds: float = _FRESH_SECONDS
) -> list[Path]:
    """Remove what killed writers left in a folder, once a process (or `again`); what was removed.

    Only files and folders with a name of `atomic_path` or `atomic_directory` that no process locks.
    fresh_seconds: younger ones stay, as their writer may be about to lock them; 0 where the caller
    keeps other writers out.
    """
    folder = Path(folder).absolute()
    if folder in _tidied and not again:
        return []
    _tidied.add(folder)
    removed = []
    with os.scandir(folder) as entries:
        found = [e for e in entries if e.name.startswith(".") and TEMPORARY in e.name]
    for entry in found:
        with contextlib.suppress(OSError):
            if time.time() - entry.stat(follow_symlinks=False).st_mtime < fresh_seconds:
                continue
            if _is_free(entry.path):
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path)
                else:
                    os.unlink(entry.path)
                removed.append(Path(entry.path))
    return removed


def _is_free(path: str) -> bool:
    """No process locks it (and the file system knows locks)."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    free = try_lock(handle)
    (close_locked if free else os.close)(handle)
    return bool(free)


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
    with temporary_folder(path.parent, path.name) as temporary:
        try:
            yield temporary
            os.chmod(temporary, 0o777 & ~_umask())  # mkdtemp makes private folders
            os.replace(temporary, path)
        except OSError as error:
            raise disk_error(error, path) from error


@contextlib.contextmanager
def temporary_folder(parent: str | os.PathLike, name: str) -> Iterator[Path]:
    """A folder in `parent` for the block's time, then removed with what is in it; after a kill by
    `remove_leftovers`."""
    parent = Path(parent)
    try:
        parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(parent)
        temporary = Path(tempfile.mkdtemp(prefix=f".{name[:80]}{TEMPORARY}", dir=parent))
        handle = os.open(temporary, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise disk_error(error, parent / name) from error
    try_lock(handle)
    try:
        yield temporary
    finally:
        close_locked(handle)
        shutil.rmtree(temporary, ignore_errors=True)


def expect_absent(*paths: str | os.PathLike, overwrite: bool = False) -> None:
    """UserError where one of `paths` exists, unless `overwrite`: a verb never replaces a file
    without being told to."""
    for path in paths:
        if not overwrite and os.path.lexists(path):
            raise UserError(f"{path} exists; give --overwrite to replace it, or another --out")


def path_list(given: str | Path | Iterable[str | Path]) -> list[str | Path]:
    """One path, or several, as a list: a text is one path and not its letters."""
    return [given] if isinstance(given, (str, Path)) else list(given)


def file_names(videos: Iterable[str]) -> list[str]:
    """A name without folders for each video, no two alike."""
    names: list[str] = []
    for video in videos:
        name = stem = re.sub(r"[^\w.-]+", "_", video).lstrip(".")
        number = 2
        while name in names:
            name, number = f"{stem}-{number}", number + 1
        names.append(name)
    return names


def no_file(path: str | os.PathLike) -> str:
    """The fault of a path for which `Path.is_file` is False."""
    return "expected a file, found a folder" if os.path.isdir(path) else "no such file"


def disk_error(error: OSError, path: str | os.PathLike) -> Exception:
    """A `UserError` for a full disk or a place that cannot be written; else `error` itself."""
    reasons = {
        errno.ENOSPC: "the disk is full; free some space and run the same command again",
        errno.EDQUOT: "the disk quota is used up; free some space and run the same command again",
        errno.EFBIG: "the file is larger than is allowed here (ulimit -f); raise the limit",
        errno.EIO: "the disk failed to write; check it, then run the same command again",
        errno.EMFILE: "too many files are open; raise the limit (ulimit -n 4096)",
        errno.ENFILE: "too many files are open on this machine; end other programs and try again",
        errno.EACCES: "permission denied; choose a folder you can write to",
        errno.EPERM: "permission denied; choose a folder you can write to",
        errno.EEXIST: "a file is where a folder is needed; choose another place",
        errno.ENOTDIR: "a file is where a folder is needed; choose another place",
        errno.EISDIR: "there is a folder of that name; choose another name",
        errno.ENAMETOOLONG: "the name is too long for the file system; shorten it",
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
