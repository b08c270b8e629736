"""Checkpoints of other programs as a state dict, read without running code from them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from stadet.engine.errors import UserError
from stadet.engine.torch_file import load_torch_file

_WRAPPER = "module."  # DataParallel's


class _Opaque:
    """Stands for a numpy type in a checkpoint (its score, say): nothing of it is rebuilt, because
    numpy's own entry points can be made to read raw bytes as objects."""

    def __init__(self, *_: object) -> None: ...

    def __setstate__(self, _: object) -> None: ...


_NUMPY_STAND_INS = [
    (_Opaque, name)
    for name in (
        "numpy.dtype",
        "numpy.core.multiarray.scalar",
        "numpy._core.multiarray.scalar",
        *(f"numpy.dtypes.{kind}DType" for kind in ("Float64", "Float32", "Int64", "Int32")),
    )
]


def read_state_dict(path: str | os.PathLike) -> dict[str, Tensor]:
    """The tensors of a checkpoint: `dict['state_dict']`, or the file's own dict of tensors.

    DataParallel's prefix `module.` is taken off. UserError for a missing, cut-off or foreign file,
    and for one that holds more than tensors, numbers and containers.
    """
    path = Path(path)
    unsafe = "save its state_dict() alone"
    if path.suffix == ".weights":
        unsafe += "; Darknet's weights are for yowo.weights_2d"
    content = load_torch_file(path, what="weights", unsafe=unsafe, allowed=_NUMPY_STAND_INS)
    weights = content.get("state_dict", content) if isinstance(content, Mapping) else None
    if not isinstance(weights, Mapping) or not weights or not _all_tensors(weights):
        found = type(content).__name__
        if isinstance(content, Mapping):
            found = f"a dict of {', '.join(map(str, list(content)[:5])) or 'nothing'}"
        raise UserError(
            f"weights {path}: expected a checkpoint with a state_dict of tensors, found {found}"
        )
    wrapped = all(name.startswith(_WRAPPER) for name in weights)
    return {name.removeprefix(_WRAPPER) if wrapped else name: w for name, w in weights.items()}


def _all_tensors(weights: Mapping) -> bool:
    return all(isinstance(n, str) and isinstance(w, Tensor) for n, w in weights.items())
