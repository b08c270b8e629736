"""torch.compile with everything that inference allows."""

from __future__ import annotations

import functools
import os
import shutil
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from stadet.detect.runtime.folding import fold_batch_norm
from stadet.engine.errors import UserError
from stadet.engine.optimise import channels_last

Model = TypeVar("Model", bound=nn.Module)
_COMPILERS = ("g++", "clang++", "c++", "cl")


def fold_for_inference(model: Model, *example: Tensor) -> Model:
    """A copy of a model with batch norms folded and its convolutions' weights channels last.

    example: frames (B, T, 3, H, W), and what else it takes, as it will see them, on its device.
    """
    return channels_last(fold_batch_norm(model, *example))


def compile_frozen(model: Model, *, cuda_graphs: bool = False) -> Model:
    """Compile a model in place with its weights as constants; call it without gradients.

    A model that decides in Python what to run names in `compiled_parts` the submodules to compile
    one by one. Compilation happens at the first call (half a minute to minutes) and again for
    another shape or autocast precision. cuda_graphs: replay whole passes on a GPU; what a call
    returned is then overwritten by the next one. UserError where a CPU finds no C++ compiler.
    """
    on_cpu = next(model.parameters()).device.type == "cpu"
    compiler = os.environ.get("CXX")
    if on_cpu and not any(shutil.which(name) for name in (compiler, *_COMPILERS) if name):
        raise UserError(
            "runtime compiled: expected a C++ compiler (g++ or clang++), found none; install one "
            "(Debian, Ubuntu: apt-get install g++), or use --runtime eager"
        )
    parts = getattr(model, "compiled_parts", ())  # of a detector
    for target in [model.get_submodule(part) for part in parts] or [model]:
        target.forward = _frozen(target.forward, {"triton.cudagraphs": cuda_graphs})
    return model


def _frozen(forward: Callable[..., Any], options: dict[str, bool]) -> Callable[..., Any]:
    """`forward` compiled by inductor with parameters as constants.

    The tracer looks for the switch in the global configuration, not among the options of a
    compilation, whenever it compiles: so it is on during calls, and off for everybody else.
    """
    import torch._inductor.config as inductor

    compiled = torch.compile(forward, dynamic=False, options=options)

    @functools.wraps(forward)
    def call(*args: Any, **kwargs: Any) -> Any:
        with inductor.patch(freezing=True):
            return compiled(*args, **kwargs)

    return call
