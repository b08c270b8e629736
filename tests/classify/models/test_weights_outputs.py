"""Foreign weights are loaded rightly when the outputs are equal: ours against the network that the
weights come from, torchvision's own or written out over the public names."""

import pytest
import torch
from torch.nn import functional as F

from stadet.classify.models.registry import build_model
from stadet.classify.models.weights import fill, load_weights
from tests.classify.models.test_weights import public_i3d


def settle(network, seed=0):
    """Random running statistics, so that a batch norm in a wrong place shows."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in network.state_dict().items():
        if name.endswith("running_mean"):
            tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.1)
        elif name.endswith("running_var"):
            tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
    return network.eval()


def clips(length=8, size=64, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(2, length, 3, size, size, generator=generator)


def same(ours, theirs):
    assert theirs.std() > 0.01  # not all alike
    torch.testing.assert_close(ours, theirs, rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("name", ["r3d_18", "mc3_18", "r2plus1d_18"])
def test_torchvision_video_networks(name):
    from torchvision.models import video

    network = settle(getattr(video, name)(weights=None, num_classes=7))
    model = build_model("resnet3d", 7, backbone=name, normalisation="kinetics").eval()
    assert not fill(model, network.state_dict(), name).missing
    frames = clips()
    with torch.inference_mode():
        theirs = network(model.normalise(frames).transpose(1, 2))
        same(model(frames), theirs)
        pooled = build_model("resnet3d", 7, backbone=name, yowo_pool=True).eval()
        fill(pooled, network.state_dict(), name)
        assert (pooled(frames) - theirs).abs().max() > 0.01  # what classifiers gave before 0.2


def norm(w, x, key, eps=1e-5):
    names = ("running_mean", "running_var", "weight", "bias")
    mean, var, weight, bias = (w[f"{key}.{name}"] for name in names)
    return F.batch_norm(x, mean, var, weight, bias, False, 0.0, eps)


def literal_resnet3d(w, x, depths, bottleneck):
    """Hara et al.'s 3D ResNet over its public names: shortcut A for basic blocks, B for others."""
    x = F.conv3d(x, w["conv1.weight"], stride=(1, 2, 2), padding=3)
    x = F.max_pool3d(norm(w, x, "bn1").relu(), 3, 2, 1)
    for level, depth in enumerate(depths, start=1):
        for index in range(depth):
            key, stride = f"layer{level}.{index}", 2 if level > 1 and index == 0 else 1
            if bottleneck:
                y = norm(w, F.conv3d(x, w[f"{key}.conv1.weight"]), f"{key}.bn1").relu()
                y = F.conv3d(y, w[f"{key}.conv2.weight"], stride=stride, padding=1)
                y = norm(w, y, f"{key}.bn2").relu()
                y = norm(w, F.conv3d(y, w[f"{key}.conv3.weight"]), f"{key}.bn3")
            else:
                y = F.conv3d(x, w[f"{key}.conv1.weight"], stride=stride, padding=1)
                y = norm(w, y, f"{key}.bn1").relu()
                y = norm(w, F.conv3d(y, w[f"{key}.conv2.weight"], padding=1), f"{key}.bn2")
            if f"{key}.downsample.0.weight" in w:
                x = F.conv3d(x, w[f"{key}.downsample.0.weight"], stride=stride)
                x = norm(w, x, f"{key}.downsample.1")
            elif x.shape != y.shape:
                x = F.avg_pool3d(x, 1, stride)
                zeros = x.new_zeros(x.shape[0], y.shape[1] - x.shape[1], *x.shape[2:])
                x = torch.cat([x, zeros], 1)
            x = (x + y).relu()
    return F.linear(x.mean((2, 3, 4)), w["fc.weight"], w["fc.bias"])


