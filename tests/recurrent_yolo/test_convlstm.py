import pytest
import torch
from torch import nn
from torch.nn.functional import conv2d

from stadet.engine.errors import UserError
from stadet.recurrent_yolo.convlstm import ConvLSTM, ConvLSTMCell


def clip(batch=2, steps=5, channels=3, size=(4, 6), seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, steps, channels, *size, generator=generator)


def randomise(module, seed=1):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(0.4 * torch.randn(parameter.shape, generator=generator))
    return module.eval()


def equations(cell, x, activation):
    """Equations (1) of the report, gate by gate and frame by frame."""
    hidden = cell.hidden
    w_x, b = cell.input_gates[0].weight, cell.input_gates[0].bias
    w_h = cell.state_gates[0].weight
    gate = {name: slice(n * hidden, (n + 1) * hidden) for n, name in enumerate("ifoc")}

    def peep(name, c):
        if cell.peepholes == "none":
            return 0
        layer = cell.peephole_after if name == "o" else cell.peephole_before
        place = {"i": 0, "f": 1, "o": 0}[name]
        if cell.peepholes == "hadamard":
            return layer.weight[place] * c
        rows = slice(place * hidden, (place + 1) * hidden)
        return conv2d(c, layer.weight[rows], padding=1)

    def both(name, x_t, h):
        rows = gate[name]
        return conv2d(x_t, w_x[rows], b[rows], padding=1) + conv2d(h, w_h[rows], padding=1)

    h = c = torch.zeros(x.shape[0], hidden, *x.shape[-2:])
    outputs = []
    for x_t in x.unbind(1):
        i = torch.sigmoid(both("i", x_t, h) + peep("i", c))
        f = torch.sigmoid(both("f", x_t, h) + peep("f", c))
        c = f * c + i * activation(both("c", x_t, h))
        o = torch.sigmoid(both("o", x_t, h) + peep("o", c))
        h = o * activation(c)
        outputs.append(h)
    return torch.stack(outputs, 1), c


@pytest.mark.parametrize("peepholes", ["none", "conv", "hadamard"])
@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_follows_the_equations(peepholes, activation):
    net = randomise(
        ConvLSTM(3, 4, peepholes=peepholes, activation=activation, size=(4, 6)),
    )
    x = clip()
    y, state = net(x)
    want, cell_state = equations(net.layers[0], x, getattr(torch, activation))
    assert torch.allclose(y, want, atol=1e-6)
    assert torch.allclose(state[0][1], cell_state, atol=1e-6)


def test_equals_torch_lstm_at_one_pixel():
    reference = nn.LSTM(3, 4, num_layers=2, batch_first=True)
    net = ConvLSTM(3, 4, layers=2, kernel=1)
    order = [0, 1, 3, 2]  # torch keeps i, f, g, o
    with torch.no_grad():
        for layer, cell in enumerate(net.layers):
            for module, name in ((cell.input_gates, "ih"), (cell.state_gates, "hh")):
                weight = getattr(reference, f"weight_{name}_l{layer}")
                module[0].weight.copy_(
                    torch.cat([weight.chunk(4)[n] for n in order])[..., None, None]
                )
            bias = getattr(reference, f"bias_ih_l{layer}") + getattr(reference, f"bias_hh_l{layer}")
            cell.input_gates[0].bias.copy_(torch.cat([bias.chunk(4)[n] for n in order]))
    x = clip(size=(1, 1))
    want, (h, c) = reference(x[..., 0, 0])
    y, state = net(x)
    assert torch.allclose(y[..., 0, 0], want, atol=1e-6)
    assert torch.allclose(state[1][0][..., 0, 0], h[1], atol=1e-6)
    assert torch.allclose(state[0][1][..., 0, 0], c[0], atol=1e-6)


@pytest.mark.parametrize("norm", [False, True])
def test_forget_bias_is_where_the_forget_gate_is(norm):
    cell = ConvLSTMCell(3, 4, forget_bias=2.5, group_norm=norm)
    gates = cell.project(torch.zeros(1, 3, 4, 4))[0, :, 2, 2]
    assert torch.equal(gates, torch.tensor([0.0] * 4 + [2.5] * 4 + [0.0] * 8))


def test_group_norm_makes_gates_blind_to_the_scale_of_the_input():
    cell = ConvLSTMCell(3, 4, group_norm=True)
    x = clip()[:, 0]
    assert torch.allclose(cell.project(x), cell.project(100 * x), atol=1e-3)


def test_depthwise_is_smaller_and_mixes_neighbours():
    full, light = ConvLSTMCell(16, 16), ConvLSTMCell(16, 16, depthwise=True)
    assert sum(p.numel() for p in light.parameters()) < 0.2 * sum(
        p.numel() for p in full.parameters()
    )
    h = torch.zeros(1, 16, 5, 5)
    h[0, :, 2, 2] = 1
    reached = (randomise(light).state_gates(h) != 0).any(1)[0]
    assert reached[1:4, 1:4].all() and reached.sum() == 9


def test_hadamard_peepholes_belong_to_one_size():
    with pytest.raises(UserError, match="size"):
        ConvLSTM(3, 4, peepholes="hadamard")
    net = ConvLSTM(3, 4, peepholes="hadamard", size=(4, 6))
    with pytest.raises(UserError, match=r"\(4, 6\), found \(4, 4\)"):
        net(clip(size=(4, 4)))
