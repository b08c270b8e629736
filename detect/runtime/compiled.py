"""torch.compile with everything that inference allows."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from detect.runtime.fixed_shape import FixedShape
from detect.runtime.folding import channels_last, fold_batch_norm
from engine.errors import UserError

_COMPILERS = ("g++", "clang++", "c++", "cl")


def compile_detector(
    model: nn.Module, example: Tensor, *, parts: Sequence[str] = (), cuda_graphs: bool = False
) -> nn.Module:
    """A copy of a detector with batch norms folded, channels last, compiled with frozen weights.

    example: frames (B, T, 3, H, W) as it will see them, on the model's device. parts: names of
    submodules to compile one by one, for a model that decides in Python which of them to run.
    cuda_graphs: replay whole passes on a GPU; what a call returned is overwritten by the next one.
    It is compiled when it is first called (half a minute to minutes) and once more under another
    autocast precision; call it without gradients. UserError where no C++ compiler is installed.
    """
    compiler = os.environ.get("CXX")
    if example.device.type == "cpu" and not any(
        shutil.which(name) for name in (compiler, *_COMPILERS) if name
    ):
        raise UserError(
            "runtime compiled: expected a C++ compiler (g++ or clang++), found none; install one "
            "(Debian, Ubuntu: apt-get install g++), or use --runtime eager"
        )
    folded = channels_last(fold_batch_norm(model, example))
    options: dict[str, bool] = {"freezing": True}
    if cuda_graphs:
        options["triton.cudagraphs"] = True
    for target in [folded.get_submodule(part) for part in parts] or [folded]:
        target.compile(dynamic=False, options=options)
    torch._dynamo.config.cache_size_limit = max(torch._dynamo.config.cache_size_limit, 16)
    return FixedShape(folded)
