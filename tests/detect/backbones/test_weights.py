import os
import pickle
import urllib.error
from pathlib import Path

import pytest
import torch
from torchvision import models

from stadet.detect.backbones.features import FeatureBackbone
from stadet.detect.backbones.weights import load_backbone_weights
from stadet.engine.errors import UserError
from tests.shared_data import SHARED

PUBLIC = (SHARED or Path()) / "imagenet_weights" / "mobilenet_v2-b0353104.pth"


def backbone(name="mobilenet_v3_small"):
    return FeatureBackbone(name, (8, 16, 32))


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "network.pth"
    torch.manual_seed(1)
    torch.save(models.mobilenet_v3_small(weights=None).state_dict(), path)
    return path


@pytest.mark.parametrize("wrap", [None, "state_dict", "module."])
def test_a_local_file_gives_what_torchvision_loads(file, wrap, tmp_path):
    weights = torch.load(file, weights_only=True)
    if wrap:
        content = {f"module.{k}": v for k, v in weights.items()} if "." in wrap else {wrap: weights}
        torch.save(content, file := tmp_path / "wrapped.pth")
    own, theirs = backbone(), models.mobilenet_v3_small(weights=None)
    theirs.load_state_dict(weights)
    report = load_backbone_weights(own, file)
    expected = theirs.state_dict()
    for key, tensor in own.network.state_dict().items():
        assert torch.equal(tensor, expected[key]), key
    assert not report.missing and len(report.used) == len(own.network.state_dict())
    assert set(report.unused) == {k for k in expected if k.startswith("classifier.")}
    assert str(report).startswith(f"mobilenet_v3_small from {file.name}: used ")


def test_classes_of_another_number_do_not_matter(tmp_path):
    torch.save(models.mobilenet_v3_small(num_classes=7).state_dict(), tmp_path / "a.pth")
    assert not load_backbone_weights(backbone(), tmp_path / "a.pth").missing


@pytest.mark.skipif(not PUBLIC.is_file(), reason="the public file is not here")
@torch.no_grad()
def test_the_public_file_knows_a_dog():
    from torchvision.io import read_image
    from torchvision.transforms.functional import center_crop, resize

    own, whole = backbone("mobilenet_v2").eval(), models.mobilenet_v2(weights=None).eval()
    load_backbone_weights(own, PUBLIC)
    whole.load_state_dict(torch.load(PUBLIC, weights_only=True))
    image = center_crop(resize(read_image(str(PUBLIC.parent / "dog1.jpg")), 256), 224)
    logits = whole.classifier(own(image[None] / 255)[-1].mean((2, 3)))
    assert 151 <= logits.argmax().item() <= 268  # ImageNet's breeds


def test_files_of_another_network_are_refused_in_one_line(tmp_path):
    def refused(name, weights, message):
        torch.save(weights, tmp_path / "other.pth")
        with pytest.raises(UserError, match=message) as error:
            load_backbone_weights(backbone(name), tmp_path / "other.pth")
        assert "\n" not in str(error.value)

    resnet34 = models.resnet34(weights=None).state_dict()
    refused("mobilenet_v2", resnet34, "expected those of mobilenet_v2, found conv1.weight")
    # everything of resnet18 is in resnet34, in its shape, and more
    refused("resnet18", resnet34, r"expected those of resnet18, found layer1\.2\.conv1\.weight")
    small, large = (models.get_model(f"shufflenet_v2_x{x}").state_dict() for x in ("0_5", "1_0"))
    refused("shufflenet_v2_x0_5", large, "expected shape")
    cut = {k: v for k, v in small.items() if not k.startswith("stage3.2")}
    refused("shufflenet_v2_x0_5", cut, r"without stage3\.2\.")
    refused("shufflenet_v2_x0_5", small | {"conv1.0.weight": torch.full((24, 3, 3, 3), torch.nan)},
            "NaN")  # fmt: skip


def test_code_is_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "made"),)

    torch.save({"conv1.weight": Evil()}, tmp_path / "evil.pt")
    (tmp_path / "old.pth").write_bytes(pickle.dumps(Evil()))
    for name in ("evil.pt", "old.pth"):
        with pytest.raises(UserError, match="more than tensors and plain data") as error:
            load_backbone_weights(backbone(), tmp_path / name)
        assert "\n" not in str(error.value)
    assert not (tmp_path / "made").exists()


def test_names_of_torchvision(monkeypatch, tmp_path):
    def no_network(*_, **__):
        raise urllib.error.URLError("no network")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.download_url_to_file", no_network)
    with pytest.raises(UserError, match=r"cannot download here .*https://.*local file") as error:
        load_backbone_weights(backbone(), "IMAGENET1K_V1")
    assert "\n" not in str(error.value)
    with pytest.raises(UserError, match="neither a file nor one of torchvision's"):
        load_backbone_weights(backbone(), "IMAGENET1K_V7")


def test_a_cached_file_needs_no_network(monkeypatch, tmp_path, file):
    (tmp_path / "hub/checkpoints").mkdir(parents=True)
    url = models.MobileNet_V3_Small_Weights.IMAGENET1K_V1.url
    (tmp_path / "hub/checkpoints" / url.rpartition("/")[2]).write_bytes(file.read_bytes())
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    report = load_backbone_weights(backbone(), "DEFAULT")
    assert not report.missing and "DEFAULT of mobilenet_v3_small" in str(report)


def test_timm_from_local_files(tmp_path):
    timm = pytest.importorskip("timm")
    from safetensors.torch import save_file

    whole = timm.create_model("mobilenetv3_small_050", pretrained=False)
    torch.save(whole.state_dict(), tmp_path / "a.pth")
    save_file(whole.state_dict(), tmp_path / "model.safetensors")
    images = torch.rand(1, 3, 64, 64)
    for name in ("a.pth", "model.safetensors"):
        own = backbone("timm/mobilenetv3_small_050").eval()
        assert not load_backbone_weights(own, tmp_path / name).missing
        normalised = own.normalise(images[None])[0]
        with torch.no_grad():
            wanted = whole.eval().forward_intermediates(normalised, intermediates_only=True)
            for ours, theirs in zip(own(images), wanted[-3:], strict=True):
                torch.testing.assert_close(ours, theirs)
    (tmp_path / "text.safetensors").write_text("text")
    with pytest.raises(UserError, match="expected a safetensors file"):
        load_backbone_weights(own, tmp_path / "text.safetensors")
    with pytest.raises(UserError, match="neither a file nor one of timm's"):
        load_backbone_weights(own, "a9_in1k")


def test_timm_without_network(monkeypatch, tmp_path):
    timm = pytest.importorskip("timm")

    def no_network(*_, **__):
        raise ConnectionError("no network")

    monkeypatch.setattr("timm.models._builder.load_pretrained", no_network)
    assert timm.is_model("resnet18")
    with pytest.raises(UserError, match=r"cannot download here \(no network\)") as error:
        load_backbone_weights(backbone("timm/resnet18"), "a1_in1k")
    assert "\n" not in str(error.value)
