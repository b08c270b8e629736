"""`loop.compile`: a model compiled for training, and one line where torch cannot do it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import cast

import torch
from torch import nn

from stadet.engine.errors import UserError


def compiled(model: nn.Module) -> nn.Module:
    """`model` by torch.compile, once for each shape of its inputs.

    Those of frames and clips do not change during a run.
    """
    return cast(nn.Module, torch.compile(model, dynamic=False))


@contextlib.contextmanager
def compile_errors_told() -> Iterator[None]:
    """In the block a failure of the compiler, which shows at a call, is a `UserError`."""
    from torch._dynamo.exc import TorchDynamoException  # late: 2 s

    try:
        yield
    except TorchDynamoException as error:
        reason = " ".join(str(error).strip().partition("\n\n")[0].split())  # advice follows
        raise UserError(
            f"loop.compile: torch {torch.__version__} cannot compile this model here ({reason}); "
            "train with loop.compile=false"
        ) from error
