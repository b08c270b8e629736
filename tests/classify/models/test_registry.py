import pytest

from stadet.classify.models.registry import MODELS, build_model, check_options, model_options
from stadet.engine.errors import UserError


def test_unknown_models_and_options_name_their_neighbours():
    with pytest.raises(UserError, match=r"did you mean .*late_fusion_average"):
        build_model("late_fusion", 3)
    with pytest.raises(UserError, match=r"no option 'hiden' \(did you mean hidden"):
        build_model("convlstm", 3, hiden=4)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("convlstm", {"hidden": "many"}),
        ("i3d", {"width": "wide"}),
        ("c3d", {"size": [32]}),
        ("i3d_resnet", {"depth": 18}),
        ("lrcn", {"readout": "first"}),
        ("cnn_lstm", {"trainable": "perhaps"}),
    ],
)
def test_values_of_another_type_are_refused_in_one_line(name, options):
    with pytest.raises(UserError, match=next(iter(options))) as caught:
        check_options(name, options)
    assert "\n" not in str(caught.value)


def test_what_a_name_fixes_is_no_option():
    assert "backbone" not in model_options("cnn_lstm_alexnet")
    assert "backbone" in model_options("cnn_lstm")
    with pytest.raises(UserError, match="no option 'non_local'"):
        check_options("i3d", {"non_local": True})


@pytest.mark.parametrize("name", MODELS)
def test_defaults_pass_their_own_check(name):
    assert check_options(name, {}) == model_options(name)


def test_a_list_is_a_tuple_as_yaml_has_it():
    assert check_options("c3d", {"size": [64, 48]})["size"] == (64, 48)
