"""The models that a service offers: checkpoints in one folder, asked for by name only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from stadet.engine.errors import UserError

SUFFIXES = (".pt", ".onnx")


@dataclass(frozen=True)
class ModelEntry:
    """A model on offer.

    Attributes:
        name: path of its file below the folder of models, with ``/``.
        path: the file.
        kind: ``detector`` or ``classifier``; ``broken`` where it cannot be opened.
        classes: names of its classes.
        message: why it cannot be opened; empty otherwise.
    """

    name: str
    path: Path
    kind: str
    classes: tuple[str, ...]
    message: str = ""

    def public(self) -> dict[str, object]:
        """Plain values for the interface."""
        found: dict[str, object] = {
            "name": self.name,
            "kind": self.kind,
            "classes": list(self.classes),
        }
        if self.message:
            found["message"] = self.message
        return found


class ModelShelf:
    """Looks up models by name; each file is opened once and again when it has changed."""

    def __init__(self, folder: Path):
        self._folder = folder.resolve()
        self._known: dict[Path, tuple[tuple[int, int], ModelEntry]] = {}

    def entries(self) -> list[ModelEntry]:
        """All models, by name."""
        files = sorted(
            path
            for path in self._folder.rglob("*")
            if path.suffix in SUFFIXES and path.is_file() and not path.name.startswith(".")
        )
        return [self._entry(path) for path in files if path.name != "last.pt"]

    def find(self, name: str) -> ModelEntry:
        """The model of a name. UserError where there is none; a name leads nowhere else."""
        for entry in self.entries():
            if entry.name == name:
                if entry.kind == "broken":
                    raise UserError(f"model {name}: cannot be used ({entry.message})")
                return entry
        raise UserError(f"model {name!r}: expected one of those of /api/models, found none")

    def _entry(self, path: Path) -> ModelEntry:
        stat = path.stat()
        key = (stat.st_mtime_ns, stat.st_size)
        if path in self._known and self._known[path][0] == key:
            return self._known[path][1]
        entry = self._open(path)
        self._known[path] = (key, entry)
        return entry

    def _open(self, path: Path) -> ModelEntry:
        from stadet.engine.checkpoint import load_checkpoint
        from stadet.tools.classification.exported import open_exported_classifier
        from stadet.tools.inference.exported import open_exported
        from stadet.tools.inference.kinds import kind_of
        from stadet.tools.inference.runtimes import EXPORTED

        name = path.relative_to(self._folder).as_posix()
        try:
            if path.suffix == EXPORTED:
                kind = kind_of(path)
                find = open_exported if kind == "detector" else open_exported_classifier
                return ModelEntry(name, path, kind, find(path, "onnx").names)
            content = load_checkpoint(path)
            if content.get("kind") == "classifier":
                return ModelEntry(name, path, "classifier", tuple(content["heads"][0]))
            return ModelEntry(name, path, "detector", tuple(content["names"]))
        except (UserError, KeyError, IndexError, TypeError) as error:
            message = str(error) if isinstance(error, UserError) else "not a checkpoint of stad"
            return ModelEntry(name, path, "broken", (), message.replace(str(path), name))
