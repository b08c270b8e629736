"""The keys of a configuration with type, default and meaning, read from the source.

The source is parsed, not imported: `stad train --help` lists a hundred keys without loading torch.
"""

from __future__ import annotations

import ast
import importlib.util
import inspect
import json
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path


@dataclass(frozen=True)
class Key:
    """One key of a configuration file.

    path: dotted, as on the command line.
    type: as in the source; choices are listed ("letterbox | stretch").
    default: as in a YAML file; "" for a key that must be given.
    text: its meaning, from the "Attributes:" section of its dataclass.
    """

    path: str
    type: str
    default: str
    text: str


def documented_keys(kind: str) -> list[Key]:
    """The keys of the dataclass `kind` ("module:name") and of the dataclasses nested in it."""
    module, _, name = kind.partition(":")
    return list(_keys(_module(module), name, "", {}))


def keys_text(kind: str, width: int = 98) -> str:
    """The keys as lines for a terminal: key, type and default, then the meaning below."""
    indent = " " * 6
    lines = ["configuration keys (type = default):"]
    for key in documented_keys(kind):
        lines.append(f"  {key.path}: {key.type}{f' = {key.default}' if key.default else ''}")
        lines += textwrap.wrap(
            key.text,
            width,
            initial_indent=indent,
            subsequent_indent=indent,
            break_on_hyphens=False,  # names of models stay whole
        )
    return "\n".join(lines)


@dataclass(frozen=True)
class _Module:
    """The top level of a source file.

    values: of names that are assigned.
    imports: the module that each imported name is of.
    """

    classes: dict[str, ast.ClassDef]
    functions: dict[str, ast.FunctionDef]
    values: dict[str, ast.expr]
    imports: dict[str, str]


@lru_cache(maxsize=64)
def _module(name: str) -> _Module:
    spec = importlib.util.find_spec(name)
    assert spec is not None and spec.origin is not None, name
    body = ast.parse(Path(spec.origin).read_text(encoding="utf-8")).body
    return _Module(
        {node.name: node for node in body if isinstance(node, ast.ClassDef)},
        {node.name: node for node in body if isinstance(node, ast.FunctionDef)},
        {
            node.targets[0].id: node.value
            for node in body
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
        },
        {
            alias.asname or alias.name: node.module
            for node in body
            if isinstance(node, ast.ImportFrom) and node.module
            for alias in node.names
        },
    )


def _keys(module: _Module, name: str, prefix: str, given: dict[str, str]) -> Iterator[Key]:
    """given: defaults that the enclosing dataclass sets."""
    node = module.classes[name]
    texts = _texts(ast.get_docstring(node) or "")
    nested = []
    for field in node.body:
        if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name):
            continue
        key = field.target.id
        kind = ast.unparse(field.annotation)
        inner = _dataclass(module, kind.removesuffix(" | None"))
        if inner is not None:
            nested.append((inner, prefix + key + ".", _overrides(module, field.value)))
            continue
        default = given.get(key, _default(field.value))
        yield Key(prefix + key, _type(module, field.annotation), default, texts.get(key, ""))
    for (owner, inner_name), inner_prefix, overrides in nested:
        yield from _keys(owner, inner_name, inner_prefix, overrides)


def _dataclass(module: _Module, name: str) -> tuple[_Module, str] | None:
    if name in module.classes:
        return module, name
    origin = module.imports.get(name, "")
    if origin.startswith("stadet."):
        owner = _module(origin)
        if name in owner.classes or name in owner.imports:
            return _dataclass(owner, name)
    return None


def _type(module: _Module, annotation: ast.expr) -> str:
    """Names of types are kept; Literals, also under another name, become their choices."""
    if isinstance(annotation, ast.Name):
        if annotation.id in module.values:
            return _type(module, module.values[annotation.id])
        origin = module.imports.get(annotation.id, "")
        if origin.startswith("stadet."):
            return _type(_module(origin), annotation)
    if isinstance(annotation, ast.BinOp):
        return f"{_type(module, annotation.left)} | {_type(module, annotation.right)}"
    if isinstance(annotation, ast.Subscript) and ast.unparse(annotation.value) == "Literal":
        return " | ".join(map(str, ast.literal_eval(annotation.slice)))
    return "null" if ast.unparse(annotation) == "None" else ast.unparse(annotation)


def _yaml(value: ast.expr) -> str:
    """A value as one writes it in a YAML file; expressions stay as they are."""
    try:
        found = ast.literal_eval(value)
    except ValueError:
        return ast.unparse(value)
    return found if isinstance(found, str) else json.dumps(found)


def _default(value: ast.expr | None) -> str:
    if value is None:
        return ""
    if isinstance(value, ast.Call) and ast.unparse(value.func) == "field":
        options = {option.arg: option.value for option in value.keywords}
        if "default" in options:
            return _yaml(options["default"])
        factory = options["default_factory"]
        if isinstance(factory, ast.Lambda):
            return _yaml(factory.body)
        return {"list": "[]", "dict": "{}"}.get(ast.unparse(factory), ast.unparse(factory) + "()")
    return _yaml(value)


def _overrides(module: _Module, value: ast.expr | None) -> dict[str, str]:
    """Defaults that a nested dataclass's default_factory sets, a lambda or a function here."""
    if not isinstance(value, ast.Call):
        return {}
    factory = next((o.value for o in value.keywords if o.arg == "default_factory"), None)
    made = factory.body if isinstance(factory, ast.Lambda) else None
    if isinstance(factory, ast.Name) and factory.id in module.functions:
        returned = [n for n in ast.walk(module.functions[factory.id]) if isinstance(n, ast.Return)]
        made = returned[0].value
    if not isinstance(made, ast.Call):
        return {}
    return {option.arg: _yaml(option.value) for option in made.keywords if option.arg}


def _texts(docstring: str) -> dict[str, str]:
    """{key: meaning} of the "Attributes:" section."""
    _, _, section = inspect.cleandoc(docstring).partition("Attributes:\n")
    entries: dict[str, str] = {}
    key = None
    for line in section.splitlines():
        entry = re.match(r"    (\w+): (.*)", line)
        if entry:
            key = entry[1]
            entries[key] = entry[2]
        elif key and line.startswith("     "):
            entries[key] += " " + line.strip()
        elif line.strip():
            break
    return entries
