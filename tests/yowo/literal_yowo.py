"""YOWO written out from the paper and the public checkpoints' key list, with functional calls only.

It shares no code with yowo/. `Weights` makes a tensor the first time that its key is asked for, so
one pass through a network also gives every key and shape of its checkpoint.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

# block of yolov2.cfg -> filters of its convolution
DARKNET = {
    0: 32,
    2: 64,
    4: 128,
    5: 64,
    6: 128,
    8: 256,
    9: 128,
    10: 256,
    12: 512,
    13: 256,
    14: 512,
    15: 256,
    16: 512,
    18: 1024,
    19: 512,
    20: 1024,
    21: 512,
    22: 1024,
    23: 1024,
    24: 1024,
    26: 64,
    29: 1024,
}
DARKNET_1X1 = {5, 9, 13, 15, 19, 21, 26}
DARKNET_POOLS = {1, 3, 7, 11, 17}


class Weights:
    """A state dict that fills itself: convolutions to keep activations' scale, norms about 1."""

    def __init__(self, seed=0, device="cpu"):
        self.state = {}
        self.device = device
        self.random = torch.Generator().manual_seed(seed)

    def __call__(self, key, *shape):
        if key not in self.state:
            if self.device == "meta":  # keys and shapes only
                self.state[key] = torch.empty(shape, device="meta")
            else:
                self.state[key] = random_tensor(key, shape, self.random)
        tensor = self.state[key]
        assert tuple(tensor.shape) == shape, (key, tuple(tensor.shape), shape)
        return tensor


def random_tensor(key, shape, generator):
    if key.endswith("num_batches_tracked"):
        return torch.tensor(100)
    if len(shape) > 1:
        fan_in = math.prod(shape[1:])
        return torch.randn(shape, generator=generator) * (1.6 / fan_in) ** 0.5
    if key.endswith(("running_var", "weight")):
        return torch.rand(shape, generator=generator) * 0.8 + 0.6
    return torch.randn(shape, generator=generator) * 0.1  # biases, running means, gamma


