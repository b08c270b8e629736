"""Public weights of image networks: local files, or by the name that their library gives them."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from torch import Tensor

from stadet.detect.backbones.features import FeatureBackbone
from stadet.detect.backbones.networks import (
    TIMM,
    image_network,
    import_timm,
    pixel_statistics,
    timm_network,
)
from stadet.detect.yolo.weights_report import WeightsReport
from stadet.engine.errors import UserError, neighbours
from stadet.engine.state_dict import read_state_dict
from stadet.engine.torch_file import first_line

_COUNT = "num_batches_tracked"  # files from before PyTorch 0.4.1 lack it; nothing depends on it


def load_backbone_weights(backbone: FeatureBackbone, source: str | os.PathLike) -> WeightsReport:
    """Fill a backbone from a local file, or from its library by the name of its weights.

    source: a file of the whole network's state dict (.safetensors, too), else a name such as
    `"IMAGENET1K_V2"` or `"DEFAULT"`, or of timm the tag, as `"a1_in1k"`; only a name downloads,
    unless the library's cache has the file. Everything of the backbone must be filled. UserError
    for a file that cannot be read, holds code or is of another network, for an unknown name, and
    where the download fails.
    """
    path, name = Path(source), backbone.name
    weights = read_state_dict(path) if path.is_file() else named_weights(name, str(source))
    shown = path.name if path.is_file() else f"{source} of {name}"
    with torch.device("meta"):
        known = {_common(key) for key in image_network(name).state_dict()}
    own = backbone.network.state_dict()
    keys = {_common(key): key for key in own}  # timm's features have _ where its networks have .
    used, unused = {}, []
    for key, tensor in weights.items():
        if _common(key) not in known:
            raise UserError(
                f"weights {shown}: expected those of {name}, found {key}, which it does not have; "
                "take a file of this network, or name its network as the backbone"
            )
        target = keys.get(_common(key))
        if target is None:
            unused.append(key)
        elif own[target].shape != tensor.shape:
            raise UserError(
                f"weights {shown}: {key}: expected shape {tuple(own[target].shape)} of {name}, "
                f"found {tuple(tensor.shape)}; take a file of this network, or name its network "
                "as the backbone"
            )
        else:
            used[target] = tensor
    missing = [key for key in own if key not in used and not key.endswith(_COUNT)]
    if missing:
        raise UserError(
            f"weights {shown}: expected all {len(own)} tensors of {name}, found {len(used)} "
            f"(without {missing[0]}); it is of another network, or not whole"
        )
    backbone.network.load_state_dict(used, strict=False)
    return WeightsReport(f"{name} from {shown}", tuple(used), (), tuple(unused))


def _common(key: str) -> str:
    return key.replace(".", "_")


def named_weights(network: str | None, name: str) -> dict[str, Tensor]:
    """The library's weights of this name for one of its networks, downloaded or cached.

    network: None = a network of this toolkit, which no library has weights of. UserError where the
    name is unknown or the download fails.
    """
    if network is None:
        raise UserError(f"weights {name}: no such file (and torchvision has none for this model)")
    _expect_name(network, name)
    if network.startswith(TIMM):
        return _timm_weights(network, name)
    from torchvision.models import get_model_weights

    entry = getattr(get_model_weights(network), name)
    try:
        return entry.get_state_dict(progress=False)
    except OSError as error:  # urllib's errors are among them
        raise UserError(
            f"weights {name} of {network}: cannot download here ({error}); fetch {entry.url} "
            "elsewhere and give the local file"
        ) from error


def check_source(network: str, source: str) -> None:
    """UserError for weights that are neither a file nor a name of the network's library."""
    if not Path(source).is_file():
        _expect_name(network, source)


def _expect_name(network: str, name: str) -> None:
    if network.startswith(TIMM):
        library, shown = "timm", network.removeprefix(TIMM).partition(".")[0]
        tags = [full.partition(".")[2] for full in import_timm().list_pretrained(f"{shown}.*")]
        names = [tag for tag in tags if tag]
    else:
        from torchvision.models import get_model_weights

        library, shown = "torchvision", network
        names = list(get_model_weights(network).__members__)
    names = [*dict.fromkeys([*names, "DEFAULT"])]
    if name not in names:
        raise UserError(
            f"weights {name}: neither a file nor one of {library}'s for {shown} "
            f"({', '.join(names)}){neighbours(name, names)}"
        )


def _timm_weights(network: str, name: str) -> dict[str, Tensor]:
    own, _, given = network.removeprefix(TIMM).partition(".")
    tag = given if name == "DEFAULT" else name
    tagged = f"{own}.{tag}" if tag else own
    if pixel_statistics(TIMM + tagged) != pixel_statistics(network):
        raise UserError(
            f"weights {name}: they expect pixels normalised otherwise than {network}; name the "
            f"network with its tag, as backbone: {TIMM}{tagged}"
        )
    try:
        return timm_network(tagged, pretrained=True).state_dict()
    except UserError:
        raise
    except Exception as error:  # of whichever HTTP client its hub uses
        raise UserError(
            f"weights {name} of {network}: cannot download here ({first_line(error)}); fetch "
            f"timm/{tagged} from the hub elsewhere and give the local file"
        ) from error
