"""The public checkpoints' keys, shapes, parameters and outputs, against the literal network."""

import json

import pytest
import torch

from stadet.anchors.presets import YOWO_UCF24
from stadet.yowo.model import YOWO
from stadet.yowo.peer_weights import load_yowo_checkpoint
from tests.shared_data import SHARED
from tests.yowo.literal_yowo import (
    BACKBONES,
    PARAMETERS,
    Weights,
    public_checkpoint,
    random_tensor,
    yowo,
)

SIZE = (64, 96)  # (height, width)
LIGHT = ("resnet18", "shufflenet_2x")
ALL = [name if name in LIGHT else pytest.param(name, marks=pytest.mark.slow) for name in BACKBONES]


def on_no_memory(backbone, classes=24):
    with torch.device("meta"):
        return YOWO(classes, YOWO_UCF24.scaled_to(SIZE), backbone=backbone)


def literal_shapes(backbone):
    w = Weights(device="meta")
    yowo(w, torch.empty(1, 3, 16, 96, 96, device="meta"), backbone)
    return {name: tuple(tensor.shape) for name, tensor in w.state.items()}


def relative_difference(found, expected):
    return float((found - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize("backbone", BACKBONES)
def test_every_key_and_shape_is_the_literal_networks(backbone):
    model = on_no_memory(backbone)
    ours = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    assert ours == literal_shapes(backbone)
    assert sum(p.numel() for p in model.parameters()) == PARAMETERS[backbone]


@pytest.mark.skipif(SHARED is None, reason="needs the shared list of public keys")
@pytest.mark.parametrize("backbone", BACKBONES)
def test_every_key_and_shape_is_in_the_public_list(backbone):
    public = json.loads((SHARED / "yowo_checkpoint_keys.json").read_text())[backbone]
    ours = on_no_memory(backbone).state_dict()
    assert {f"module.{name}": list(tensor.shape) for name, tensor in ours.items()} == public


@pytest.mark.parametrize("backbone", ALL)
def test_outputs_of_a_loaded_checkpoint_equal_the_literal_networks(backbone, tmp_path):
    clip = torch.rand(2, 3, 16, *SIZE, generator=torch.Generator().manual_seed(1))
    content, expected = public_checkpoint(backbone, clip)
    torch.save(content, tmp_path / "public.pth")
    model = on_no_memory(backbone).to_empty(device="cpu").eval()
    report = load_yowo_checkpoint(model, tmp_path / "public.pth")
    assert not report.missing and not report.unused
    with torch.no_grad():
        (found,), _ = model(clip.transpose(1, 2))
    assert found.shape == expected.shape == (2, 5, 29, 2, 3)
    assert relative_difference(found, expected) < 1e-4


@pytest.mark.slow
@pytest.mark.skipif(SHARED is None, reason="needs the shared list of public keys")
@pytest.mark.parametrize("backbone", BACKBONES)
def test_outputs_from_the_public_keys_equal_the_literal_networks(backbone, tmp_path):
    public = json.loads((SHARED / "yowo_checkpoint_keys.json").read_text())[backbone]
    generator = torch.Generator().manual_seed(7)
    state = {key: random_tensor(key, tuple(s), generator) for key, s in public.items()}
    torch.save({"epoch": 1, "state_dict": state, "score": 0.8}, tmp_path / "public.pth")
    model = on_no_memory(backbone).to_empty(device="cpu").eval()
    load_yowo_checkpoint(model, tmp_path / "public.pth")
    clip = torch.rand(1, 3, 32, 96, 64, generator=generator)
    w = Weights()
    w.state = {key.removeprefix("module."): tensor for key, tensor in state.items()}
    expected = yowo(w, clip, backbone)
    assert len(w.state) == len(public)  # the literal network asked for no other key
    with torch.no_grad():
        (found,), _ = model(clip.transpose(1, 2))
    assert relative_difference(found, expected) < 1e-4
