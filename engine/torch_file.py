"""Torch files, read safely: checked for damage first, and no code of theirs is run."""

from __future__ import annotations

import os
import pickle
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stadet.engine.errors import UserError
from stadet.engine.files import no_file
from stadet.engine.host import program_lock
from stadet.engine.mistaken_files import expect_weights_file

_CHUNK = 1 << 20
_ZIP_START = b"PK\x03\x04"


def load_torch_file(
    path: str | os.PathLike,
    *,
    what: str = "checkpoint",
    unsafe: str = "expected a file of tensors and plain data",
    device: str = "cpu",
    allowed: Sequence[Any] = (),
    weights: Sequence[str] = ("",),
) -> Any:
    """The content of a file of `torch.save`, tensors and plain data only.

    Files of torch 1.6 and later are zip archives, whose checksums are compared before anything is
    read; older ones have none. Weights must be finite.

    what: how messages call the file; unsafe: what they advise where it holds more than tensors and
    plain data; allowed: further classes, as `torch.serialization.safe_globals` takes them;
    weights: how the dotted names of weights begin (default: every tensor is one).
    UserError for a missing, damaged, unsafe or foreign file.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{what} {path}: {no_file(path)}")
    expect_weights_file(path, what)
    expect_undamaged(path, what)
    try:
        with (
            program_lock,  # warnings and allowed classes are the program's
            torch.serialization.safe_globals(list(allowed)),
            warnings.catch_warnings(),
        ):
            warnings.filterwarnings("ignore", "Detected pickle protocol")
            content = torch.load(path, map_location=device, weights_only=True)
    except pickle.UnpicklingError as error:  # its text tells how to load the file unsafely
        raise UserError(
            f"{what} {path}: refused, it holds more than tensors and plain data"
            f"{_objects(path, allowed)}, or is no file of torch; {unsafe}"
        ) from error
    except MemoryError as error:
        raise UserError(f"{what} {path}: it is larger than the memory that is free") from error
    except torch.cuda.OutOfMemoryError:
        raise
    except Exception as error:  # damaged files raise nearly anything in torch's unpickler
        raise UserError(
            f"{what} {path}: not a whole file of torch ({first_line(error)})"
        ) from error
    expect_finite(content, f"{what} {path}", weights)
    return content


def _objects(path: Path, allowed: Sequence[Any]) -> str:
    """ " (such and such)": the objects that an archive of torch names beyond the allowed ones."""
    try:
        with torch.serialization.safe_globals(list(allowed)):
            names = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except Exception:  # no archive, or a damaged pickle
        return ""
    return f" ({', '.join(sorted(names)[:3])})" if names else ""


def expect_undamaged(path: str | os.PathLike, what: str = "checkpoint") -> None:
    """UserError where a zip archive's records do not have their checksums, or its end is missing.

    Files that are no zip archive pass: they have no checksum to compare.
    """
    try:
        with open(path, "rb") as stream:
            starts_as_zip = stream.read(len(_ZIP_START)) == _ZIP_START
        if not starts_as_zip and not zipfile.is_zipfile(path):
            return
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                with archive.open(name) as record:
                    while record.read(_CHUNK):
                        pass
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        ValueError,
        NotImplementedError,
        RuntimeError,  # an entry that claims to be encrypted
        OverflowError,
        UnicodeDecodeError,
    ) as error:
        raise UserError(
            f"{what} {path}: damaged or cut off, not a whole checkpoint file "
            f"({first_line(error)}); copy it again, or use another"
        ) from error
    except OSError as error:
        raise UserError(f"{what} {path}: cannot be read ({error.strerror or error})") from error


def expect_finite(content: Any, where: str, weights: Sequence[str] = ("",)) -> None:
    """UserError where a tensor somewhere in nested dicts and sequences holds NaN or infinity.

    weights: how the dotted names of the tensors begin that are looked at.
    """
    found = ((n, tensor) for n, tensor in tensors_in(content) if n.startswith(tuple(weights)))
    bad = next((name for name, tensor in found if not is_finite(tensor)), None)
    if bad is not None:
        raise UserError(
            f"{where}: expected finite numbers, found NaN or infinity in {bad!r}; the file is "
            "damaged, or its training had diverged; use another"
        )


def is_finite(tensor: Tensor) -> bool:
    """No NaN and no infinity; True for tensors of integers."""
    if not (tensor.is_floating_point() or tensor.is_complex()) or tensor.is_sparse:
        return True
    return bool(torch.isfinite(tensor.float() if tensor.itemsize == 1 else tensor).all())


def tensors_in(content: Any, name: str = "") -> Iterator[tuple[str, Tensor]]:
    """(dotted name, tensor) of every tensor in nested dicts and sequences."""
    if isinstance(content, Tensor):
        yield name, content
    elif isinstance(content, Mapping):
        for key, value in content.items():
            yield from tensors_in(value, f"{name}.{key}" if name else str(key))
    elif isinstance(content, (list, tuple)):
        for number, value in enumerate(content):
            yield from tensors_in(value, f"{name}.{number}" if name else str(number))


def first_line(error: BaseException) -> str:
    """The first line of an error's text, or its type where it has none."""
    return next(iter(str(error).splitlines()), type(error).__name__)
