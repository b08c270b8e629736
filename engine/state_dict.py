"""State dicts in files of other programs, read without running code from them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from stadet.engine.errors import UserError
from stadet.engine.mistaken_files import expect_weights_file
from stadet.engine.torch_file import expect_finite, first_line, load_torch_file

PLACES = ("state_dict", "model", "model_state_dict", "model_state", "net", "network", "weights")
WRAPPERS = ("module.", "_orig_mod.", "model.", "net.")  # of DataParallel, compile, Lightning


class Opaque:
    """Replaces an object that was saved with the weights (a score, the arguments of a training).

    Nothing of it is rebuilt, because numpy's own entry points can be made to read raw bytes as
    objects.
    """

    def __init__(self, *_: object, **__: object) -> None: ...

    def __setstate__(self, _: object) -> None: ...


_SAVED_WITH = (  # the weights, by the usual training programs
    "argparse.Namespace",
    "types.SimpleNamespace",
    "pathlib.PosixPath",
    "pathlib.WindowsPath",
    "pathlib._local.PosixPath",  # Python 3.13
    "pathlib._local.WindowsPath",
    "numpy.dtype",
    "numpy.ndarray",
    *(f"numpy.{c}.multiarray.{f}" for c in ("core", "_core") for f in ("scalar", "_reconstruct")),
    *(f"numpy.dtypes.{kind}DType" for kind in ("Float64", "Float32", "Int64", "Int32")),
)
STAND_INS = [(Opaque, name) for name in _SAVED_WITH]


def read_state_dict(
    path: str | os.PathLike, *, unsafe: str = "save its state_dict() alone"
) -> dict[str, Tensor]:
    """The tensors of a PyTorch file: a state dict, or one under one of `PLACES`.

    Prefixes that all names share because the network was wrapped (`WRAPPERS`) are taken off. A
    `.safetensors` file is read where that package is installed, as it is with timm.

    unsafe: what to do with a file that holds more than tensors and plain data. UserError for such
    a file, and for a missing, damaged or foreign one.
    """
    path = Path(path)
    if path.suffix == ".safetensors":
        return _unwrapped(_read_safetensors(path))
    content = load_torch_file(path, what="weights", unsafe=unsafe, allowed=STAND_INS)
    weights = content
    if isinstance(content, Mapping):
        inner = (content.get(place) for place in PLACES)
        weights = next((found for found in inner if isinstance(found, Mapping)), content)
    if not isinstance(weights, Mapping) or not weights or not _all_tensors(weights):
        raise UserError(
            f"weights {path}: expected a state_dict of tensors, found {_described(content)}"
        )
    return _unwrapped(weights)


def _unwrapped(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    names = list(weights)
    while prefix := next((w for w in WRAPPERS if all(n.startswith(w) for n in names)), None):
        names = [name.removeprefix(prefix) for name in names]
    return dict(zip(names, weights.values(), strict=True))


def _all_tensors(weights: Mapping) -> bool:
    return all(isinstance(n, str) and isinstance(w, Tensor) for n, w in weights.items())


def _described(content: Any) -> str:
    if not isinstance(content, Mapping):
        return type(content).__name__
    return f"a dict of {', '.join(map(str, list(content)[:5])) or 'nothing'}"


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    expect_weights_file(path)
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError as error:
        raise UserError(
            f"weights {path}: expected the package safetensors, which is not installed: pip "
            "install 'stadet[timm]'"
        ) from error
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise UserError(
            f"weights {path}: expected a safetensors file ({first_line(error)}); download it again"
        ) from error
    expect_finite(tensors, f"weights {path}")
    return tensors
