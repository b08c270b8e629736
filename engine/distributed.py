"""Several processes as one: `torchrun` sets the environment, this file reads it.

Without a process group every function is the identity, so code is written once.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn

Result = TypeVar("Result")


_alone = False


def is_distributed() -> bool:
    return not _alone and dist.is_available() and dist.is_initialized()


@contextmanager
def alone() -> Iterator[None]:
    """Work that one process of a group does by itself: the block waits for no other."""
    global _alone
    was, _alone = _alone, True
    try:
        yield
    finally:
        _alone = was


def rank() -> int:
    return dist.get_rank() if is_distributed() else 0


def world_size() -> int:
    return dist.get_world_size() if is_distributed() else 1


def is_main() -> bool:
    """True in the one process that writes files and prints."""
    return rank() == 0


@contextmanager
def process_group() -> Iterator[torch.device]:
    """Join the group that torchrun describes (nccl on GPUs, gloo on CPUs) for the block's time.

    Yields this process's device. Without torchrun: one process on the GPU if there is one.
    """
    local_rank = int(os.environ.get("LOCAL_RANK", 0))
    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.set_device(local_rank)
    device = torch.device("cuda", local_rank) if cuda else torch.device("cpu")
    if int(os.environ.get("WORLD_SIZE", 1)) == 1 or is_distributed():
        yield device
        return
    dist.init_process_group("nccl" if cuda else "gloo")
    try:
        yield device
    finally:
        dist.destroy_process_group()


def mean_over_processes(value: Tensor) -> Tensor:
    """The mean of a tensor over all processes, without gradient.

    Dividing a local loss sum by the mean count makes DDP's averaged gradient equal to the gradient
    of the joint batch: (1/W) sum_r(s_r / (P/W)) = sum_r(s_r) / P.
    """
    if not is_distributed():
        return value.detach()
    value = value.detach().clone().float()
    dist.all_reduce(value)
    return value / world_size()


def gather_objects(value: Any) -> list[Any]:
    """Every process's `value`, in order of rank, in every process."""
    if not is_distributed():
        return [value]
    out: list[Any] = [None] * world_size()
    dist.all_gather_object(out, value)
    return out


def any_process(flag: bool) -> bool:
    """True in every process if the flag is set in at least one."""
    if not is_distributed():
        return flag
    backend_device = "cuda" if dist.get_backend() == "nccl" else "cpu"
    count = torch.tensor(int(flag), device=backend_device)
    dist.all_reduce(count)
    return bool(count.item())


def wrap(model: nn.Module, device: torch.device) -> nn.Module:
    """`model` under DistributedDataParallel where there are several processes.

    Buffers are not broadcast: batch norm is either synchronised or frozen (`loop.batch_norm`), and
    a broadcast in every forward breaks models whose forward runs more than once before a backward.
    """
    if not is_distributed():
        return model
    return nn.parallel.DistributedDataParallel(
        model,
        device_ids=[device.index] if device.type == "cuda" else None,
        broadcast_buffers=False,
    )


def unwrap(model: nn.Module) -> nn.Module:
    """The module inside DDP and torch.compile wrappers."""
    while True:
        if isinstance(model, nn.parallel.DistributedDataParallel):
            model = model.module
        elif hasattr(model, "_orig_mod"):
            model = cast(nn.Module, model._orig_mod)
        else:
            return model


def main_first(work: Callable[[], Result]) -> Result:
    """`work()` in the main process first; the others wait, then call it to find what it made."""
    made = work() if is_main() else None
    gather_objects(None)
    return work() if made is None else made
