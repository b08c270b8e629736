"""The sign-language report's network, and why its notebook's two faults matter."""

import torch
from torch import nn

from tests.classify.tiny_models import tiny_inputs, tiny_model


class NotebookFaults(nn.Module):
    """Our network with the notebook's two faults: (B, T, F) viewed as (T, B, F), random states."""

    def __init__(self, model, *, viewed, random_states):
        super().__init__()
        self.model, self.viewed, self.random_states = model, viewed, random_states

    def forward(self, frames, keypoints):
        model, (batch, length, _) = self.model, keypoints.shape
        states = None
        if self.random_states:
            shape = (2, batch, model.lstm.hidden_size)
            states = (
                nn.init.xavier_normal_(torch.empty(shape)),
                nn.init.xavier_normal_(torch.empty(shape)),
            )
        if self.viewed:
            keypoints = keypoints.reshape(length, batch, -1).transpose(0, 1)
        motion = model.lstm(keypoints, states)[0][:, -1]
        features = model.forward_features(frames, keypoints)
        return model.forward_head(torch.cat([features[:, : -motion.shape[1]], motion], dim=1))


def alone_and_together(model, frames, keypoints):
    with torch.no_grad():
        alone = torch.cat([model(frames[i : i + 1], keypoints[i : i + 1]) for i in range(2)])
        return alone, model(frames, keypoints)


def test_a_view_for_a_transpose_mixes_the_clips_of_a_batch():
    model = tiny_model("fused_keypoints").eval()
    inputs = tiny_inputs(model)
    alone, together = alone_and_together(model, *inputs)
    torch.testing.assert_close(alone, together, atol=1e-5, rtol=1e-4)
    faulty = NotebookFaults(model, viewed=True, random_states=False)
    alone, together = alone_and_together(faulty, *inputs)
    assert not torch.allclose(alone, together, atol=1e-3)  # its answer depends on its neighbours


def test_random_states_make_evaluation_random():
    model = tiny_model("fused_keypoints").eval()
    inputs = tiny_inputs(model)
    faulty = NotebookFaults(model, viewed=False, random_states=True)
    with torch.no_grad():
        assert torch.equal(model(*inputs), model(*inputs))
        assert not torch.allclose(faulty(*inputs), faulty(*inputs), atol=1e-4)


def test_order_of_the_keypoints_in_time_matters():
    model = tiny_model("fused_keypoints").eval()
    frames, keypoints = tiny_inputs(model)
    with torch.no_grad():
        assert not torch.allclose(model(frames, keypoints), model(frames, keypoints.flip(1)))


def test_the_reported_start():
    model = tiny_model("fused_keypoints")
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)) and module.bias is not None:
            assert (module.bias == 0.01).all()
