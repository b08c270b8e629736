"""Random weights in the layouts that the public files have, as far as those are known."""

import pickle
import re
import urllib.error

import pytest
import torch
from torch import nn

from stadet.classify.models.registry import build_model
from stadet.classify.models.weights import fill, load_weights
from stadet.engine.errors import UserError
from stadet.engine.state_dict import read_state_dict
from tests.classify.tiny_models import tiny_model


def assert_filled(model, report, expected_missing=()):
    assert set(report.missing) == set(expected_missing)
    assert str(len(report.used)) in str(report)


def public_i3d(weights, layout):
    """Our I3D's tensors under the names of `rgb_imagenet.pt` or `model_rgb.pth`."""
    branches = {
        "b0": "branch_0",
        "b1a": "branch_1.0",
        "b1b": "branch_1.1",
        "b2a": "branch_2.0",
        "b2b": "branch_2.1",
        "b3b": "branch_3.1",
    }
    stems = {"conv_1a": "Conv3d_1a_7x7", "conv_2b": "Conv3d_2b_1x1", "conv_2c": "Conv3d_2c_3x3"}
    out = {}
    for key, value in weights.items():
        first, rest = key.split(".", 1)
        if first == "head":
            name = "logits" if layout == "capitals" else "conv3d_0c_1x1"
            value = value[:, :, None, None, None] if rest == "weight" else value
            out[f"{name}.conv3d.{rest}"] = value
            continue
        first = stems.get(first, first.capitalize())
        rest = rest.replace("conv.", "conv3d.")
        if layout != "capitals":
            branch, _, end = rest.partition(".")
            rest = f"{branches[branch]}.{end}" if branch in branches else rest
            first, rest = first[0].lower() + first[1:], rest.replace("bn.", "batch3d.")
        out[f"{first}.{rest}"] = value
    return out


@pytest.mark.parametrize(
    ("layout", "sample"),
    [
        ("capitals", "Mixed_3b.b1a.conv3d.weight"),
        ("branches", "mixed_3b.branch_1.0.batch3d.running_mean"),
    ],
)
def test_i3d_kinetics(layout, sample, tmp_path):
    source, model = tiny_model("i3d", 7), build_model("i3d", 7, width=0.1)
    public = public_i3d(source.state_dict(), layout)
    assert sample in public
    torch.save(public, tmp_path / "i3d.pt")
    assert_filled(model, load_weights(model, tmp_path / "i3d.pt"))
    for key, value in source.state_dict().items():
        assert torch.equal(model.state_dict()[key], value), key


def test_staged_initialisation_of_report_004():
    """Kinetics (400 classes) -> I3D on 27 -> G-I3D; Dilate-I3D -> Modified-I3D."""
    kinetics = tiny_model("i3d", 400).state_dict()
    i3d = build_model("i3d", 27, width=0.1)
    report = fill(i3d, kinetics, "kinetics")
    assert_filled(i3d, report, ("head.weight", "head.bias"))
    assert set(report.unused) == {"head.weight", "head.bias"}
    gated = build_model("g_i3d", 27, width=0.1)
    report = fill(gated, i3d.state_dict(), "jester")
    assert all(".gate" in name for name in report.missing) and len(report.missing) == 4
    modified = build_model("modified_i3d", 27, width=0.1)
    report = fill(modified, build_model("dilate_i3d", 27, width=0.1).state_dict(), "dilate")
    assert all(".gate" in name for name in report.missing)


def test_c3d_sports_1m_in_both_layouts(tmp_path):
    options = dict(size=(32, 48), width=0.1, hidden=16)
    source = build_model("c3d", 487, **options)
    model = build_model("c3d", 5, **options)
    ours = source.state_dict()
    torch.save(ours, tmp_path / "c3d.pickle")
    assert_filled(model, load_weights(model, tmp_path / "c3d.pickle"), ("fc8.weight", "fc8.bias"))
    numbers = {
        "conv1": "features.0",
        "conv2": "features.3",
        "conv3a": "features.6",
        "conv3b": "features.8",
        "conv4a": "features.11",
        "conv4b": "features.13",
        "conv5a": "features.16",
        "conv5b": "features.18",
        "fc6": "classifier.0",
        "fc7": "classifier.3",
        "fc8": "classifier.6",
    }
    public = {f"{numbers[k.split('.')[0]]}.{k.split('.')[1]}": v for k, v in ours.items()}
    torch.save(public, tmp_path / "c3d-pretrained.pth")
    other = build_model("c3d", 5, **options)
    load_weights(other, tmp_path / "c3d-pretrained.pth")
    for key, value in model.state_dict().items():
        assert key.startswith("fc8.") or torch.equal(other.state_dict()[key], value), key


