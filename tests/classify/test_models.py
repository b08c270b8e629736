import pytest
import torch

from stadet.classify.models.registry import MODELS
from stadet.engine.errors import UserError
from tests.classify.tiny_models import TINY, tiny_inputs, tiny_model


def test_every_model_is_tested():
    assert set(TINY) == set(MODELS)


@pytest.mark.parametrize("name", MODELS)
def test_a_batch_gives_what_its_clips_give_alone(name):
    model = tiny_model(name).eval()
    inputs = tiny_inputs(model)
    with torch.no_grad():
        together = model(*inputs)
        alone = torch.cat([model(*(x[i : i + 1] for x in inputs)) for i in range(2)])
        in_parts = model.forward_head(model.forward_features(*inputs))
    assert together.shape == (2, 3)
    assert not torch.equal(together[0], together[1])  # different clips, different answers
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(together, in_parts, atol=0, rtol=0)


@pytest.mark.parametrize("name", ["convlstm", "c3d", "i3d", "fused_keypoints"])
def test_bytes_and_unit_floats_are_the_same_clip(name):
    model = tiny_model(name).eval()
    inputs = tiny_inputs(model, batch=1)
    floats = [x / 255 if x.dtype == torch.uint8 else x for x in inputs]
    with torch.no_grad():
        torch.testing.assert_close(model(*inputs), model(*floats), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", MODELS)
def test_every_trained_parameter_receives_a_gradient(name):
    model = tiny_model(name).train()
    model(*tiny_inputs(model)).log_softmax(-1)[:, 0].sum().backward()
    for key, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None and parameter.grad.isfinite().all(), key
            assert parameter.grad.any(), key
        else:
            assert parameter.grad is None, key


@pytest.mark.parametrize("name", MODELS)
def test_wrong_inputs_are_told_in_one_line(name):
    model = tiny_model(name)
    grey = [x[:, :, :1] if x.ndim == 5 else x for x in tiny_inputs(model)]
    with pytest.raises(UserError, match=r"expected frames \(B, T, 3, height, width\)") as caught:
        model(*grey)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "length", "size"),
    [
        ("i3d", 8, (15, 64)),
        ("i3d_resnet", 6, (64, 64)),
        ("resnet3d", 8, (31, 64)),
        ("c3d", 15, (32, 48)),
        ("c3d", 16, (48, 32)),
        ("fused_keypoints", 8, (32, 24)),
        ("late_fusion_concatenation", 4, (64, 64)),
    ],
)
def test_clips_that_do_not_fit_are_refused(name, length, size):
    model = tiny_model(name)
    frames = torch.zeros(1, length, 3, *size, dtype=torch.uint8)
    extra = [torch.zeros(1, length, 1662)] if name == "fused_keypoints" else []
    with pytest.raises(UserError, match="expected"):
        model(frames, *extra)


@pytest.mark.parametrize("length", [1, 5, 9])
@pytest.mark.parametrize("name", ["i3d", "modified_i3d", "nl_i3d", "lrcn", "convlstm"])
def test_any_length_will_do_where_nothing_belongs_to_it(name, length):
    model = tiny_model(name).eval()
    frames = torch.randint(0, 256, (1, length, 3, 66, 50), dtype=torch.uint8)
    with torch.no_grad():
        assert model(frames).isfinite().all()


def test_c3d_that_is_too_small_is_refused_when_built():
    with pytest.raises(UserError, match="at least 16 frames"):
        tiny_model("c3d", clip_length=8)


def test_a_frozen_backbone_stays_as_it_is():
    model = tiny_model("cnn_lstm_resnet50")
    before = {k: v.clone() for k, v in model.backbone.state_dict().items()}
    model.train()
    model(*tiny_inputs(model)).sum().backward()
    assert not any(module.training for module in model.backbone.modules())
    for key, value in model.backbone.state_dict().items():
        assert torch.equal(value, before[key]), key


def test_lrcn_reads_both_directions_to_their_ends():
    model = tiny_model("lrcn").eval()
    frames = tiny_inputs(model, batch=1)[0]
    changed = frames.clone()
    changed[:, -1] = 255 - changed[:, -1]  # the backward direction must have seen the last frame
    half = model.lstm.hidden_size
    with torch.no_grad():
        first, second = model.forward_features(frames), model.forward_features(changed)
    assert not torch.allclose(first[:, half:], second[:, half:])
    assert not torch.allclose(first[:, :half], second[:, :half])


def test_averaging_late_fusion_is_blind_to_order_and_concatenation_is_not():
    for fusion, blind in (("average", True), ("concatenation", False)):
        model = tiny_model(f"late_fusion_{fusion}").eval()
        frames = tiny_inputs(model, batch=1)[0]
        with torch.no_grad():
            difference = (model(frames) - model(frames.flip(1))).abs().max()
        assert (difference < 1e-5) == blind


def test_the_three_streams_probabilities_are_averaged():
    model = tiny_model("three_stream").eval()
    with torch.no_grad():
        features = model.forward_features(*tiny_inputs(model))
        apart = [logits.softmax(-1) for logits in model.stream_logits(features)]
        together = model.forward_head(features).softmax(-1)
    torch.testing.assert_close(together, sum(apart) / 3)
