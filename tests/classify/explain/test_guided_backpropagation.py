import torch
from torch import nn
from torch.nn import functional

from stadet.classify.explain.grad_cam import class_target
from stadet.classify.explain.guided_backpropagation import guided_backpropagation


class Rectified(nn.Module):
    """One linear layer, a rectifier, another linear layer, on the pixels of a clip."""

    def __init__(self, rectifier):
        super().__init__()
        self.rectifier = rectifier
        torch.manual_seed(0)
        self.before, self.after = nn.Linear(12, 6), nn.Linear(6, 2)

    def forward(self, frames):
        return self.after(self.rectifier(self.before(frames.flatten(1))))


def test_every_way_of_calling_a_relu_is_guided_alike():
    """Both signals must be positive, written out for one hidden layer."""
    frames = torch.rand(3, 1, 3, 2, 2)
    rectifiers = [
        nn.ReLU(),
        nn.ReLU(inplace=True),
        nn.ReLU6(),
        torch.relu,
        functional.relu,
        lambda x: x.relu(),
        lambda x: functional.relu(x, inplace=True),
    ]
    for rectifier in rectifiers:
        model = Rectified(rectifier)
        found = guided_backpropagation(model, [frames], class_target(1))
        hidden = model.before(frames.flatten(1))
        back = model.after.weight[1].clamp(min=0) * (hidden > 0)  # (3, 6)
        expected = (back @ model.before.weight).view_as(frames).detach()
        torch.testing.assert_close(found, expected)


def test_it_differs_from_the_plain_gradient_and_leaves_nothing_behind():
    model, frames = Rectified(nn.ReLU()), torch.rand(1, 1, 3, 2, 2)
    guided = guided_backpropagation(model, [frames], class_target(1))
    leaf = frames.clone().requires_grad_()
    (plain,) = torch.autograd.grad(model(leaf)[0, 1], leaf)
    hidden = model.before(frames.flatten(1))
    expected = ((model.after.weight[1] * (hidden > 0)) @ model.before.weight).view_as(frames)
    torch.testing.assert_close(plain, expected.detach())
    assert not torch.allclose(guided, plain)
