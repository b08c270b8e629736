"""Pickles from outside: numpy arrays and builtin containers, nothing that could run code.

`pickle.load` calls whatever the file names. Here only a short list of names resolves, and numpy's
own entry points are replaced by substitutes, because a forged dtype state can make numpy read raw
bytes as object pointers.
"""

from __future__ import annotations

import collections
import io
import pickle
import pickletools
import struct
from pathlib import Path
from typing import Any

import numpy as np

from stadet.engine.errors import UserError
from stadet.engine.reading import read_bytes

_KINDS = frozenset("biufcSUO")  # no structured dtypes: annotation files hold plain arrays


class _Dtype:
    """Stands for `numpy.dtype` while loading: remembers type and byte order, nothing else."""

    def __init__(self, spec: str, align: bool = False, copy: bool = False):
        self._spec, self._order = str(spec), "="

    def __setstate__(self, state: tuple) -> None:
        order = state[1]
        self._order = "=" if order == "|" else str(order)

    def resolve(self) -> np.dtype:
        dtype = np.dtype(self._spec)
        if dtype.kind not in _KINDS or dtype.fields is not None or dtype.subdtype is not None:
            raise pickle.UnpicklingError(f"an array of type {self._spec!r}")
        return dtype.newbyteorder(self._order)


class _Array(np.ndarray):
    """Stands for `numpy.ndarray`: its state must fit a dtype that numpy itself made."""

    def __setstate__(self, state: tuple) -> None:
        version, shape, dtype, fortran, data = state
        super().__setstate__((version, shape, dtype.resolve(), bool(fortran), _as_bytes(data)))


def _reconstruct(subtype: type, shape: tuple, typecode: Any) -> np.ndarray:
    return np.ndarray.__new__(_Array, (0,), "b")


def _scalar(dtype: _Dtype, data: Any = b"") -> Any:
    resolved = dtype.resolve()
    return data if resolved.hasobject else np.frombuffer(_as_bytes(data), resolved, count=1)[0]


def _from_buffer(data: Any, dtype: _Dtype, shape: tuple, order: str) -> np.ndarray:
    resolved = dtype.resolve()
    if resolved.hasobject:
        raise pickle.UnpicklingError("an array of objects in raw bytes")
    return np.frombuffer(bytes(data), resolved).reshape(shape, order=order).copy(order)


def _encode(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"bytes in encoding {encoding!r}")
    return text.encode("latin1")


def _as_bytes(data: Any) -> Any:
    return data.encode("latin1") if isinstance(data, str) else data  # Python 2's str


_ALLOWED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("_codecs", "encode"): _encode,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
}
for _core in ("numpy.core", "numpy._core"):
    _ALLOWED[f"{_core}.multiarray", "_reconstruct"] = _reconstruct
    _ALLOWED[f"{_core}.multiarray", "scalar"] = _scalar
    _ALLOWED[f"{_core}.numeric", "_frombuffer"] = _from_buffer
for _builtins in ("builtins", "__builtin__"):
    for _type in (set, frozenset, list, dict, tuple, int, float, complex, bool, str, bytes):
        _ALLOWED[_builtins, _type.__name__] = _type
    _ALLOWED[_builtins, "long"] = int
    _ALLOWED[_builtins, "unicode"] = str


# What rebuilding a forged or cut-off pickle may raise.
_DAMAGE = (
    pickle.UnpicklingError,
    EOFError,
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    RecursionError,
    struct.error,
    TypeError,
    ValueError,
)


MAX_MEMO = 1 << 24  # objects that a pickle may number


def _bytes(*parts: Any) -> bytes:
    """`bytes` as pickles call it; a bare length would allocate what the file merely claims."""
    if not parts:
        return b""
    if isinstance(parts[0], str) and len(parts) == 2:
        return _encode(*parts)
    if len(parts) > 1 or not isinstance(parts[0], bytes | list | tuple):
        raise pickle.UnpicklingError("bytes made of a number")
    return bytes(parts[0])


for _builtins in ("builtins", "__builtin__"):
    _ALLOWED[_builtins, "bytes"] = _bytes


def _expect_small_memo(content: bytes) -> None:
    """UnpicklingError for a pickle that numbers more objects than it can hold: the table of numbers
    is allocated up to the largest one."""
    for code, argument, _ in pickletools.genops(content):
        if code.name in ("PUT", "BINPUT", "LONG_BINPUT"):
            number = int(argument)
            if number > min(MAX_MEMO, len(content)):
                raise pickle.UnpicklingError(f"an object of the number {number}")
        if code.name == "STOP":
            return


class _Allowed:
    """Resolves the names on the list and no others."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"the name {module}.{name}") from None

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("a persistent object")


class _Unpickler(_Allowed, pickle.Unpickler):
    pass


class _PlainUnpickler(_Allowed, pickle._Unpickler):
    """Python's own, whose table of numbers grows by what is there; it is slower."""


def load_pickle(path: str | Path) -> Any:
    """Containers and arrays in a pickle of any protocol, Python 2's included (read as latin1).

    UserError for a missing or cut-off file, and for one that holds anything else.
    """
    content = read_bytes(path, "a pickle of annotations")
    try:
        try:
            _expect_small_memo(content)
            kind = _Unpickler
        except ValueError:  # pickletools reads no text of Python 2
            kind = _PlainUnpickler
        return kind(io.BytesIO(content), encoding="latin1").load()
    except _DAMAGE as error:
        raise UserError(
            f"{path}: expected a pickle of numpy arrays and containers, found "
            f"{str(error)[:120]}; it is damaged or not to be trusted, and was not loaded"
        ) from error
