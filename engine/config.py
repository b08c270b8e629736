"""Configuration: dataclasses + YAML + dotted overrides, resolved to plain data.

jsonargparse does the typing; this file adds one-line errors that name the neighbours of an
unknown key.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from stadet.engine.errors import UserError, neighbours
from stadet.engine.exact_values import InexactError, build_exact
from stadet.engine.reading import parse_yaml, read_yaml_document, shown
from stadet.engine.signatures import checked

Config = TypeVar("Config")


@checked
def load_config(
    kind: type[Config], path: str | Path | None = None, overrides: str | Sequence[str] = ()
) -> Config:
    """Configuration from its defaults, a YAML file and overrides.

    Args:
        kind: the dataclass, as `TrainConfig`.
        path: the YAML file; None = defaults only.
        overrides: such as `["loop.epochs=3", "data.size=[288, 512]"]`; later ones win.

    Raises:
        UserError: for a missing file, bad YAML, an unknown key or a value of the wrong type.
    """
    merged: dict[str, Any] = {}
    if path is not None:
        merged = read_yaml(path)
    for override in [overrides] if isinstance(overrides, str) else overrides:
        key, equals, text = override.partition("=")
        if not equals:
            raise UserError(f"override {override!r}: expected key.path=value")
        value = parse_yaml(text, f"override {override!r}")
        _assign(merged, key.strip().lstrip("-").split("."), value)
    source = str(path) if path else "configuration"
    return from_dict(kind, merged, source, may_import=True)


class VariantConfig:
    """A configuration whose keys depend on a value in it."""

    @classmethod
    def variant(cls, values: Mapping[str, Any], source: str, *, may_import: bool) -> type:
        """The dataclass, a subclass, that `values` are checked against.

        source: of the values, for messages. may_import: they are the user's own and may name code.
        """
        return cls


def from_dict(
    kind: type[Config], values: dict[str, Any], source: str, *, may_import: bool = False
) -> Config:
    """An instance of the dataclass `kind` from nested plain data, checked and coerced.

    may_import: the values are the user's own, so a `VariantConfig` may import code they name.
    """
    if issubclass(kind, VariantConfig):
        kind = kind.variant(values, source, may_import=may_import)
    types = _types(kind)
    known = set(types)
    for key, value in _flatten(values, known):
        if key not in known:
            raise UserError(f"{source}: unknown key {key!r}{neighbours(key, known)}")
        if _has_keys_below(key, known) and not isinstance(value, dict):
            raise UserError(f"{source}: {key}: expected keys below it, found {value!r}")
        if value is None and type(None) not in typing.get_args(types[key]):
            raise UserError(
                f"{source}: {key}: expected a value, found none (null); leave the key out for its "
                "default"
            )
    # jsonargparse converts, and words what is wrong, also where a dataclass refuses its values
    with contextlib.suppress(InexactError, UserError, ValueError, TypeError):
        return build_exact(kind, values)
    import jsonargparse

    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("--root", type=kind)
    try:
        parsed = parser.parse_object({"root": values})
        return parser.instantiate_classes(parsed).root
    except jsonargparse.ArgumentError as error:
        lines = [line.strip(" -") for line in str(error).splitlines() if line.strip(" -")]
        text = re.sub(r"\broot\.", "", " ".join(lines))
        raise UserError(f"{source}: {text}") from error


def to_dict(config: Any) -> dict[str, Any]:
    """The resolved configuration as plain data (what checkpoints and `config.yaml` hold)."""
    return _plain(dataclasses.asdict(config))


def read_yaml(path: str | Path) -> dict[str, Any]:
    """A YAML file's mapping; UserError with the line where it is not one."""
    content = read_yaml_document(path)
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected key: value lines, found a {type(content).__name__}")
    if not all(isinstance(key, (str, int)) for key in content):
        raise UserError(f"{path}: expected words as keys, found {shown(list(content))}")
    return content


def dotted_keys(kind: type) -> list[str]:
    """Every key of a nested dataclass, in dots, inner nodes too."""
    return list(_types(kind))


def _types(kind: type, prefix: str = "") -> dict[str, Any]:
    """The type of each of `dotted_keys`."""
    types = {}
    hints = typing.get_type_hints(kind)
    for entry in dataclasses.fields(kind):
        name, hint = prefix + entry.name, hints[entry.name]
        types[name] = hint
        if isinstance(hint, type) and dataclasses.is_dataclass(hint):
            types |= _types(hint, name + ".")
    return types


def _flatten(
    values: dict[str, Any], known: set[str], prefix: str = ""
) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        key = f"{prefix}{name}"
        yield key, value
        if isinstance(value, dict) and _has_keys_below(key, known):
            yield from _flatten(value, known, key + ".")


def _has_keys_below(key: str, known: set[str]) -> bool:
    return any(k.startswith(key + ".") for k in known)


def _assign(target: dict[str, Any], path: list[str], value: Any) -> None:
    for name in path[:-1]:
        if not isinstance(target.get(name), dict):
            target[name] = {}
        target = target[name]
    target[path[-1]] = value


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return str(value) if isinstance(value, Path) else value
