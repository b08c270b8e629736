"""Several processes equal one: every rank runs its own lanes, gradients are those of all lanes."""

import pytest
import torch

from stadet.detect.yolo.loss import YoloLoss
from stadet.engine import distributed
from stadet.recurrent_yolo.model import RecurrentYOLO
from stadet.recurrent_yolo.sampler import HybridClipSampler, SamplerConfig
from stadet.recurrent_yolo.sequences import ActionSequence
from stadet.recurrent_yolo.temporal import MemoryConfig
from stadet.recurrent_yolo.training import RecurrentTrainingStep
from tests.processes import spawn
from tests.recurrent_yolo.tiny import anchors, detector, randomise, requested_batch

LENGTHS = (9, 4, 7, 2, 5, 6, 3)
STEPS = 4


def train(rank, world, lanes, windows):
    """Gradients of each of some steps of plain SGD, added up. Batch norm stays as it is."""
    clips = [ActionSequence(str(n), 0, k) for n, k in enumerate(LENGTHS)]
    sampler = HybridClipSampler(clips, SamplerConfig(lanes=lanes, window=2), rank=rank, world=world)
    model = RecurrentYOLO(detector(), MemoryConfig(hidden=4))
    randomise(model.memory)
    wrapped = distributed.wrap(model.eval(), torch.device("cpu"))
    step, state = RecurrentTrainingStep(YoloLoss(anchors()), windows, warmup_frames=1), None
    optimiser = torch.optim.SGD(model.parameters(), lr=1e-3)
    gradients = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
    for _, requests in zip(range(STEPS), sampler, strict=False):
        losses, state = step(wrapped, requested_batch(requests), state)
        optimiser.zero_grad()
        sum(losses.values()).backward()
        optimiser.step()
        for name, parameter in model.named_parameters():
            gradients[name] += parameter.grad
    return gradients


def worker(rank, world, windows, folder):
    torch.save(train(rank, world, 1, windows), folder / f"rank{rank}.pt")


@pytest.mark.parametrize(
    ("world", "windows"),
    [
        (2, 1),
        pytest.param(2, 2, marks=pytest.mark.slow),
        pytest.param(3, 1, marks=pytest.mark.slow),
        pytest.param(3, 2, marks=pytest.mark.slow),
    ],
)
def test_processes_equal_one_with_all_their_lanes(world, windows, tmp_path):
    spawn(worker, world, windows, tmp_path)
    joint = train(0, 1, world, windows)
    assert all(gradient.any() for gradient in joint.values())
    for rank in range(world):
        ours = torch.load(tmp_path / f"rank{rank}.pt", weights_only=True)
        for name, value in joint.items():
            assert (ours[name] - value).norm() <= 1e-3 * value.norm(), name
