import pickle
import struct

import numpy as np
import pytest
import torch

from stadet.anchors.anchors import Anchors
from stadet.anchors.presets import YOWO_UCF24
from stadet.engine.errors import UserError
from stadet.engine.state_dict import read_state_dict
from stadet.yowo.model import YOWO
from stadet.yowo.peer_weights import (
    load_darknet19_weights,
    load_kinetics_weights,
    load_yowo_checkpoint,
    recognise_backbone,
)
from tests.yowo.literal_yowo import BACKBONES, Weights, darknet19, public_checkpoint

SIZE = (64, 64)


def model(classes=24, backbone="resnet18", anchors=YOWO_UCF24, **options):
    """All zeros: what a file fills is seen, and nothing is spent on initial values."""
    with torch.device("meta"):
        network = YOWO(classes, anchors.scaled_to(SIZE), backbone=backbone, **options).eval()
    network.to_empty(device="cpu")
    for tensor in network.state_dict().values():
        tensor.zero_()
    return network


def branch_3d(backbone):
    """A 3D branch's random weights as the literal network names them, on no memory."""
    w = Weights(device="meta")
    BACKBONES[backbone](w, torch.empty(1, 3, 16, 96, 96, device="meta"), "")
    return w.state


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "yowo_ucf24.pth"
    content, _ = public_checkpoint("resnet18")
    torch.save({**content, "score": np.float64(0.8)}, path)
    return path


def test_a_public_checkpoint_fills_everything(checkpoint):
    report = load_yowo_checkpoint(model(), checkpoint)
    assert not report.missing and not report.unused and not report.notes
    assert len(report.used) == 258  # as many keys as the public list has for ResNet-18


def test_a_head_of_other_classes_or_anchors_starts_anew_and_says_so(checkpoint):
    ours = model(classes=3)
    torch.nn.init.normal_(ours.conv_final.weight)
    before = ours.conv_final.weight.clone()
    report = load_yowo_checkpoint(ours, checkpoint)
    assert report.missing == report.unused == ("conv_final.weight",)
    assert "head starts from initial weights: 145 outputs in the file, 40 here" in str(report)
    assert torch.equal(ours.conv_final.weight, before)
    weights = torch.load(checkpoint, weights_only=False)["state_dict"]
    assert torch.equal(ours.cfam.sc.gamma, weights["module.cfam.sc.gamma"])


@pytest.mark.parametrize("stride", [16, 8])
def test_all_but_the_head_serves_a_finer_grid(checkpoint, stride):
    finer = Anchors(YOWO_UCF24.levels, (stride,), YOWO_UCF24.network_size)
    ours = model(anchors=finer)
    report = load_yowo_checkpoint(ours, checkpoint)
    assert report.unused == ("conv_final.weight",) and len(report.used) == 257
    assert all(name.startswith(("fine_grid.", "conv_final.")) for name in report.missing)
    assert f"the path to stride {stride} starts from initial weights" in str(report)
    assert "the head starts from initial weights: its input has other features" in str(report)


def test_a_finer_grid_that_a_file_has_is_taken_and_nothing_starts_anew(tmp_path):
    finer = Anchors(YOWO_UCF24.levels, (16,), YOWO_UCF24.network_size)
    options = {"anchors": finer, "width": 0.0625}
    theirs, ours = model(**options), model(**options)
    torch.nn.init.ones_(theirs.fine_grid.merge[0][0].weight)
    torch.save({"state_dict": theirs.state_dict()}, tmp_path / "finer.pth")
    report = load_yowo_checkpoint(ours, tmp_path / "finer.pth")
    assert not report.missing and not report.unused and not report.notes
    assert bool((ours.fine_grid.merge[0][0].weight == 1).all())


def test_a_checkpoint_of_another_backbone_is_named(checkpoint):
    with pytest.raises(UserError, match=r"backbone shufflenetv2_2x, found .* resnet18; set yowo"):
        load_yowo_checkpoint(model(backbone="shufflenetv2_2x"), checkpoint)


