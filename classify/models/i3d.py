"""I3D on Inception-v1 (arXiv 1705.07750) and the versions of it in the hand-gesture thesis.

Clips of 40 frames at 100 x 100 in the report, 64 at 224 x 224 in the paper; any from 16 pixels a
side. Parameters at the report's 27 classes: I3D 12.3M, NL-I3D 14.2M, gates +205,824.
"""

from __future__ import annotations

import re
from functools import partial

from torch import Tensor, nn
from torch.nn.functional import avg_pool3d

from stadet.classify.layers.nonlocal_block import NonLocalBlock3d
from stadet.classify.layers.same_padding import SameMaxPool3d, TimePadding
from stadet.classify.models.classifier import ClipClassifier, check_clips
from stadet.classify.models.dilation import DilatedUnit3d, dilated_positions
from stadet.classify.models.inception3d import BranchWidths, InceptionModule, Unit3d
from stadet.detect.normalisation import Normalise

MODULES: dict[str, BranchWidths] = {  # in the order of the report's numbers, 1 to 9
    "mixed_3b": (64, 96, 128, 16, 32, 32),
    "mixed_3c": (128, 128, 192, 32, 96, 64),
    "mixed_4b": (192, 96, 208, 16, 48, 64),
    "mixed_4c": (160, 112, 224, 24, 64, 64),
    "mixed_4d": (128, 128, 256, 24, 64, 64),
    "mixed_4e": (112, 144, 288, 32, 64, 64),
    "mixed_4f": (256, 160, 320, 32, 128, 128),
    "mixed_5b": (256, 160, 320, 32, 128, 128),
    "mixed_5c": (384, 192, 384, 48, 128, 128),
}
POOLS_BEFORE = {"mixed_4b": ((3, 3, 3), (2, 2, 2)), "mixed_5b": ((2, 2, 2), (2, 2, 2))}
EXTENDED = ("mixed_4e", "mixed_5b")  # the 6th and the 8th: gated, or followed by a non-local block


class I3D(ClipClassifier):
    """The inflated Inception-v1, RGB.

    non_local: blocks after the 6th and the 8th inception module (NL-I3D, section 4.2). gates:
    feature gates in those two (G-I3D). dilate_training, dilate_evaluation: where temporal dilation
    is drawn and averaged (section 4.3), in the words of `dilated_positions`. time_padding:
    `"replicate"` makes an inflated image network give on a still clip exactly what it gave on the
    image; Kinetics weights expect zeros. width: factor on all channels, for CPUs.
    """

    cam_layer = "mixed_5c"
    library_name = "googlenet"

    def __init__(
        self,
        num_classes: int,
        *,
        non_local: bool = False,
        gates: bool = False,
        dilate_training: str = "none",
        dilate_evaluation: str = "none",
        time_padding: TimePadding = "zeros",
        dropout: float = 0.5,
        width: float = 1.0,
        normalisation: str = "signed",
        clip_length: int = 40,
    ) -> None:
        super().__init__()
        self.clip_length = clip_length
        self.normalise = Normalise(normalisation)
        unit = partial(Unit3d, time_padding=time_padding)
        dilatable = partial(DilatedUnit3d, time_padding=time_padding)
        scale = partial(_scale, width)
        self.conv_1a = unit(3, scale(64), 7, 2)
        self.pool_2a = SameMaxPool3d((1, 3, 3), (1, 2, 2))
        self.conv_2b = unit(scale(64), scale(64))
        self.conv_2c = dilatable(scale(64), scale(192), 3)
        self.pool_3a = SameMaxPool3d((1, 3, 3), (1, 2, 2))
        channels = scale(192)
        for name, widths in MODULES.items():
            if name in POOLS_BEFORE:
                self.add_module(name.replace("mixed", "pool")[:-1] + "a", _pool(name))
            module = InceptionModule(
                channels,
                tuple(scale(w) for w in widths),
                make_unit=unit,
                make_wide_unit=dilatable,
                gated=gates and name in EXTENDED,
            )
            self.add_module(name, module)
            channels = module.out_channels
            if non_local and name in EXTENDED:
                self.add_module(name.replace("mixed", "nonlocal"), NonLocalBlock3d(channels))
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(channels, num_classes)
        self.set_dilation(training=dilate_training, evaluation=dilate_evaluation)

    def set_dilation(self, *, training: str | None = None, evaluation: str | None = None) -> None:
        """Change where dilation is used; no weight depends on it (the report's Table 5.2 evaluates
        one network in all its ways). None leaves a side as it is."""
        for switch, which in (("trained", training), ("evaluated", evaluation)):
            if which is None:
                continue
            positions = dilated_positions(which)
            for index, part in enumerate([self.conv_2c, *(getattr(self, n) for n in MODULES)]):
                for unit in part.modules():
                    if isinstance(unit, DilatedUnit3d):
                        setattr(unit, switch, index in positions)

    def forward_features(self, frames: Tensor) -> Tensor:
        """(B, T, 3, H, W) to (B, 1024, T/8, H/32, W/32), each rounded up."""
        check_clips(frames, model="I3D", smallest=16)
        x = self.normalise(frames).transpose(1, 2)  # (B, 3, T, H, W)
        for name, part in self.named_children():
            if name not in ("normalise", "dropout", "head"):
                x = part(x)
        return x

    def forward_head(self, features: Tensor) -> Tensor:
        """Averages over two steps of time and all of space, classified, averaged over time."""
        kernel = (min(2, features.shape[2]), *features.shape[3:])
        pooled = avg_pool3d(features, kernel, stride=1).flatten(2).transpose(1, 2)  # (B, T', C)
        return self.head(self.dropout(pooled)).mean(dim=1)

    def public_keys(self, key: str) -> tuple[str, ...]:
        return (i3d_public_key(key),)


