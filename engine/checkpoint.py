"""Checkpoints: one file, whole or absent, readable without running code from it."""

from __future__ import annotations

import os
import random
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from stadet.engine.errors import UserError
from stadet.engine.files import atomic_path
from stadet.engine.host import program_lock
from stadet.engine.torch_file import expect_undamaged, first_line, load_torch_file

SCHEMA = "stad-checkpoint/1"
UNFIT = "its weights do not fit its own configuration"


def save_checkpoint(path: str | os.PathLike, content: dict[str, Any]) -> None:
    """Write a dict of tensors, numbers, strings and containers of them (nothing else loads).

    UserError where it cannot be written; an older file of that name then stays as it is.
    """
    with atomic_path(path) as temporary:
        try:
            torch.save({"schema": SCHEMA, **content}, temporary)
            with open(temporary, "rb") as stream:
                os.fsync(stream.fileno())  # on the disk before the name is
        except RuntimeError as error:
            if "inline_container" not in str(error) and "StreamWriter" not in str(error):
                raise  # not of torch's writer, which so tells of a full disk
            raise UserError(
                f"cannot write {path}: {first_line(error)}; is the disk full? free some space and "
                "continue"
            ) from error


def load_checkpoint(path: str | os.PathLike, device: str = "cpu") -> dict[str, Any]:
    """Read what `save_checkpoint` wrote.

    Raises UserError for a missing, cut-off, damaged, foreign or unsafe file, and for one with
    weights that are not finite.
    """
    content = load_torch_file(
        path,
        unsafe="expected a checkpoint of this toolkit",
        device=str(device),
        weights=("model.", "training.model.", "training.average."),
    )
    found = content.get("schema") if isinstance(content, dict) else None
    if found != SCHEMA:
        raise UserError(
            f"checkpoint {path}: expected schema {SCHEMA!r}, found {found!r}; weights of other "
            "programs become a checkpoint by stad import-weights, or start a training"
        )
    return content


def is_checkpoint(path: str | os.PathLike) -> bool:
    """Does the pickle inside a file name our schema? (Nothing of it is run.)

    UserError for an archive that is damaged.
    """
    if not zipfile.is_zipfile(path):
        return False
    expect_undamaged(path, "weights")
    with zipfile.ZipFile(path) as archive:
        pickles = [name for name in archive.namelist() if name.endswith("data.pkl")]
        return any(SCHEMA.encode() in archive.read(name) for name in pickles)


@contextmanager
def building_to_load() -> Iterator[None]:
    """For a network that is built only to be filled by `load_state`, whatever a program has set.

    torch's generator is left as it was (the initial weights that it drew for are replaced), the
    weights are float32 on the CPU under `torch.set_default_dtype` and `set_default_device` too, and
    are ordinary tensors inside `torch.inference_mode`.
    """
    with program_lock:  # generator and type are the program's
        dtype = torch.get_default_dtype()
        torch.set_default_dtype(torch.float32)
        try:
            with (
                torch.random.fork_rng(devices=[]),
                torch.device("cpu"),
                torch.inference_mode(False),
            ):
                yield
        finally:
            torch.set_default_dtype(dtype)


def load_state(model: nn.Module, weights: Mapping[str, Tensor], complaint: str) -> None:
    """Fill a model with all of its tensors; UserError, which begins with `complaint`, otherwise."""
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        last = str(error).splitlines()[-1].strip()
        raise UserError(f"{complaint} ({last})") from error


def random_state() -> dict[str, Any]:
    """The state of every random generator of this process, in plain data."""
    generator = cast(tuple[str, np.ndarray, int, int, float], np.random.get_state())
    name, keys, position, has_gauss, gauss = generator
    version, internal, following = random.getstate()
    state: dict[str, Any] = {
        "torch": torch.get_rng_state(),
        "numpy": [name, torch.from_numpy(keys.astype(np.int64)), position, has_gauss, gauss],
        "python": [version, list(internal), following],
    }
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def restore_random_state(state: dict[str, Any]) -> None:
    """Set every generator as `random_state` found it."""
    torch.set_rng_state(state["torch"].cpu())
    name, keys, position, has_gauss, gauss = state["numpy"]
    np.random.set_state((name, keys.cpu().numpy().astype(np.uint32), position, has_gauss, gauss))
    version, internal, following = state["python"]
    random.setstate((version, tuple(internal), following))
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"].cpu())


def seed_everything(seed: int) -> None:
    """Seed Python, numpy and torch (each process adds its rank itself)."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