def test_3d_resnet_kinetics(tmp_path):
    source = tiny_model("resnet3d", 400)
    public = {"arch": "resnet-18", "epoch": 200, "state_dict": {}}
    for key, value in source.state_dict().items():
        name = key.removeprefix("backbone.") if key.startswith("backbone.") else f"fc.{key[5:]}"
        public["state_dict"][f"module.{name}"] = value
    assert "module.layer1.0.conv1.weight" in public["state_dict"]
    torch.save(public, tmp_path / "resnet-18-kinetics.pth")
    model = build_model("resnet3d", 3, width=0.1)
    report = load_weights(model, tmp_path / "resnet-18-kinetics.pth")
    assert_filled(model, report, ("head.weight", "head.bias"))
    assert set(report.unused) == {"fc.weight", "fc.bias"}


def test_non_local_kinetics():
    source = tiny_model("nonlocal_i3d_resnet", 400)
    public = {re.sub("^head", "fc", k): v for k, v in source.state_dict().items()}
    assert "layer2.1.nl.theta.weight" in public
    model = build_model("nonlocal_i3d_resnet", 3, width=0.1)
    assert_filled(model, fill(model, public, "kinetics"), ("head.weight", "head.bias"))


def test_torchvision_video_weights():
    from torchvision.models.video import r3d_18

    model = build_model("resnet3d", 400, backbone="r3d_18")
    assert_filled(model, fill(model, r3d_18().state_dict(), "r3d_18"))


@pytest.mark.parametrize("name", ["lrcn", "late_fusion_average", "three_stream"])
def test_image_weights_fill_every_backbone(name):
    from torchvision.models import resnet18

    network = resnet18()
    model = tiny_model(name, backbone="resnet18")
    report = fill(model, network.state_dict(), "resnet18")
    assert set(report.unused) == {"fc.weight", "fc.bias"}
    for key, value in model.state_dict().items():
        if ".network." in key:
            theirs = network.state_dict()[key.split(".network.")[1]]
            assert torch.equal(value, theirs), key


def test_our_own_checkpoint_is_read_too(tmp_path):
    source, model = tiny_model("cnn_lstm"), tiny_model("cnn_lstm")
    nn.init.zeros_(model.embed.weight)
    torch.save({"schema": "stad-checkpoint/1", "model": source.state_dict()}, tmp_path / "best.pt")
    assert_filled(model, load_weights(model, tmp_path / "best.pt"))
    assert torch.equal(model.embed.weight, source.embed.weight)


def test_another_shape_is_an_error_that_names_both():
    weights = tiny_model("i3d").state_dict()
    weights["mixed_4b.b0.conv.weight"] = torch.zeros(2, 3, 1, 1, 1)
    with pytest.raises(UserError, match=r"mixed_4b\.b0\.conv\.weight: expected .* found \(2, 3, 1"):
        fill(build_model("i3d", 3, width=0.1), weights, "file.pt")


def test_another_network_is_an_error():
    weights = tiny_model("convlstm").state_dict()
    with pytest.raises(UserError, match="holds 0 of the"):
        fill(build_model("i3d", 3, width=0.1), weights, "file.pt")


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_broken_files(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        read_state_dict(tmp_path / "missing.pt")
    (tmp_path / "empty.pt").write_bytes(b"")
    (tmp_path / "text.pt").write_text("not weights")
    (tmp_path / "code.pt").write_bytes(pickle.dumps(print))
    torch.save({"epoch": 3}, tmp_path / "none.pt")
    torch.save(torch.zeros(3), tmp_path / "tensor.pt")
    whole = tmp_path / "whole.pt"
    torch.save({"a": torch.zeros(1000)}, whole)
    (tmp_path / "cut.pt").write_bytes(whole.read_bytes()[:2000])
    for name in ("empty", "text", "code", "none", "tensor", "cut"):
        with pytest.raises(UserError) as caught:
            read_state_dict(tmp_path / f"{name}.pt")
        assert name in str(caught.value) and "\n" not in str(caught.value)


def test_offline_torchvision_says_what_to_do(monkeypatch):
    def refuse(*args, **kwargs):
        raise urllib.error.URLError("no network")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", refuse)
    with pytest.raises(UserError, match=r"cannot download here .*give the local file"):
        load_weights(tiny_model("cnn_lstm_alexnet"), "DEFAULT")


def test_unknown_names_of_weights():
    with pytest.raises(UserError, match=r"IMAGENET1K_V1.*did you mean"):
        load_weights(tiny_model("cnn_lstm_alexnet"), "IMAGENET_V1")
    with pytest.raises(UserError, match="torchvision has none"):
        load_weights(tiny_model("c3d"), "DEFAULT")
