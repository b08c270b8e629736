"""A folder that one process at a time writes into."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from stadet.engine.errors import UserError
from stadet.engine.files import disk_error
from stadet.engine.locks import close_locked, try_lock

LOCK_NAME = ".stad-lock"
BEAT_SECONDS = 20.0
PATIENCE_SECONDS = 1.0  # for a process that is just ending
SILENT_SECONDS = 120.0  # a holder on another host that has not touched the file for so long is gone


@contextlib.contextmanager
def folder_lock(folder: str | os.PathLike, doing: str = "writing there") -> Iterator[None]:
    """Hold a folder alone for the block's time; UserError where another process holds it.

    The folder is made if need be, and removed again if nothing but the lock was put into it. Where
    the kernel cannot see a holder on another host, the file's age tells whether that one lives: it
    is touched every 20 s, and counts as left behind after two minutes.
    """
    folder = Path(folder)
    path = folder / LOCK_NAME
    made = not folder.exists()
    handle = _acquire(folder, path, doing)
    stop = threading.Event()
    beat = threading.Thread(target=_beat, args=(path, stop), name="lock", daemon=True)
    beat.start()
    try:
        yield
    finally:
        stop.set()
        beat.join()
        with contextlib.suppress(OSError):
            path.unlink()
            if made:
                folder.rmdir()  # only where nothing was written
        close_locked(handle)


def _acquire(folder: Path, path: Path, doing: str) -> int:
    patience = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise disk_error(error, folder) from error
        locked = try_lock(handle)
        holder = _read_holder(handle)
        if locked is False or not _may_take(handle, holder, locked):
            (close_locked if locked else os.close)(handle)
            if time.monotonic() < patience:
                time.sleep(0.1)
                continue
            raise UserError(f"{folder}: {_words(holder)} is {doing}; wait for it, or stop it first")
        if not _is_still(path, handle):  # removed by the holder that just ended
            (close_locked if locked else os.close)(handle)
            continue
        try:
            os.ftruncate(handle, 0)
            os.pwrite(handle, json.dumps(_myself()).encode(), 0)
        except OSError as error:
            (close_locked if locked else os.close)(handle)
            raise disk_error(error, folder) from error
        return handle


def _may_take(handle: int, holder: dict, locked: bool | None) -> bool:
    """True if the holder that a file names is gone."""
    if not holder:
        return True
    here = holder.get("host") == socket.gethostname()
    if here and locked:
        return True  # the kernel has let go of it
    if here and locked is None:  # a file system without locks
        return not _runs(holder.get("pid"))
    return time.time() - os.fstat(handle).st_mtime > SILENT_SECONDS


def _runs(pid: object) -> bool:
    if not isinstance(pid, int) or pid == os.getpid():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _read_holder(handle: int) -> dict:
    try:
        found = json.loads(os.pread(handle, 4096, 0))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _myself() -> dict[str, object]:
    return {"host": socket.gethostname(), "pid": os.getpid(), "since": time.strftime("%F %T")}


def _words(holder: dict) -> str:
    if not holder:
        return "another process"
    host = holder.get("host")
    where = "" if host == socket.gethostname() else f" on {host}"
    return f"process {holder.get('pid')}{where} (since {holder.get('since')})"


def _is_still(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(handle))
    except OSError:
        return False


def _beat(path: Path, stop: threading.Event) -> None:
    while not stop.wait(BEAT_SECONDS):
        with contextlib.suppress(OSError):
            os.utime(path)
