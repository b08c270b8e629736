import math

import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler

from stadet.engine.errors import UserError
from stadet.engine.optimise import (
    OptimiserConfig,
    ScheduleConfig,
    build_optimiser,
    channels_last,
    freeze_batch_norm,
    lr_factor,
    running_average,
    set_batch_norm,
)

STEPS = 41


def reference(make):
    """Learning rates of one of torch's own schedules."""
    parameter = nn.Parameter(torch.zeros(()))
    optimiser = torch.optim.SGD([parameter], lr=1.0)
    schedule = make(optimiser)
    rates = []
    for _ in range(STEPS):
        rates.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        schedule.step()
    return rates


@pytest.mark.parametrize(
    ("config", "make"),
    [
        (
            ScheduleConfig("cosine", warmup=0, final=0.1),
            lambda o: lr_scheduler.CosineAnnealingLR(o, STEPS - 1, eta_min=0.1),
        ),
        (
            ScheduleConfig("onecycle", warmup=0.3, final=0.04 * 1e-4),
            lambda o: lr_scheduler.OneCycleLR(
                o, 1.0, total_steps=STEPS, pct_start=13 / STEPS, div_factor=25
            ),
        ),
        (
            ScheduleConfig("multistep", warmup=0, milestones=[0.5, 0.75], gamma=0.2),
            lambda o: lr_scheduler.MultiStepLR(o, [20, 30], gamma=0.2),
        ),
        (
            ScheduleConfig("step", warmup=0, milestones=[0.25], gamma=0.5),
            lambda o: lr_scheduler.StepLR(o, 10, gamma=0.5),
        ),
        (
            ScheduleConfig("exponential", warmup=0, gamma=0.01),
            lambda o: lr_scheduler.ExponentialLR(o, 0.01 ** (1 / (STEPS - 1))),
        ),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_schedules_agree_with_torchs(config, make):
    ours = [lr_factor(config, step, STEPS) for step in range(STEPS)]
    assert ours == pytest.approx(reference(make), abs=1e-6)


def test_warmup_rises_linearly_to_the_peak():
    config = ScheduleConfig("constant", warmup=0.5)
    assert [lr_factor(config, s, 9) for s in range(9)] == pytest.approx(
        [1 / 8, 0.25, 0.5, 0.75, 1, 1, 1, 1, 1]
    )


def test_groups_by_part_and_decay():
    model = nn.ModuleDict({"backbone": nn.Linear(2, 2), "head": nn.Linear(2, 2)})
    model["backbone"].bias.requires_grad_(False)
    optimiser = build_optimiser(
        model, OptimiserConfig(lr=1.0, weight_decay=0.5, lr_factors={"backbone": 0.1})
    )
    groups = {(g["lr"], g["weight_decay"]): len(g["params"]) for g in optimiser.param_groups}
    assert groups == {(0.1, 0.5): 1, (1.0, 0.5): 1, (1.0, 0.0): 1}
    assert sorted({g["lr"] for g in optimiser.param_groups}) == [0.1, 1.0]


def test_a_part_that_does_not_exist_and_a_frozen_model_are_errors():
    model = nn.Linear(2, 2)
    with pytest.raises(UserError, match="no parameter's name begins with"):
        build_optimiser(model, OptimiserConfig(lr_factors={"neck": 0.1}))
    model.requires_grad_(False)
    with pytest.raises(UserError, match="frozen"):
        build_optimiser(model, OptimiserConfig())


def test_running_average_against_the_recurrence():
    model = nn.BatchNorm1d(2)
    average = running_average(model, decay=0.9, ramp_steps=5)
    average.update_parameters(model)  # the first call copies
    expected = model.weight.detach().clone()
    for count in range(1, 6):
        with torch.no_grad():
            model.weight += count
            model.running_mean += count
            model.num_batches_tracked += 1
        average.update_parameters(model)
        keep = 0.9 * (1 - math.exp(-count / 5))
        expected = expected * keep + model.weight.detach() * (1 - keep)
    assert torch.allclose(average.module.weight, expected)
    assert average.module.num_batches_tracked == 5
    assert 0 < average.module.running_mean[0] < model.running_mean[0]


def test_frozen_batch_norm_keeps_its_statistics_through_train():
    model = set_batch_norm(nn.Sequential(nn.BatchNorm2d(3)), "frozen").train()
    model(torch.randn(2, 3, 4, 4) + 5)
    assert torch.equal(model[0].running_mean, torch.zeros(3))
    assert model[0].weight.requires_grad


def test_a_frozen_batch_norm_stays_frozen_when_the_others_are_synchronised():
    model = nn.Sequential(nn.BatchNorm2d(2), nn.BatchNorm2d(2))
    freeze_batch_norm(model[0])
    model = set_batch_norm(model, "sync").train()
    assert isinstance(model[0], nn.SyncBatchNorm)
    assert not model[0].training and model[1].training


def test_channels_last_in_two_and_three_dimensions():
    model = channels_last(nn.ModuleList([nn.Conv2d(3, 4, 3), nn.Conv3d(3, 4, 3), nn.Linear(3, 4)]))
    assert model[0].weight.is_contiguous(memory_format=torch.channels_last)
    assert model[1].weight.is_contiguous(memory_format=torch.channels_last_3d)