def _scale(width: float, channels: int) -> int:
    return max(1, round(channels * width))


def _pool(name: str) -> SameMaxPool3d:
    return SameMaxPool3d(*POOLS_BEFORE[name])


GOOGLENET = {"conv1": "conv_1a", "conv2": "conv_2b", "conv3": "conv_2c"} | {
    f"inception{theirs}": ours
    for theirs, ours in zip(
        ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b"), MODULES, strict=True
    )
}
BRANCHES = {  # of the second public file, then of torchvision's GoogLeNet
    "branch_0": "b0",
    "branch_1.0": "b1a",
    "branch_1.1": "b1b",
    "branch_2.0": "b2a",
    "branch_2.1": "b2b",
    "branch_3.1": "b3b",
    "branch1": "b0",
    "branch2.0": "b1a",
    "branch2.1": "b1b",
    "branch3.0": "b2a",
    "branch3.1": "b2b",
    "branch4.1": "b3b",
}


def i3d_public_key(key: str) -> str:
    """A tensor's name here from its name in one of three public layouts.

    `rgb_imagenet.pt` (`Conv3d_1a_7x7.conv3d.weight`, `Mixed_3b.b1a.bn.bias`, `logits.conv3d.bias`),
    `model_rgb.pth` (`conv3d_1a_7x7.batch3d.bias`, `mixed_3b.branch_1.0.conv3d.weight`,
    `conv3d_0c_1x1.conv3d.bias`), and torchvision's GoogLeNet (`conv1.conv.weight`,
    `inception3a.branch2.0.bn.bias`), whose 5x5 branch is 3x3 as I3D's is; its 4-dimensional weights
    are inflated by the loader.
    """
    part, _, rest = key.partition(".")
    if part in GOOGLENET:
        part = GOOGLENET[part]
    elif part in ("logits", "conv3d_0c_1x1"):
        return f"head.{rest.removeprefix('conv3d.')}"
    else:
        part = re.sub(r"^conv3d_(\d[abc])_\dx\d$", r"conv_\1", part.lower())
    for theirs, ours in BRANCHES.items():
        if rest.startswith(theirs + "."):
            rest = ours + rest[len(theirs) :]
            break
    return f"{part}.{rest.replace('conv3d.', 'conv.').replace('batch3d.', 'bn.')}"
