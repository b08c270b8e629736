import torch
from torch import nn

from stadet.recurrent_yolo.convgru import ConvGRUCell, ConvMinGRUCell
from stadet.recurrent_yolo.recurrence import ConvRecurrence, unroll


def test_equals_torch_gru_at_one_pixel():
    reference = nn.GRU(3, 4, batch_first=True)
    net = ConvRecurrence(lambda channels: ConvGRUCell(channels, 4, kernel=1), 3)
    with torch.no_grad():
        for module, name in ((net.layers[0].input_gates, "ih"), (net.layers[0].state_gates, "hh")):
            module[0].weight.copy_(getattr(reference, f"weight_{name}_l0")[..., None, None])
            module[0].bias.copy_(getattr(reference, f"bias_{name}_l0"))
    x = torch.randn(2, 5, 3, 1, 1)
    want, h = reference(x[..., 0, 0])
    y, state = net(x)
    assert torch.allclose(y[..., 0, 0], want, atol=1e-6)
    assert torch.allclose(state[0][0][..., 0, 0], h[0], atol=1e-6)


def test_min_gru_is_a_running_mean_of_candidates():
    cell = ConvMinGRUCell(2, 3, kernel=1)
    x = torch.randn(1, 6, 2, 2, 2)
    y, _ = unroll(cell, x)
    h = torch.zeros(1, 3, 2, 2)
    for t in range(6):
        z, candidate = cell.input_gates(x[:, t]).chunk(2, 1)
        h = (1 - z.sigmoid()) * h + z.sigmoid() * candidate
        assert torch.allclose(y[:, t], h, atol=1e-6)