def test_another_width_is_refused_and_named_by_a_tensor(checkpoint):
    with pytest.raises(UserError, match=r"models.0.conv1.weight is \(8, 3, 3, 3\) here and \(32"):
        load_yowo_checkpoint(model(width=0.25), checkpoint)


def test_a_checkpoint_with_a_part_missing_loads_only_when_not_strict(checkpoint, tmp_path):
    weights = torch.load(checkpoint, weights_only=False)["state_dict"]
    del weights["module.cfam.sc.gamma"]
    torch.save({"state_dict": weights}, tmp_path / "cut.pth")
    with pytest.raises(UserError, match=r"cfam.sc.gamma is missing"):
        load_yowo_checkpoint(model(), tmp_path / "cut.pth")
    report = load_yowo_checkpoint(model(), tmp_path / "cut.pth", strict=False)
    assert report.missing == ("cfam.sc.gamma",)


@pytest.mark.parametrize("name", BACKBONES)
def test_every_backbone_is_recognised_by_its_keys(name):
    weights = branch_3d(name)
    assert recognise_backbone(weights) == name
    old = {n: w for n, w in weights.items() if not n.endswith("num_batches_tracked")}
    assert recognise_backbone(old) == name


def test_weights_of_nothing_known_are_not_recognised():
    assert recognise_backbone({"fc.weight": torch.zeros(3, 3)}) is None


@pytest.mark.parametrize("classifier", ["fc", "classifier.1"])
def test_kinetics_weights_fill_the_3d_branch_and_the_classifier_is_dropped(tmp_path, classifier):
    w = Weights(seed=3)
    clip = torch.rand(1, 3, 16, 32, 32)
    with torch.no_grad():
        expected = BACKBONES["resnet18"](w, clip, "")
    state = {f"module.{n}": t for n, t in w.state.items() if not n.endswith("tracked")}
    state |= {f"module.{classifier}.weight": torch.zeros(400, 512)}
    torch.save({"epoch": 1, "arch": "resnet-18", "state_dict": state}, tmp_path / "kinetics.pth")
    ours = model()
    report = load_kinetics_weights(ours, tmp_path / "kinetics.pth")
    assert report.unused == (f"{classifier}.weight",) and not report.missing
    assert "classifier was dropped" in str(report)
    with torch.no_grad():
        torch.testing.assert_close(ours.backbone_3d.forward_features(clip), expected)
    with pytest.raises(UserError, match="3D backbone resnet18; give them as weights_3d"):
        load_yowo_checkpoint(ours, tmp_path / "kinetics.pth")
    with pytest.raises(UserError, match="expected weights of the 3D backbone resnet50, found what"):
        load_kinetics_weights(model(backbone="resnet50"), tmp_path / "kinetics.pth")


def test_the_3d_branch_of_a_yowo_checkpoint_serves_too(checkpoint):
    ours = model(classes=2)
    report = load_kinetics_weights(ours, checkpoint)
    weights = read_state_dict(checkpoint)
    assert torch.equal(ours.backbone_3d.conv1.weight, weights["backbone_3d.conv1.weight"])
    assert len(report.used) + len(report.unused) == len(weights)


def test_torchvisions_video_weights_load(tmp_path):
    from torchvision.models.video import r3d_18

    source = r3d_18(weights=None)
    torch.save(source.state_dict(), tmp_path / "r3d_18.pth")
    ours = model(backbone="r3d_18")
    report = load_kinetics_weights(ours, tmp_path / "r3d_18.pth")
    assert report.unused == ("fc.weight", "fc.bias") and not report.missing
    assert torch.equal(ours.backbone_3d.layer4[1].conv1[0].weight, source.layer4[1].conv1[0].weight)


def darknet_file(path, state, order, seen=32013312):
    """Weights in Darknet's order: of each convolution norm bias, gain, mean, variance, kernel."""
    with open(path, "wb") as stream:
        stream.write(struct.pack("<iiiq", 0, 2, 0, seen))
        for index, k in order:
            block = f"models.{index}."
            names = ["bias", "weight", "running_mean", "running_var"]
            parts = [f"{block}bn{k}.{n}" for n in names] + [f"{block}conv{k}.weight"]
            if k == 23:
                parts = [f"{block}conv23.bias", f"{block}conv23.weight"]
            for name in parts:
                stream.write(state[name].numpy().astype("<f4").tobytes())


