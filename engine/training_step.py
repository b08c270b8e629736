"""What the training loop asks of a model and of a sampler."""

from __future__ import annotations

from typing import Any, Protocol

from torch import Tensor, nn


class TrainingStep:
    """Base class of what a model does with a batch."""

    def __call__(self, model: nn.Module, batch: Any, carry: Any) -> tuple[dict[str, Tensor], Any]:
        """Named scalar losses, whose sum is the total, and the carry for the next batch.

        carry: what the call on the batch before returned; None at the beginning of an epoch. An
        empty dict of losses means that this batch only extends a graph still being built.
        """
        raise NotImplementedError(f"{type(self).__name__}.__call__")

    def set_progress(self, done: float) -> None:
        """Take the share of the run's steps that is done, from 0 to 1, before each batch: for a
        loss that changes on the way. By default nothing changes."""

    def pack(self, carry: Any) -> Any:
        """The carry as checkpoints hold it: containers of tensors, numbers and strings."""
        return carry

    def unpack(self, packed: Any) -> Any:
        """The carry that `pack` was given."""
        return packed


class EpochSampler(Protocol):
    """Interface of a batch sampler: a plan that is a pure function of the epoch."""

    def __len__(self) -> int: ...

    def set_epoch(self, epoch: int, start: int = 0) -> None:
        """Plan `epoch`; the next iteration begins at its batch number `start`."""
