"""A dataclass from plain data whose values have exactly the types of its fields.

jsonargparse needs 0.1 s of CPU time for a training's configuration, and every verb that opens a
checkpoint reads one. What a checkpoint or a checked file holds needs no conversion.
"""

from __future__ import annotations

import copy
import dataclasses
import types
import typing
from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar

Config = TypeVar("Config")


class InexactError(Exception):
    """A value needs converting, or is wrong."""


def build_exact(kind: type[Config], values: Mapping[str, Any]) -> Config:
    """An instance of the dataclass `kind`; a nested dataclass keeps the defaults of its field.

    Raises:
        InexactError: for a value that is not of its field's type, an unknown key, or a type that is
            not among None, bool, int, float, str, Any, literals, unions, and lists, tuples,
            dictionaries and dataclasses of these. An int passes for a float.
    """
    return _instance(kind, values, None)


def _instance(kind: type, values: Any, default: Any) -> Any:
    if not isinstance(values, Mapping):
        raise InexactError
    hints, given, found = _hints(kind), {}, set()
    for entry in dataclasses.fields(kind):
        if not entry.init:
            raise InexactError
        hint, below = hints[entry.name], _default(entry, default)
        if entry.name in values:
            found.add(entry.name)
            given[entry.name] = _value(hint, values[entry.name], below)
        elif dataclasses.is_dataclass(below):
            given[entry.name] = _instance(type(below), {}, below)
        elif below is not dataclasses.MISSING:
            given[entry.name] = _value(hint, below)
    if len(found) != len(values):
        raise InexactError
    return kind(**given)


def _default(entry: dataclasses.Field, default: Any) -> Any:
    """What the field holds where nothing is given; MISSING where it must be given."""
    if default is not None:
        return getattr(default, entry.name)
    if entry.default_factory is not dataclasses.MISSING:
        return entry.default_factory()
    return entry.default


@cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _value(hint: Any, value: Any, default: Any = None) -> Any:
    """`value` as the type `hint` asks for it, copied."""
    if hint is Any:
        return copy.deepcopy(value)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return _instance(hint, value, default if type(default) is hint else None)
    if hint in (bool, int, float, str, type(None)):
        if type(value) is hint:
            return value
        if hint is float and type(value) is int:
            return float(value)
        raise InexactError
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        if any(type(value) is type(word) and value == word for word in inner):
            return value
    elif origin in (typing.Union, types.UnionType):
        return _one_of(inner, value, default)
    elif origin is list and isinstance(value, list):
        return [_value(inner[0], one) for one in value]
    elif origin is dict and isinstance(value, dict):
        return {_value(inner[0], key): _value(inner[1], one) for key, one in value.items()}
    elif origin is tuple and isinstance(value, (list, tuple)):
        each = inner[:1] * len(value) if inner[1:] == (...,) else inner
        if len(each) == len(value):
            return tuple(_value(one, part) for one, part in zip(each, value, strict=True))
    raise InexactError


def _one_of(hints: tuple[Any, ...], value: Any, default: Any) -> Any:
    if isinstance(value, str) and value.lower() in ("null", "~"):  # none, as jsonargparse reads it
        raise InexactError
    for hint in hints:
        try:
            return _value(hint, value, default)
        except InexactError:
            continue
    raise InexactError
