"""Files as the usual training programs leave them."""

import argparse
import pathlib

import numpy as np
import pytest
import torch

from stadet.engine.errors import UserError
from stadet.engine.state_dict import read_state_dict

WEIGHTS = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.ones(2)}


def wrapped(prefix):
    return {prefix + name: tensor for name, tensor in WEIGHTS.items()}


@pytest.mark.parametrize(
    "content",
    [
        WEIGHTS,
        {"state_dict": wrapped("module."), "epoch": 3, "score": np.float64(0.5)},
        {"model": WEIGHTS, "args": argparse.Namespace(lr=0.1, out=pathlib.Path("runs"))},
        {"model_state_dict": wrapped("_orig_mod.module."), "loss": np.zeros(3)},
        {"state_dict": wrapped("model."), "pytorch-lightning_version": "2.0"},
    ],
    ids=["plain", "data parallel", "with arguments", "compiled", "lightning"],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_layouts_of_training_programs(tmp_path, content, zipped):
    path = tmp_path / "a.pth.tar"
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    found = read_state_dict(path)
    assert list(found) == list(WEIGHTS)
    assert all(torch.equal(found[name], WEIGHTS[name]) for name in WEIGHTS)


def test_a_prefix_that_only_some_names_have_is_theirs(tmp_path):
    mixed = {"model.a": torch.ones(1), "head": torch.ones(1)}
    torch.save(mixed, tmp_path / "a.pt")
    assert list(read_state_dict(tmp_path / "a.pt")) == list(mixed)


def test_objects_that_may_run_code_are_named(tmp_path):
    torch.save({"model": torch.nn.Linear(2, 2)}, tmp_path / "module.pt")
    with pytest.raises(UserError, match=r"nn\.modules\.linear\.Linear.*state_dict\(\) alone"):
        read_state_dict(tmp_path / "module.pt")
