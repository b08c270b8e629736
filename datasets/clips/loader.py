"""Clip batches from worker processes, in the sampler's order whatever the number of workers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from stadet.datasets.clips.collate import collate


def build_loader(
    dataset: Dataset,
    batch_sampler: Iterable[list],
    *,
    workers: int = 2,
    pin_memory: bool = False,
    start_method: str | None = None,
    collate: Callable[[list], Any] = collate,
) -> DataLoader:
    """Batches of `dataset` as `batch_sampler` asks for them.

    dataset: a `ClipDataset`; another kind brings its own `collate`.

    workers: processes that read and augment, kept from epoch to epoch; 0 = in this process.
    start_method: "fork" or "spawn" (then `dataset` must be picklable); None = the platform's.
    """
    return DataLoader(
        dataset,
        batch_sampler=batch_sampler,
        collate_fn=collate,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=pin_memory,
        worker_init_fn=one_thread,
        multiprocessing_context=start_method if workers > 0 else None,
        # its own generator: otherwise each new iterator advances the global one, and a resumed run
        # would draw other numbers than an uninterrupted one
        generator=torch.Generator(),
    )


def one_thread(worker: int) -> None:
    """Keep a worker to one core (OpenCV's pool may also hang in a forked process), and let the main
    process alone answer to signals: it still needs the worker to end on a whole step."""
    import cv2

    from stadet.engine.stop import leave_stopping_to_parent

    leave_stopping_to_parent()
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