CONVOLUTIONS = (0, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, 15, 16, 18, 19, 20, 21, 22, 23, 24, 26, 29, 30)
ORDER = list(zip(CONVOLUTIONS, range(1, 24), strict=True))


@pytest.fixture(scope="module")
def darknet_weights():
    w = Weights(seed=5)
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        return image, darknet19(w, image, prefix=""), w.state


def test_yolo_weights_fill_the_2d_branch(darknet_weights, tmp_path):
    image, expected, state = darknet_weights
    path = tmp_path / "yolo.weights"
    darknet_file(path, state, ORDER)
    ours = model()
    report = load_darknet19_weights(ours, path)
    assert len(report.used) == 23 and not report.missing and not report.unused
    with torch.no_grad():
        torch.testing.assert_close(ours.backbone_2d(image)[0], expected)
    assert path.stat().st_size == 20 + 4 * 50_983_561  # a public yolo.weights of COCO


def test_darknet_files_that_are_cut_or_of_other_classes(darknet_weights, tmp_path):
    _, _, state = darknet_weights
    cut = tmp_path / "darknet19_448.conv.23"
    darknet_file(cut, state, ORDER[:18])
    with pytest.raises(UserError, match="expected the 50,983,561 numbers of YOLOv2"):
        load_darknet19_weights(model(), cut)
    assert len(load_darknet19_weights(model(), cut, strict=False).used) == 18
    voc = {**state, "models.30.conv23.bias": torch.zeros(125)}
    voc["models.30.conv23.weight"] = torch.zeros(125, 1024, 1, 1)
    darknet_file(tmp_path / "voc.weights", voc, ORDER)
    report = load_darknet19_weights(model(), tmp_path / "voc.weights", strict=False)
    assert report.missing == ("models.30",) and "128,125 numbers" in str(report)
    (tmp_path / "broken.weights").write_bytes(cut.read_bytes()[:-400])
    with pytest.raises(UserError, match=r"truncated or of another network$"):
        load_darknet19_weights(model(), tmp_path / "broken.weights", strict=False)


def test_files_that_are_no_checkpoints(tmp_path, checkpoint):
    with pytest.raises(UserError, match="no such file"):
        read_state_dict(tmp_path / "absent.pth")
    (tmp_path / "text.pth").write_text("not a checkpoint")
    with pytest.raises(UserError, match="no file of torch"):
        read_state_dict(tmp_path / "text.pth")
    (tmp_path / "half.pth").write_bytes(checkpoint.read_bytes()[:100_000])
    with pytest.raises(UserError, match="not a"):
        read_state_dict(tmp_path / "half.pth")
    torch.save({"epoch": 3, "net": {}}, tmp_path / "other.pth")
    with pytest.raises(UserError, match="found a dict of epoch, net"):
        read_state_dict(tmp_path / "other.pth")


class Payload:
    def __reduce__(self):
        return (print, ("ran",))


def test_code_in_a_checkpoint_is_not_run(tmp_path, capsys):
    torch.save({"state_dict": {"a": torch.zeros(1)}, "score": Payload()}, tmp_path / "evil.pth")
    with pytest.raises(UserError, match="more than tensors"):
        read_state_dict(tmp_path / "evil.pth")
    (tmp_path / "evil2.pth").write_bytes(pickle.dumps(Payload(), protocol=2))
    with pytest.raises(UserError):
        read_state_dict(tmp_path / "evil2.pth")
    assert "ran" not in capsys.readouterr().out


def test_a_numpy_score_is_passed_over(tmp_path):
    content = {"state_dict": {"module.a": torch.ones(2)}, "score": np.float32(0.5)}
    torch.save(content, tmp_path / "scored.pth")
    assert list(read_state_dict(tmp_path / "scored.pth")) == ["a"]
