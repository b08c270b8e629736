"""MATLAB files (version 5), read by scipy; whatever it makes of a damaged one becomes one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stadet.engine.errors import UserError
from stadet.engine.reading import read_bytes


def load_mat(path: Path, **options: Any) -> dict[str, Any]:
    """Variables by name. options: of `scipy.io.loadmat`."""
    import io

    from scipy.io import loadmat

    content = read_bytes(path, "a MATLAB file")
    try:
        return loadmat(io.BytesIO(content), **options)
    except Exception as error:  # its parser raises what it comes across
        reason = " ".join(str(error).split())[:120]
        raise UserError(
            f"{path}: expected a MATLAB file (version 5), found a damaged one or another version "
            f"({type(error).__name__}: {reason})"
        ) from None
