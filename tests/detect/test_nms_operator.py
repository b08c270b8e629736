"""Class-wise suppression against torchvision's, and what importing it costs."""

import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.ops import batched_nms as torchvision_batched_nms

from stadet.detect.nms_operator import batched_nms


def random_boxes(seed: int, count: int, classes: int):
    random = torch.Generator().manual_seed(seed)
    corners = torch.rand(count, 2, generator=random) * 60
    sides = torch.rand(count, 2, generator=random) * 30 + 0.5
    scores = torch.rand(count, generator=random)
    labels = torch.randint(0, classes, (count,), generator=random)
    return torch.cat([corners, corners + sides], dim=1), scores, labels


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.integers(0, 60), st.integers(1, 5), st.floats(0.1, 0.9))
def test_equals_torchvision(seed, count, classes, threshold):
    arguments = random_boxes(seed, count, classes)
    assert torch.equal(
        batched_nms(*arguments, threshold), torchvision_batched_nms(*arguments, threshold)
    )


@pytest.mark.parametrize("count", [999, 1000, 1001, 3000])  # on both sides of the change
def test_many_boxes_equal_torchvision(count):
    arguments = random_boxes(count, count, 7)
    assert torch.equal(batched_nms(*arguments, 0.5), torchvision_batched_nms(*arguments, 0.5))


PROGRAM = """
import sys, torch
from stadet.detect.nms_operator import batched_nms
boxes = torch.tensor([[0, 0, 10, 10.], [1, 0, 11, 10], [0, 0, 10, 10]])
kept = batched_nms(boxes, torch.tensor([.5, .9, .4]), torch.tensor([0, 0, 1]), .5)
assert kept.tolist() == [1, 2], kept
print("torchvision.ops" in sys.modules, "torch._dynamo" in sys.modules)
import torchvision  # comes later, as a user's program may do it
kept = torchvision.ops.batched_nms(boxes, torch.tensor([.5, .9, .4]), torch.zeros(3), .5)
assert kept.tolist() == [1], kept
"""


def test_the_operator_comes_without_the_package_and_does_not_disturb_it():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["False", "False"]


def test_another_build_of_torchvision_is_used_through_its_package():
    broken = """
import stadet.detect.nms_operator as operator
from importlib.machinery import ModuleSpec
operator.find_spec = lambda name: ModuleSpec(name, None, is_package=True)  # no library there
"""
    program = broken + PROGRAM.split("print")[0] + "assert 'torchvision.ops' in sys.modules"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
