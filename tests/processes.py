"""Several gloo processes on this machine, each running the same function."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import Any

import torch
import torch.multiprocessing as mp

from stadet.engine import distributed


def spawn(work: Callable[..., None], world: int, *arguments: Any) -> None:
    """Run `work(rank, world, *arguments)`, a function of a module, in `world` processes."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    mp.spawn(_member, (work, world, port, arguments), nprocs=world)


def _member(rank: int, work: Callable[..., None], world: int, port: int, arguments: tuple) -> None:
    os.environ.update(
        MASTER_ADDR="127.0.0.1",
        MASTER_PORT=str(port),
        RANK=str(rank),
        WORLD_SIZE=str(world),
        LOCAL_RANK=str(rank),
        OMP_NUM_THREADS="1",
    )
    torch.set_num_threads(1)
    with distributed.process_group():
        work(rank, world, *arguments)
