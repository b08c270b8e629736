"""Arguments of public functions are checked against their annotations: a call with something of
another kind is a `TypeError` of one line, not an `AttributeError` far below."""

from __future__ import annotations

import ast
import functools
import inspect
import numbers
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ParamSpec, TypeVar

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")
Check = Callable[[Any], bool]

_MAKERS = {  # what makes one of a kind, where somebody gives the path of its file instead
    "AnnotationSet": "stadet.load_dataset(path).annotations reads one",
    "ClassifierConfig": "stadet.load_config(stadet.ClassifierConfig, path) reads one",
    "DetectionSet": "stadet.read_detections(path) reads one",
    "TrainConfig": "stadet.load_config(stadet.TrainConfig, path) reads one",
    "TubeSet": "stadet.read_tubes(path) reads one",
}
_NUMBERS: dict[str, type] = {"int": numbers.Integral, "float": numbers.Real}
_ANY = ("Any", "object")


def checked(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Decorator: `TypeError` for an argument that does not fit its annotation.

    Understood are classes, `None`, `X | Y`, and collections with the kind of their
    items. numpy's numbers are numbers, any path is a `Path`. A class is known by its name, so that
    nothing is imported for the check.
    """
    signature = inspect.signature(function)
    checks = {
        name: (parameter.annotation, fitting(parameter.annotation, function.__globals__))
        for name, parameter in signature.parameters.items()
        if isinstance(parameter.annotation, str)
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    }

    @functools.wraps(function)
    def call(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        try:
            given = signature.bind(*args, **kwargs).arguments
        except TypeError:  # Python's own line names the function, too
            return function(*args, **kwargs)
        for name, value in given.items():
            if name in checks and not checks[name][1](value):
                what = f"{function.__qualname__.removesuffix('.__init__')}: {name}"
                raise TypeError(_line(what, checks[name][0], value))
        return function(*args, **kwargs)

    return call


def expect_kind(what: str, value: object, annotation: str) -> None:
    """The same for one value. what: for the message."""
    if not _plain(annotation)(value):
        raise TypeError(_line(what, annotation, value))


@functools.cache
def _plain(annotation: str) -> Check:
    return fitting(annotation, {})


def fitting(annotation: str, names: Mapping[str, Any]) -> Check:
    """Whether a value is of the kind that the text of an annotation names.

    names: of the annotation's module; a name that is no class there (an alias) fits everything.
    """
    return _check(ast.parse(annotation, mode="eval").body, names)


def _check(node: ast.expr, names: Mapping[str, Any]) -> Check:
    if isinstance(node, ast.BinOp):
        one, other = _check(node.left, names), _check(node.right, names)
        return lambda value: one(value) or other(value)
    if isinstance(node, ast.Constant):
        return lambda value: value is None
    if isinstance(node, ast.Subscript):
        return _collection(ast.unparse(node.value), node.slice, names)
    name = ast.unparse(node)
    known = names.get(name, type)
    if name in _ANY or not isinstance(known, type) or hasattr(known, "__origin__"):
        return lambda value: True
    return _kind(name.rpartition(".")[2])


def _kind(name: str) -> Check:
    if name in _NUMBERS:
        kind = _NUMBERS[name]
        return lambda value: isinstance(value, kind)
    if name == "bool":
        return lambda value: type(value).__name__ in ("bool", "bool_")
    if name in ("Path", "PathLike"):
        return lambda value: isinstance(value, os.PathLike)
    return lambda value: any(base.__name__ == name for base in type(value).__mro__)


def _collection(name: str, items: ast.expr, names: Mapping[str, Any]) -> Check:
    if name == "Literal":  # which text it is, the function looks at
        return lambda value: isinstance(value, str)
    if name == "type":
        return lambda value: isinstance(value, type)
    if name == "Callable":
        return callable
    if name in ("Mapping", "dict"):
        return lambda value: isinstance(value, Mapping)
    parts = items.elts if isinstance(items, ast.Tuple) else [items]
    if not any(ast.unparse(part) == "..." for part in parts[1:]) and len(parts) > 1:
        kinds = [_check(part, names) for part in parts]
        return lambda value: (
            _is_row(value)
            and len(value) == len(kinds)
            and all(fits(item) for fits, item in zip(kinds, value, strict=True))
        )
    fits = _check(parts[0], names)
    if name == "Iterable":
        return lambda value: isinstance(value, Iterable) and not isinstance(value, (str, bytes))
    return lambda value: _is_row(value) and all(map(fits, value))


def _is_row(value: object) -> bool:
    """A list, a tuple, an array, ..; not a text."""
    return (
        hasattr(value, "__len__")
        and hasattr(value, "__getitem__")
        and not isinstance(value, (str, bytes, Mapping))
        and getattr(value, "ndim", 1) == 1
    )


def _line(what: str, annotation: str, value: object) -> str:
    makers = [line for kind, line in _MAKERS.items() if kind in annotation]
    is_path = isinstance(value, (str, os.PathLike))
    hint = f"; {makers[0]}" if makers and is_path else ""
    return f"{what}: expected {annotation}, found {_shown(value)}{hint}"


def _shown(value: object) -> str:
    kind = type(value).__name__
    if value is None:
        return "None"
    if shape := getattr(value, "shape", ()):
        return f"{kind} of shape {tuple(shape)}"
    if isinstance(value, (str, bytes, int, float, os.PathLike)):
        return f"{kind} {str(value)[:80]!r}"
    if isinstance(value, (list, tuple)) and value:
        kinds = ", ".join(sorted({type(item).__name__ for item in value})[:3])
        return f"{kind} of {kinds}"
    return kind