def conv(w, x, key, out, kernel=1, stride=1, padding=None, groups=1, bias=False):
    dims = x.ndim - 2
    size = (kernel,) * dims
    weight = w(f"{key}.weight", out, x.shape[1] // groups, *size)
    padding = (kernel - 1) // 2 if padding is None else padding
    offset = w(f"{key}.bias", out) if bias else None
    function = F.conv3d if dims == 3 else F.conv2d
    return function(x, weight, offset, stride=stride, padding=padding, groups=groups)


def norm(w, x, key):
    channels = x.shape[1]
    gain, shift = w(f"{key}.weight", channels), w(f"{key}.bias", channels)
    mean, variance = w(f"{key}.running_mean", channels), w(f"{key}.running_var", channels)
    w(f"{key}.num_batches_tracked")
    return F.batch_norm(x, mean, variance, gain, shift, training=False, eps=1e-5)


def reorg(x):
    """Four sub-images (top left, top right, bottom left, bottom right), one after the other."""
    return torch.cat([x[:, :, r::2, c::2] for r in (0, 1) for c in (0, 1)], dim=1)


def darknet19(w, x, prefix="backbone_2d."):
    outputs, k = {}, 0
    for i in range(31):
        if i in DARKNET_POOLS:
            x = F.max_pool2d(x, 2, 2)
        elif i == 25:
            x = outputs[16]
        elif i == 27:
            x = reorg(x)
        elif i == 28:
            x = torch.cat([outputs[27], outputs[24]], dim=1)
        elif i == 30:
            x = conv(w, x, f"{prefix}models.30.conv23", 425, bias=True)
        else:
            k += 1
            kernel = 1 if i in DARKNET_1X1 else 3
            x = conv(w, x, f"{prefix}models.{i}.conv{k}", DARKNET[i], kernel)
            x = F.leaky_relu(norm(w, x, f"{prefix}models.{i}.bn{k}"), 0.1)
        outputs[i] = x
    return x


def resnet(w, x, p, depths, base, bottleneck, expansion, groups, zero_pad):
    x = F.relu(norm(w, conv(w, x, f"{p}conv1", 64, 7, (1, 2, 2), 3), f"{p}bn1"))
    x = F.max_pool3d(x, 3, 2, 1)
    for level, depth in enumerate(depths):
        inner = base * 2**level
        out = inner * expansion
        for block in range(depth):
            key = f"{p}layer{level + 1}.{block}."
            stride = 2 if level > 0 and block == 0 else 1
            shortcut = x
            if block == 0 and (stride == 2 or x.shape[1] != out):
                if zero_pad:
                    shortcut = F.avg_pool3d(x, 1, stride)
                    shortcut = F.pad(shortcut, (0, 0, 0, 0, 0, 0, 0, out - x.shape[1]))
                else:
                    shortcut = conv(w, x, f"{key}downsample.0", out, 1, stride)
                    shortcut = norm(w, shortcut, f"{key}downsample.1")
            if bottleneck:
                x = F.relu(norm(w, conv(w, x, f"{key}conv1", inner), f"{key}bn1"))
                x = conv(w, x, f"{key}conv2", inner, 3, stride, groups=groups)
                x = F.relu(norm(w, x, f"{key}bn2"))
                x = norm(w, conv(w, x, f"{key}conv3", out), f"{key}bn3")
            else:
                x = F.relu(norm(w, conv(w, x, f"{key}conv1", inner, 3, stride), f"{key}bn1"))
                x = norm(w, conv(w, x, f"{key}conv2", inner, 3), f"{key}bn2")
            x = F.relu(x + shortcut)
    return x


def mobilenet(w, x, p):
    x = F.relu(norm(w, conv(w, x, f"{p}features.0.0", 64, 3, (1, 2, 2)), f"{p}features.0.1"))
    number = 0
    for channels, count, first in (
        (64, 1, 2),
        (128, 2, 2),
        (256, 2, 2),
        (512, 6, 2),
        (1024, 2, 1),
    ):
        for block in range(count):
            number += 1
            key, stride = f"{p}features.{number}.", 1 if block else first
            x = conv(w, x, f"{key}conv1", x.shape[1], 3, stride, groups=x.shape[1])
            x = F.relu(norm(w, x, f"{key}bn1"))
            x = F.relu(norm(w, conv(w, x, f"{key}conv2", channels * 2), f"{key}bn2"))
    return x


def mobilenetv2(w, x, p):
    x = F.relu6(norm(w, conv(w, x, f"{p}features.0.0", 32, 3, (1, 2, 2)), f"{p}features.0.1"))
    number = 0
    for expansion, channels, count, first in (
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    ):
        for block in range(count):
            number += 1
            key, stride = f"{p}features.{number}.conv.", 1 if block else first
            start, place = x, 0
            if expansion != 1:
                x = conv(w, x, f"{key}0", x.shape[1] * expansion)
                x, place = F.relu6(norm(w, x, f"{key}1")), 3
            x = conv(w, x, f"{key}{place}", x.shape[1], 3, stride, groups=x.shape[1])
            x = F.relu6(norm(w, x, f"{key}{place + 1}"))
            x = norm(w, conv(w, x, f"{key}{place + 3}", channels), f"{key}{place + 4}")
            if stride == 1 and start.shape[1] == channels:
                x = x + start
    return F.relu6(norm(w, conv(w, x, f"{p}features.18.0", 1280), f"{p}features.18.1"))


def shuffle(x, groups):
    """Channel g * n + i moves to place i * groups + g."""
    n = x.shape[1] // groups
    return x[:, [g * n + i for i in range(n) for g in range(groups)]]


def shufflenet(w, x, p, groups=3):
    x = F.relu(norm(w, conv(w, x, f"{p}conv1.0", 48, 3, (1, 2, 2)), f"{p}conv1.1"))
    x = F.max_pool3d(x, 3, 2, 1)
    for level, (depth, channels) in enumerate(((4, 480), (8, 960), (4, 1920))):
        for block in range(depth):
            key = f"{p}layer{level + 1}.{block}."
            middle, stride = channels // 4, 1 if block else 2
            out = channels - x.shape[1] if stride == 2 else channels
            first = 1 if x.shape[1] == 24 else groups
            y = F.relu(norm(w, conv(w, x, f"{key}conv1", middle, groups=first), f"{key}bn1"))
            y = conv(w, shuffle(y, groups), f"{key}conv2", middle, 3, stride, groups=middle)
            y = norm(w, y, f"{key}bn2")
            y = norm(w, conv(w, y, f"{key}conv3", out, groups=groups), f"{key}bn3")
            if stride == 2:
                pooled = F.avg_pool3d(x, (2, 3, 3), 2, (0, 1, 1))
                x = F.relu(torch.cat([y, pooled], dim=1))
            else:
                x = F.relu(y + x)
    return x


def shufflenetv2(w, x, p):
    x = F.relu(norm(w, conv(w, x, f"{p}conv1.0", 24, 3, (1, 2, 2)), f"{p}conv1.1"))
    x = F.max_pool3d(x, 3, 2, 1)
    number = 0
    for depth, channels in ((4, 224), (8, 488), (4, 976)):
        half = channels // 2
        for block in range(depth):
            key, stride = f"{p}features.{number}.", 1 if block else 2
            number += 1
            if stride == 2:
                kept, y = x, x
                kept = conv(w, kept, f"{key}banch1.0", x.shape[1], 3, 2, groups=x.shape[1])
                kept = norm(w, kept, f"{key}banch1.1")
                kept = conv(w, kept, f"{key}banch1.2", half)
                kept = F.relu(norm(w, kept, f"{key}banch1.3"))
            else:
                kept, y = x[:, :half], x[:, half:]
            y = F.relu(norm(w, conv(w, y, f"{key}banch2.0", half), f"{key}banch2.1"))
            y = conv(w, y, f"{key}banch2.3", half, 3, stride, groups=half)
            y = norm(w, y, f"{key}banch2.4")
            y = F.relu(norm(w, conv(w, y, f"{key}banch2.5", half), f"{key}banch2.6"))
            x = shuffle(torch.cat([kept, y], dim=1), 2)
    return F.relu(norm(w, conv(w, x, f"{p}conv_last.0", 2048), f"{p}conv_last.1"))


BACKBONES = {
    "resnext101": lambda w, x, p: resnet(w, x, p, (3, 4, 23, 3), 128, True, 2, 32, False),
    "resnet18": lambda w, x, p: resnet(w, x, p, (2, 2, 2, 2), 64, False, 1, 1, True),
    "resnet50": lambda w, x, p: resnet(w, x, p, (3, 4, 6, 3), 64, True, 4, 1, False),
    "resnet101": lambda w, x, p: resnet(w, x, p, (3, 4, 23, 3), 64, True, 4, 1, False),
    "mobilenet_2x": mobilenet,
    "mobilenetv2_1x": mobilenetv2,
    "shufflenet_2x": shufflenet,
    "shufflenetv2_2x": shufflenetv2,
}
PARAMETERS = {  # 24 classes, 5 anchors
    "resnext101": 121_095_050,
    "resnet18": 105_031_050,
    "resnet50": 119_772_810,
    "resnet101": 158_818_954,
    "mobilenet_2x": 86_448_970,
    "mobilenetv2_1x": 75_141_450,
    "shufflenet_2x": 77_049_050,
    "shufflenetv2_2x": 78_984_250,
}


def attention(w, x, key="cfam.sc"):
    b, c, h, width = x.shape
    features = x.reshape(b, c, h * width)
    energy = torch.einsum("bcn,bdn->bcd", features, features)
    energy = energy.max(dim=-1, keepdim=True)[0] - energy
    mixed = torch.einsum("bcd,bdn->bcn", torch.softmax(energy, dim=-1), features)
    return w(f"{key}.gamma", 1) * mixed.reshape(x.shape) + x


def cfam(w, x):
    x = F.relu(norm(w, conv(w, x, "cfam.conv_bn_relu1.0", 1024), "cfam.conv_bn_relu1.1"))
    x = F.relu(norm(w, conv(w, x, "cfam.conv_bn_relu2.0", 1024, 3), "cfam.conv_bn_relu2.1"))
    x = attention(w, x)
    x = F.relu(norm(w, conv(w, x, "cfam.conv_bn_relu3.0", 1024, 3), "cfam.conv_bn_relu3.1"))
    return conv(w, x, "cfam.conv_out.1", 1024, bias=True)


@torch.no_grad()
def yowo(w, clip, backbone, classes=24, anchors=5):
    """clip (B, 3, T, H, W) in [0, 1] to (B, anchors, 5 + classes, H/32, W/32)."""
    spatial = darknet19(w, clip[:, :, -1])
    temporal = BACKBONES[backbone](w, clip, "backbone_3d.")
    temporal = temporal.mean(dim=2) if temporal.shape[2] > 1 else temporal.squeeze(2)
    x = cfam(w, torch.cat([temporal, spatial], dim=1))
    x = conv(w, x, "conv_final", anchors * (5 + classes))
    return x.reshape(x.shape[0], anchors, 5 + classes, *x.shape[2:])


def public_checkpoint(backbone, clip=None, classes=24, anchors=5, seed=0):
    """(a checkpoint as the public code saves it, with random weights; its output for `clip`)."""
    w = Weights(seed=seed)
    clip = torch.rand(1, 3, 16, 32, 32) if clip is None else clip
    output = yowo(w, clip, backbone, classes, anchors)
    state = {f"module.{key}": tensor for key, tensor in w.state.items()}
    return {"epoch": 5, "state_dict": state, "optimizer": {}, "score": 0.5}, output
