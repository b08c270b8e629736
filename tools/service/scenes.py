"""The scene files of a service: those in one folder, asked for by name only."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stadet.detect.scene.edit import Wanted, edit_scene
from stadet.detect.scene.file import parse_scene
from stadet.detect.scene.scene import Scene
from stadet.engine.errors import UserError
from stadet.engine.files import atomic_write
from stadet.engine.reading import decoded, one_line, parse_yaml

SUFFIXES = (".yaml", ".yml")
MARK = b"stad-scene/"  # in a file of another schema version, too
MOST_BYTES = 2**20


class NoScene(UserError):
    """A name that is none of a scene file."""


class SceneChanged(UserError):
    """The file is no longer the one that was edited."""


@dataclass(frozen=True, eq=False)
class SceneFile:
    """A scene file as it is now.

    Attributes:
        name: path below the folder of scenes, with ``/``.
        digest: of its bytes.
        text: of it.
        scene: what it says.
    """

    name: str
    digest: str
    text: str
    scene: Scene


class SceneShelf:
    """Looks up, reads and changes scene files.

    Args:
        folder: of the files; those in subfolders count too.
    """

    def __init__(self, folder: Path):
        self._folder = folder.resolve()
        self._lock = threading.Lock()

    def entries(self) -> Mapping[str, str]:
        """What is wrong with each file by its name; empty where nothing is."""
        return {name: self._fault(name, path) for name, path in self._paths().items()}

    def read(self, name: str) -> SceneFile:
        """A scene file.

        Raises:
            NoScene: no such file.
            UserError: what `read_scene` refuses.
        """
        return self._read(name, self._path(name))

    def save(self, name: str, digest: str, wanted: Wanted) -> SceneFile:
        """Change a file's zones and lines.

        Args:
            name: of the file.
            digest: of the file that was edited.
            wanted: as `edit_scene` takes it.

        Raises:
            SceneChanged: the file is another one by now.
            UserError: what `edit_scene` refuses; nothing is written.
        """
        path = self._path(name)
        with self._lock:
            found = self._read(name, path)
            if found.digest != digest:
                raise SceneChanged(
                    f"{name} was changed by somebody else meanwhile; nothing was written: load it "
                    "again and repeat your changes"
                )
            text = edit_scene(found.text, name, wanted)
            if text == found.text:
                return found
            _write(name, path, text)
            return self._read(name, path)

    def _paths(self) -> dict[str, Path]:
        """The files by name: those that name a scene's schema."""
        found = {}
        for folder, folders, names in os.walk(self._folder):
            folders[:] = [one for one in folders if not one.startswith(".")]
            for name in names:
                path = Path(folder, name)
                if path.suffix in SUFFIXES and not name.startswith(".") and _is_scene(path):
                    found[path.relative_to(self._folder).as_posix()] = path.resolve()
        return dict(sorted(found.items()))

    def _path(self, name: str) -> Path:
        path = self._paths().get(name)
        if path is None:
            raise NoScene(f"scene {name[:200]!r}: expected one of those of /api/scenes, found none")
        return path

    def _read(self, name: str, path: Path) -> SceneFile:
        try:
            content = path.read_bytes()
        except OSError as error:
            raise UserError(f"{name}: cannot be read ({error.strerror})") from error
        text = decoded(content, name)
        digest = hashlib.sha256(content).hexdigest()[:32]
        return SceneFile(name, digest, text, parse_scene(parse_yaml(text, name), name))

    def _fault(self, name: str, path: Path) -> str:
        try:
            self._read(name, path)
        except UserError as error:
            return one_line(str(error))
        return ""


def _write(name: str, path: Path, text: str) -> None:
    """The whole file or nothing, with the rights that it had."""
    if not os.access(path, os.W_OK):
        raise UserError(f"{name}: the service may not write it; nothing was written")
    try:
        mode = path.stat().st_mode & 0o777
        with atomic_write(path, "wb") as stream:
            stream.write(text.encode("utf-8"))
        path.chmod(mode)
    except OSError as error:
        raise UserError(f"{name}: cannot be written ({error.strerror})") from error
    except UserError as error:
        raise UserError(str(error).replace(str(path), name)) from error


def _is_scene(path: Path) -> bool:
    try:
        if not path.is_file() or path.stat().st_size > MOST_BYTES:
            return False
        return MARK in path.read_bytes().replace(b"\0", b"")  # UTF-16, too
    except OSError:
        return False
