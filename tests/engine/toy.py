"""A task small enough to check the loop to the last bit: linear regression with a memory."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from stadet.engine.training_step import TrainingStep


@dataclass
class ToyBatch:
    x: Tensor
    y: Tensor

    def to(self, device):
        return ToyBatch(self.x.to(device), self.y.to(device))


class ToySampler:
    """Rows of a fixed data set in an order that depends on the epoch, dealt to the ranks."""

    def __init__(self, rows=24, size=4, rank=0, world=1):
        self.rows, self.size, self.rank, self.world = rows, size, rank, world
        self.set_epoch(0)

    def __len__(self):
        return self.rows // (self.size * self.world)

    def set_epoch(self, epoch, start=0):
        self.epoch, self.start = epoch, start

    def __iter__(self):
        generator = torch.Generator().manual_seed(self.epoch)
        order = torch.randperm(self.rows, generator=generator)
        for batch in range(self.start, len(self)):
            joint = order[batch * self.size * self.world :][: self.size * self.world]
            yield joint[self.rank :: self.world]


class ToyLoader:
    def __init__(self, sampler, targets=None):
        generator = torch.Generator().manual_seed(1)
        self.x = torch.randn(sampler.rows, 3, generator=generator)
        self.y = self.x.sum(1, keepdim=True) if targets is None else targets
        self.sampler = sampler

    def __iter__(self):
        for rows in self.sampler:
            yield ToyBatch(self.x[rows], self.y[rows])


class ToyModel(nn.Module):
    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(2)
        self.linear = nn.Linear(3, 1)
        with torch.no_grad():
            for p in self.parameters():
                p.copy_(torch.randn(p.shape, generator=generator))
        self.dropout = nn.Dropout(0.2)  # makes the run depend on the random state

    def forward(self, x):
        return self.linear(self.dropout(x))


class FunctionStep(TrainingStep):
    """A training step of `function(model, batch, carry) -> (losses, carry)`."""

    def __init__(self, function):
        self.function = function

    def __call__(self, model, batch, carry):
        return self.function(model, batch, carry)


def error_of(model, batch, carry):
    """Squared error whose weight depends on the carry, so that losing it would show."""
    carry = torch.zeros(()) if carry is None else carry
    error = (model(batch.x) - batch.y).square().mean()
    return {"error": error * (1 + 0.1 * torch.tanh(carry))}, carry + batch.x.mean().detach()


toy_step = FunctionStep(error_of)


def validate(model):
    x = torch.eye(3)
    with torch.no_grad():
        return {"frame_map_50": -float((model(x) - 1).square().mean())}
