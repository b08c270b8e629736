import pytest
import torch
from torch.nn.functional import batch_norm, conv3d, pad, relu

from stadet.classify.models.dilation import DilatedUnit3d, dilated_positions
from stadet.classify.models.registry import build_model
from stadet.engine.errors import UserError
from tests.classify.tiny_models import tiny_model


def spread(weight, factor):
    """The kernel with holes: its time steps `factor` apart, zeros between."""
    out = weight.new_zeros(*weight.shape[:2], 1 + 2 * factor, *weight.shape[3:])
    out[:, :, ::factor] = weight
    return out


def reference(unit, x, factor):
    """The unit with an explicitly spread kernel of ordinary convolution."""
    x = pad(x, (1, 1, 1, 1, factor, factor))
    x = conv3d(x, spread(unit.conv.weight, factor))
    bn = unit.bn
    x = batch_norm(x, bn.running_mean, bn.running_var, bn.weight, bn.bias, eps=bn.eps)
    return relu(x)


@pytest.fixture
def unit():
    torch.manual_seed(0)
    unit = DilatedUnit3d(4, 5, 3)
    unit.bn.running_mean.normal_()
    return unit


def test_evaluation_averages_the_maps_of_both_factors(unit):
    x = torch.randn(2, 4, 7, 6, 5)
    unit.eval()
    with torch.no_grad():
        expected = (reference(unit, x, 1) + reference(unit, x, 2)) / 2
        torch.testing.assert_close(unit(x), expected, atol=1e-5, rtol=1e-5)
        unit.evaluated = False
        torch.testing.assert_close(unit(x), reference(unit, x, 1), atol=1e-5, rtol=1e-5)


def test_training_draws_one_factor_a_forward(unit):
    x = torch.randn(1, 4, 7, 6, 5)
    unit.bn.eval()  # the statistics of the reference
    with torch.no_grad():
        one, two = reference(unit, x, 1), reference(unit, x, 2)
        torch.manual_seed(0)
        found = [unit(x) for _ in range(40)]
    ones = sum(torch.allclose(y, one, atol=1e-5) for y in found)
    twos = sum(torch.allclose(y, two, atol=1e-5) for y in found)
    assert ones + twos == 40 and 8 < ones < 32


@pytest.mark.parametrize(
    ("which", "expected"),
    [
        ("none", []),
        ("full", list(range(10))),
        ("top-1", [0]),
        ("top-5", [0, 1, 2, 3, 4]),
        ("bottom-2", [8, 9]),
        ("bottom-10", list(range(10))),
    ],
)
def test_positions(which, expected):
    assert list(dilated_positions(which)) == expected


@pytest.mark.parametrize("which", ["top-0", "top-11", "middle-3", "top-", "", "Full"])
def test_other_words_are_refused(which):
    with pytest.raises(UserError, match="top-N or bottom-N"):
        dilated_positions(which)


def switched(model, switch):
    """Names of the parts whose 3x3x3 units have the switch on."""
    return {
        name.split(".")[0]
        for name, module in model.named_modules()
        if isinstance(module, DilatedUnit3d) and getattr(module, switch)
    }


def test_modified_i3d_dilates_the_first_convolution_and_four_modules():
    model = build_model("modified_i3d", 3, width=0.1)
    first_five = {"conv_2c", "mixed_3b", "mixed_3c", "mixed_4b", "mixed_4c"}
    assert switched(model, "trained") == switched(model, "evaluated") == first_five


def test_the_full_network_has_nineteen_dilated_units():
    model = build_model("dilate_i3d", 3, width=0.1)
    units = [m for m in model.modules() if isinstance(m, DilatedUnit3d)]
    assert len(units) == 19 and all(u.trained and u.evaluated for u in units)
    model.set_dilation(evaluation="bottom-1")
    assert switched(model, "evaluated") == {"mixed_5c"}
    assert len(switched(model, "trained")) == 10


def test_without_dilation_it_is_i3d():
    dilated, plain = tiny_model("dilate_i3d"), tiny_model("i3d")
    dilated.set_dilation(evaluation="none")
    plain.load_state_dict(dilated.state_dict())
    frames = torch.randint(0, 256, (1, 8, 3, 64, 64), dtype=torch.uint8)
    with torch.no_grad():
        same = plain.eval()(frames)
        torch.testing.assert_close(dilated.eval()(frames), same)
        dilated.set_dilation(evaluation="top-5")
        assert not torch.allclose(dilated(frames), same)
