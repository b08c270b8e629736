"""Pickles from outside: numpy arrays and builtin containers, nothing that could run code.

`pickle.load` calls whatever the file names. Here only a short list of names resolves, and numpy's
own entry points are replaced by substitutes, because a forged dtype state can make numpy read raw
bytes as object pointers.
"""

from __future__ import annotations

import collections
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from stadet.engine.errors import UserError

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
    TypeError,
    ValueError,
)


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"the name {module}.{name}") from None

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("a persistent object")


def load_pickle(path: str | Path) -> Any:
    """Containers and arrays in a pickle of any protocol, Python 2's included (read as latin1).

    UserError for a missing or cut-off file, and for one that holds anything else.
    """
    path = Path(path)
    try:
        with path.open("rb") as stream:
            return _Unpickler(stream, encoding="latin1").load()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; check the path of the annotations") from None
    except _DAMAGE as error:
        raise UserError(
            f"{path}: expected a pickle of numpy arrays and containers, found {error}; "
            "it is damaged or not to be trusted, and was not loaded"
        ) from error
