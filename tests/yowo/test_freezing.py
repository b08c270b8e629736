import pytest
import torch

from stadet.engine.errors import UserError
from stadet.engine.optimise import OptimiserConfig, build_optimiser
from stadet.yowo.freezing import freeze_branches
from stadet.yowo.loss import RegionLoss
from stadet.yowo.training import YOWOTrainingStep
from tests.yowo.tiny import anchors, clip_batch, network

BACKBONES = (
    "resnet18",
    "mobilenet_2x",
    "mobilenetv2_1x",
    "shufflenet_2x",
    "shufflenetv2_2x",
)


def train(model, steps=3):
    """Some optimiser steps with a strong weight decay."""
    optimiser = build_optimiser(model, OptimiserConfig(name="adam", lr=1e-2, weight_decay=0.5))
    step, batch = YOWOTrainingStep(RegionLoss(anchors())), clip_batch(model.clip_length)
    model.train()
    for _ in range(steps):
        losses, _ = step(model, batch, None)
        sum(losses.values()).backward()
        optimiser.step()
        optimiser.zero_grad()


def changed(model, before):
    return {n for n, t in model.state_dict().items() if not torch.equal(t, before[n])}


@pytest.mark.parametrize("backbone", BACKBONES)
def test_frozen_branches_keep_weights_and_statistics(backbone):
    model = network(backbone, clip_length=16)
    frozen = freeze_branches(model, ["2d", "3d"])
    before = {n: t.clone() for n, t in model.state_dict().items()}
    train(model)
    last = ("backbone_2d.models.29.", "backbone_2d.models.30.")
    last += (f"backbone_3d.{model.backbone_3d.last_block}.", "cfam.", "conv_final.")
    moved = changed(model, before)
    assert moved and all(name.startswith(last) for name in moved)
    assert all(any(name.startswith(part) for name in moved) for part in last)
    assert not moved & set(frozen)


def test_one_branch_whole():
    model = network()
    freeze_branches(model, ["3d"], keep_last=False)
    before = {n: t.clone() for n, t in model.state_dict().items()}
    train(model)
    moved = changed(model, before)
    assert not any(name.startswith("backbone_3d.") for name in moved)
    assert any(name.startswith("backbone_2d.models.0.") for name in moved)


def test_nothing_frozen_moves_everything():
    model = network()
    assert freeze_branches(model, []) == []
    before = {n: t.clone() for n, t in model.state_dict().items()}
    train(model)
    still = set(before) - changed(model, before)
    assert not still


def test_an_unknown_branch():
    with pytest.raises(UserError, match=r"yowo.freeze: expected 2d or 3d, found 'backbone'"):
        freeze_branches(network(), ["backbone"])
