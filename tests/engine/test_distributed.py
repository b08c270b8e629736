import pytest
import torch

from stadet.engine import distributed
from stadet.engine.loop import fit
from stadet.engine.loop_config import LoopConfig
from stadet.engine.runlog import RunLog
from tests.engine.toy import FunctionStep, ToyLoader, ToyModel, ToySampler
from tests.processes import spawn

CPU = torch.device("cpu")


@FunctionStep
def counted_step(model, batch, carry):
    """A loss normalised by a count that differs between processes, as detectors' losses are."""
    positive = (batch.x[:, :1] > 0).float()
    count = distributed.mean_over_processes(positive.sum()).clamp(min=1)
    return {"error": ((model(batch.x) - batch.y).square() * positive).sum() / count}, None


def train(folder, rank, world, batch_size):
    sampler, model = ToySampler(24, batch_size, rank, world), ToyModel()
    model.dropout.p = 0.0
    log = RunLog(folder, enabled=rank == 0)
    settings = LoopConfig(epochs=2, accumulate=2)
    fit(model, counted_step, ToyLoader(sampler), sampler, None, settings, log, CPU, describe={})
    return model


def worker(rank, world, folder):
    assert (distributed.rank(), distributed.world_size()) == (rank, world)
    assert distributed.gather_objects(rank * 10) == [r * 10 for r in range(world)]
    assert distributed.any_process(rank == 1) and not distributed.any_process(False)
    model = train(folder, rank, world, 6)
    torch.save(model.state_dict(), folder / f"rank{rank}.pt")


@pytest.mark.parametrize("world", [2])
def test_processes_equal_one_on_the_joint_batch(tmp_path, world):
    spawn(worker, world, tmp_path)
    joint = train(tmp_path / "joint", 0, 1, 6 * world).state_dict()
    for rank in range(world):
        ours = torch.load(tmp_path / f"rank{rank}.pt", weights_only=True)
        for name, value in joint.items():
            assert torch.allclose(ours[name], value, atol=1e-6), name


def test_one_process_needs_no_group():
    assert distributed.rank() == 0 and distributed.is_main()
    value = torch.tensor(3.0, requires_grad=True)
    assert distributed.mean_over_processes(value).requires_grad is False
    with distributed.process_group() as device:
        assert not distributed.is_distributed()
        assert device.type in ("cpu", "cuda")