@pytest.mark.parametrize(
    ("backbone", "depths", "bottleneck"),
    [("resnet18", (2, 2, 2, 2), False), ("resnet50", (3, 4, 6, 3), True)],
)
def test_3d_resnets(backbone, depths, bottleneck, tmp_path):
    source = settle(build_model("resnet3d", 5, backbone=backbone, width=0.25))
    public = {
        key.removeprefix("backbone.") if key.startswith("backbone.") else f"fc.{key[5:]}": value
        for key, value in source.state_dict().items()
    }
    torch.save(
        {"state_dict": {f"module.{k}": v for k, v in public.items()}}, tmp_path / "kinetics.pth"
    )
    model = build_model("resnet3d", 5, backbone=backbone, width=0.25).eval()
    assert not load_weights(model, tmp_path / "kinetics.pth").missing
    frames = clips(length=16)
    with torch.inference_mode():
        want = literal_resnet3d(public, frames.transpose(1, 2), depths, bottleneck)
        torch.testing.assert_close(model(frames), want, rtol=1e-4, atol=1e-5)


def same_padding(x, kernel, stride):
    """TensorFlow's padding "same": the odd one behind."""
    pads = []
    for size, k, s in reversed(list(zip(x.shape[2:], kernel, stride, strict=True))):
        total = max((-(-size // s) - 1) * s + k - size, 0)
        pads += [total // 2, total - total // 2]
    return F.pad(x, pads)


def literal_i3d(w, x):
    """Inception-v1 inflated (Carreira and Zisserman 2017) over the names of `rgb_imagenet.pt`."""

    def unit(x, key, kernel=(1, 1, 1), stride=(1, 1, 1)):
        x = F.conv3d(same_padding(x, kernel, stride), w[f"{key}.conv3d.weight"], stride=stride)
        return norm(w, x, f"{key}.bn", eps=1e-3).relu()

    def pool(x, kernel, stride):
        return F.max_pool3d(same_padding(x, kernel, stride), kernel, stride)

    def mixed(x, key):
        return torch.cat(
            [
                unit(x, f"{key}.b0"),
                unit(unit(x, f"{key}.b1a"), f"{key}.b1b", (3, 3, 3)),
                unit(unit(x, f"{key}.b2a"), f"{key}.b2b", (3, 3, 3)),
                unit(pool(x, (3, 3, 3), (1, 1, 1)), f"{key}.b3b"),
            ],
            1,
        )

    x = unit(x, "Conv3d_1a_7x7", (7, 7, 7), (2, 2, 2))
    x = pool(x, (1, 3, 3), (1, 2, 2))
    x = unit(unit(x, "Conv3d_2b_1x1"), "Conv3d_2c_3x3", (3, 3, 3))
    x = pool(x, (1, 3, 3), (1, 2, 2))
    x = mixed(mixed(x, "Mixed_3b"), "Mixed_3c")
    x = pool(x, (3, 3, 3), (2, 2, 2))
    for letter in "bcdef":
        x = mixed(x, f"Mixed_4{letter}")
    x = pool(x, (2, 2, 2), (2, 2, 2))
    x = mixed(mixed(x, "Mixed_5b"), "Mixed_5c")
    # the classifier is a 1x1x1 convolution, its answers averaged over what is left
    x = F.conv3d(x, w["logits.conv3d.weight"], w["logits.conv3d.bias"])
    return x.mean((2, 3, 4))


def test_i3d():
    source = settle(build_model("i3d", 6, width=0.25))
    public = public_i3d(source.state_dict(), "capitals")
    model = build_model("i3d", 6, width=0.25).eval()
    assert not fill(model, public, "rgb_imagenet.pt").missing
    frames = clips(length=16, size=96)
    with torch.inference_mode():
        want = literal_i3d(public, (frames * 2 - 1).transpose(1, 2))
        torch.testing.assert_close(model(frames), want, rtol=1e-4, atol=1e-5)


def test_c3d():
    """Tran et al. 2015: eight convolutions, five pools, three layers."""
    options = dict(size=(112, 112), width=0.25, hidden=32)
    source = build_model("c3d", 6, **options)
    model = build_model("c3d", 6, **options).eval()
    w = source.state_dict()
    assert not fill(model, w, "c3d.pickle").missing

    def literal(x):
        groups = (("conv1",), ("conv2",), ("conv3a", "conv3b"), ("conv4a", "conv4b"))
        for place, names in enumerate((*groups, ("conv5a", "conv5b"))):
            for name in names:
                x = F.conv3d(x, w[f"{name}.weight"], w[f"{name}.bias"], padding=1).relu()
            kernel = (1, 2, 2) if place == 0 else (2, 2, 2)
            x = F.max_pool3d(x, kernel, kernel, (0, 1, 1) if place == 4 else 0)
        x = x.flatten(1)
        for name in ("fc6", "fc7"):
            x = F.linear(x, w[f"{name}.weight"], w[f"{name}.bias"]).relu()
        return F.linear(x, w["fc8.weight"], w["fc8.bias"])

    frames = clips(length=16, size=112)
    with torch.inference_mode():
        want = literal(model.normalise(frames).transpose(1, 2))
        torch.testing.assert_close(model(frames), want, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["lrcn", "late_fusion_average", "cnn_lstm_resnet50"])
def test_image_networks_give_torchvisions_features(name):
    """What the image network hands on is what torchvision's hands to its classifier."""
    import torchvision

    which = "resnet50" if name.endswith("resnet50") else "resnet18"
    options = {} if name.endswith("resnet50") else {"backbone": which}
    network = settle(getattr(torchvision.models, which)(weights=None))
    model = build_model(name, 5, **options).eval()
    fill(model, network.state_dict(), which)
    trunks = [m for m in model.modules() if type(m).__name__ == "ImageBackbone"]
    assert trunks
    images = clips(length=1)[:, 0]
    network.fc = torch.nn.Identity()
    with torch.inference_mode():
        for trunk in trunks:
            same(trunk(images[:, None])[:, 0].flatten(1), network(images).flatten(1))


def literal_non_local_i3d(w, x):
    """The non-local I3D-ResNet-50 of Kinetics over its public names (Wang et al., table 1)."""

    def conv(x, key, stride=1):
        kernel = w[f"{key}.weight"].shape[2:]
        padding = tuple(side // 2 for side in kernel)
        return F.conv3d(x, w[f"{key}.weight"], w.get(f"{key}.bias"), stride, padding)

    def non_local(x, key):
        small = F.max_pool3d(x, (1, 2, 2))
        theta = conv(x, f"{key}.theta").flatten(2)  # (B, C/2, N)
        phi, g = (conv(small, f"{key}.{name}").flatten(2) for name in ("phi", "g"))
        products = torch.einsum("bcn,bcm->bnm", theta, phi) * theta.shape[1] ** -0.5
        y = torch.einsum("bnm,bcm->bcn", products.softmax(2), g).unflatten(2, x.shape[2:])
        return norm(w, conv(y, f"{key}.out"), f"{key}.bn") + x

    x = norm(w, conv(x, "conv1", 2), "bn1").relu()
    x = F.max_pool3d(x, (2, 3, 3), 2)
    for level, count in enumerate((3, 4, 6, 3), start=1):
        for index in range(count):
            key, stride = f"layer{level}.{index}", 2 if level > 1 and index == 0 else 1
            y = norm(w, conv(x, f"{key}.conv1"), f"{key}.bn1").relu()
            y = norm(w, conv(y, f"{key}.conv2", (1, stride, stride)), f"{key}.bn2").relu()
            y = norm(w, conv(y, f"{key}.conv3"), f"{key}.bn3")
            if index == 0:
                x = norm(
                    w, conv(x, f"{key}.downsample.0", (1, stride, stride)), f"{key}.downsample.1"
                )
            x = (x + y).relu()
            if level in (2, 3) and index % 2 == 1:
                x = non_local(x, f"{key}.nl")
        if level == 1:
            x = F.max_pool3d(x, (2, 1, 1))
    return x.mean((2, 3, 4)) @ w["fc.weight"].T + w["fc.bias"]


def test_non_local_i3d():
    options = {"width": 0.1, "pool_padding": 0}
    torch.manual_seed(0)
    public = settle(build_model("nonlocal_i3d_resnet", 7, **options)).state_dict()
    generator = torch.Generator().manual_seed(2)
    for key in public:
        if ".nl.bn." in key and key.endswith(("weight", "bias")):  # zero in a new block
            public[key] = torch.randn(public[key].shape, generator=generator)
    public = {key.replace("head.", "fc.", 1): value for key, value in public.items()}
    model = build_model("nonlocal_i3d_resnet", 7, **options).eval()
    assert not fill(model, public, "kinetics").missing
    frames = clips(16, 96)
    with torch.inference_mode():
        x = model.normalise(frames).transpose(1, 2)
        same(model(frames), literal_non_local_i3d(public, x))
