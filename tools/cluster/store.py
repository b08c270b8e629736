"""Where a fleet's results lie: a folder, or a URL; every file there is whole or absent."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from stadet.engine.files import atomic_write, disk_error, temporary_folder
from stadet.tools.cluster.urls import file_system, local_path, telling

OWN = ".stad-fleet"  # below the results: what belongs to the fleet
_WHOLE = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "memory"}  # an object appears at once


def scratch_folder(chosen: str | os.PathLike | None = None) -> Path:
    """Folder of this machine for copies of videos and results on their way."""
    if chosen is not None:
        return Path(chosen)
    return Path(tempfile.gettempdir()) / f"stad-fleet-{os.getuid()}"


class Store:
    """Files below a root by relative name (with `/`)."""

    def __init__(self, root: str | os.PathLike, scratch: str | os.PathLike | None = None) -> None:
        """scratch: see `scratch_folder`; used where the root is a URL."""
        self.root = str(root).rstrip("/") or "/"
        self.folder = local_path(self.root)
        if self.folder is not None:
            self.folder = self.folder.absolute()
        self._scratch = scratch_folder(scratch)

    def __str__(self) -> str:
        return self.root

    def place(self, name: str) -> str:
        """Path or URL of a file."""
        return f"{self.root if self.folder is None else self.folder}/{name}"

    @contextlib.contextmanager
    def staging(self) -> Iterator[Path]:
        """A folder to write results into, from which `publish` takes them; then it is removed."""
        parent = self._scratch if self.folder is None else self.folder / OWN
        with temporary_folder(parent, "results") as folder:
            yield folder

    def publish(self, staged: Path) -> dict[str, int]:
        """Put every file of a staging folder in place, each at once; name -> bytes."""
        sizes: dict[str, int] = {}
        for path in sorted(p for p in staged.rglob("*") if p.is_file()):
            name = path.relative_to(staged).as_posix()
            sizes[name] = path.stat().st_size
            if self.folder is not None:
                self._move(path, self.folder / name)
            else:
                self._upload(path, name)
        return sizes

    def read(self, name: str) -> bytes | None:
        """Content of a file; None where there is none."""
        with telling(self.place(name), "read"):
            try:
                if self.folder is not None:
                    return (self.folder / name).read_bytes()
                return file_system(self.root).cat_file(self.place(name))
            except (FileNotFoundError, NotADirectoryError):
                return None

    def read_all(self, below: str) -> Mapping[str, bytes]:
        """Name -> content of every file below a folder."""
        sizes = self.sizes(below)
        if self.folder is not None:
            found = {name: self.read(name) for name in sizes}
            return {name: content for name, content in found.items() if content is not None}
        if not sizes:
            return {}
        with telling(self.place(below), "read"):
            contents = file_system(self.root).cat([self.place(name) for name in sizes])
        if isinstance(contents, bytes):  # of a single file
            return dict(zip(sizes, [contents], strict=True))
        return {self._name(key): content for key, content in contents.items()}

    def write(self, name: str, content: bytes) -> None:
        """Write a file, whole or not at all."""
        if self.folder is not None:
            with atomic_write(self.folder / name, "wb") as stream:
                stream.write(content)
            return
        with self.staging() as folder:
            path = folder / "file"
            path.write_bytes(content)
            self._upload(path, name)

    def sizes(self, below: str = "") -> dict[str, int]:
        """Name -> bytes of every file below a folder of the root, names from the root."""
        start = f"{self.place(below)}/" if below else f"{self.place('')}"
        if self.folder is not None:
            found: dict[str, int] = {}
            for root, _, files in os.walk(start):
                for file in files:
                    path = Path(root, file)
                    with contextlib.suppress(FileNotFoundError):
                        found[path.relative_to(self.folder).as_posix()] = path.stat().st_size
            return found
        with telling(start, "read"):
            system = file_system(self.root)
            system.invalidate_cache()
            try:
                objects: dict[str, Any] = system.find(start, detail=True)
            except FileNotFoundError:
                return {}
        return {self._name(key): int(facts["size"]) for key, facts in objects.items()}

    def _name(self, key: str) -> str:
        """Name from the root of a file as its file system calls it."""
        root = file_system(self.root)._strip_protocol(self.root).rstrip("/")
        return key.removeprefix(f"{root}/")

    def _move(self, path: Path, target: Path) -> None:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with open(path, "rb") as stream:
                os.fsync(stream.fileno())  # on the disk before the name is
            os.replace(path, target)
        except OSError as error:
            raise disk_error(error, target) from error

    def _upload(self, path: Path, name: str) -> None:
        url = self.place(name)
        with telling(url, "write"):
            system = file_system(self.root)
            if self.root.partition("://")[0].lower() in _WHOLE:
                system.put_file(str(path), url)
                return
            parent, _, last = url.rpartition("/")
            temporary = f"{parent}/.{last}.{os.getpid()}.part"
            system.makedirs(parent, exist_ok=True)
            system.put_file(str(path), temporary)
            system.mv(temporary, url)
