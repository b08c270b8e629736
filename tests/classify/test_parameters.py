"""Sizes that reports and public files state, counted without allocating them."""

import pytest
import torch

from stadet.classify.models.registry import build_model


def count(name, num_classes, **options):
    with torch.device("meta"):
        model = build_model(name, num_classes, **options)
    return sum(parameter.numel() for parameter in model.parameters())


def test_report_002_fused_network():
    assert count("fused_keypoints", 11) == 7_174_718


def test_report_004_networks():
    i3d = count("i3d", 27)
    assert round(i3d / 1e6, 1) == 12.3
    assert 14.2e6 < count("nl_i3d", 27) < 14.3e6
    assert count("g_i3d", 27) - i3d == 205_824
    assert count("modified_i3d", 27) - i3d == 205_824
    assert count("dilate_i3d", 27) == i3d


def test_the_second_non_local_block_has_most_of_the_new_parameters():
    with torch.device("meta"):
        model = build_model("nl_i3d", 27)
    first, second = (
        sum(p.numel() for p in block.parameters())
        for block in (model.nonlocal_4e, model.nonlocal_5b)
    )
    assert 1.9e6 < first + second < 2e6 and second > 2 * first


def test_c3d_of_sports_1m():
    # 27,655,936 in eight convolutions, then 8192, 4096, 4096 -> 487, all with biases.
    expected = 27_655_936 + 8193 * 4096 + 4097 * 4096 + 4097 * 487
    assert count("c3d", 487) == expected


@pytest.mark.parametrize("depth", [50, 101])
def test_an_inflated_resnet_is_a_resnet_with_longer_kernels(depth):
    """Only 3x1x1 for 1x1 in the inflated blocks and 5x7x7 for 7x7 in the stem are added."""
    from torchvision import models

    with torch.device("meta"):
        flat = getattr(models, f"resnet{depth}")(num_classes=10)
        deep = build_model("i3d_resnet", 10, depth=depth)
    flat_count = sum(p.numel() for p in flat.parameters())
    added = 4 * flat.conv1.weight.numel()
    for name, module in deep.named_modules():
        if getattr(module, "kernel_size", None) == (3, 1, 1):
            added += 2 * flat.get_submodule(name).weight.numel()
    assert sum(p.numel() for p in deep.parameters()) == flat_count + added


def test_the_paper_has_five_non_local_blocks_in_layers_2_and_3():
    with torch.device("meta"):
        model = build_model("nonlocal_i3d_resnet", 10)
    blocks = [name for name, module in model.named_modules() if name.endswith(".nl")]
    assert blocks == ["layer2.1.nl", "layer2.3.nl", "layer3.1.nl", "layer3.3.nl", "layer3.5.nl"]
