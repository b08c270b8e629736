import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stadet.engine.errors import UserError
from stadet.recurrent_yolo.convgru import ConvGRUCell, ConvMinGRUCell
from stadet.recurrent_yolo.convlstm import ConvLSTM, ConvLSTMCell
from stadet.recurrent_yolo.recurrence import ConvRecurrence
from stadet.recurrent_yolo.state import detach

MAKERS = {
    "lstm": lambda c: ConvLSTMCell(c, 4),
    "lstm with peepholes": lambda c: ConvLSTMCell(c, 4, peepholes="conv"),
    "depthwise lstm": lambda c: ConvLSTMCell(c, 4, depthwise=True, group_norm=True),
    "gru": lambda c: ConvGRUCell(c, 4),
    "depthwise gru": lambda c: ConvGRUCell(c, 4, depthwise=True, group_norm=True),
    "min gru": lambda c: ConvMinGRUCell(c, 4),
}
every_cell = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS.keys())


def build(make, layers=2, **options):
    torch.manual_seed(0)
    return ConvRecurrence(make, 3, layers=layers, **options).eval()


def clip(batch=2, steps=7, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, steps, 3, 4, 5, generator=generator)


@every_cell
@pytest.mark.parametrize("window", [1, 2, 3, 7])
def test_windows_equal_the_whole(make, window):
    net, x = build(make), clip()
    whole, whole_state = net(x)
    state, parts = None, []
    for part in x.split(window, dim=1):
        y, state = net(part, state)
        parts.append(y)
    assert torch.allclose(torch.cat(parts, 1), whole, atol=1e-6)
    assert all(
        torch.allclose(a, b, atol=1e-6)
        for layer, other in zip(state, whole_state, strict=True)
        for a, b in zip(layer, other, strict=True)
    )


@every_cell
def test_a_lane_does_not_see_its_neighbours(make):
    net, x = build(make), clip(batch=3)
    alone, _ = net(x[1:2])
    assert torch.allclose(net(x)[0][1:2], alone, atol=1e-6)


@every_cell
def test_reset_forgets_everything_even_nan(make):
    net, x = build(make), clip()
    fresh, _ = net(x)
    _, state = net(clip(seed=1))
    broken = tuple(tuple(torch.full_like(t, torch.nan) for t in layer) for layer in state)
    y, after = net(x, broken, starts_stream=torch.tensor([True, False]))
    assert torch.allclose(y[0], fresh[0], atol=1e-6)
    assert not y[1].isfinite().any() and not after[0][0][1].isfinite().any()
    net(x, broken, starts_stream=torch.tensor([True, True]))[0].sum().backward()
    assert all(p.grad.isfinite().all() for p in net.parameters())


@every_cell
def test_reset_inside_a_window(make):
    net, x = build(make), clip()
    starts = torch.zeros(2, 7, dtype=torch.bool)
    starts[0, 3] = True
    y, _ = net(x, None, starts)
    assert torch.allclose(y[0, 3:], net(x[:, 3:])[0][0], atol=1e-6)
    assert torch.allclose(y[1], net(x)[0][1], atol=1e-6)


@every_cell
@settings(max_examples=10, deadline=None)
@given(valid=st.lists(st.booleans(), min_size=7, max_size=7))
def test_padding_leaves_the_state_alone(make, valid):
    net, x = build(make), clip(batch=1)
    _, state = net(clip(batch=1, seed=2))
    mask = torch.tensor([valid])
    x[~mask] = torch.nan
    y, after = net(x, state, valid=mask)
    kept = x[:, mask[0]]
    if not mask.any():
        assert all(torch.equal(a, b) for a, b in zip(after[0], state[0], strict=True))
        return
    want, want_state = net(kept, state)
    assert torch.allclose(y[mask][None], want, atol=1e-6)
    assert torch.allclose(after[1][0], want_state[1][0], atol=1e-6)


@every_cell
def test_every_parameter_gets_a_gradient(make):
    net = build(make)
    net(clip())[0].square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())


def test_both_directions_at_one_pixel_equal_torch():
    reference = torch.nn.LSTM(3, 4, batch_first=True, bidirectional=True)
    net = ConvLSTM(3, 4, kernel=1, bidirectional=True)
    order = [0, 1, 3, 2]
    with torch.no_grad():
        for cell, end in ((net.layers[0], ""), (net.backward_layers[0], "_reverse")):
            for module, name in ((cell.input_gates, "ih"), (cell.state_gates, "hh")):
                weight = getattr(reference, f"weight_{name}_l0{end}").chunk(4)
                module[0].weight.copy_(torch.cat([weight[n] for n in order])[..., None, None])
            bias = getattr(reference, f"bias_ih_l0{end}") + getattr(reference, f"bias_hh_l0{end}")
            cell.input_gates[0].bias.copy_(torch.cat([bias.chunk(4)[n] for n in order]))
    x = torch.randn(2, 5, 3, 1, 1)
    assert net.out_channels == 8
    assert torch.allclose(net(x)[0][..., 0, 0], reference(x[..., 0, 0])[0], atol=1e-6)


def test_reading_backwards_stops_where_a_stream_begins():
    net, x = build(MAKERS["lstm"], bidirectional=True), clip()
    starts = torch.zeros(2, 7, dtype=torch.bool)
    starts[:, 3] = True
    y, _ = net(x, None, starts)
    parts = torch.cat([net(x[:, :3])[0], net(x[:, 3:])[0]], 1)
    assert torch.allclose(y, parts, atol=1e-6)


@pytest.mark.parametrize("variational", [False, True])
def test_dropout(variational):
    net = build(MAKERS["lstm"], layers=1, dropout=0.5, variational=variational)
    x = clip()
    kept = net(x)[0]
    net.train()
    dropped = net(x)[0]
    mask = dropped != 0
    assert 0.3 < mask.float().mean() < 0.7
    assert torch.allclose(dropped[mask], 2 * kept[mask], atol=1e-6)
    assert (mask == mask[:, :1]).all().item() is variational


def test_detached_state_lets_no_gradient_through():
    net, x = build(MAKERS["lstm"]), clip().requires_grad_()
    _, state = net(x[:, :3])
    net(x[:, 3:], detach(state))[0].sum().backward()
    assert x.grad[:, :3].abs().sum() == 0 and x.grad[:, 3:].abs().sum() > 0


def test_state_of_another_module_is_refused():
    net = build(MAKERS["lstm"])
    _, state = net(clip(batch=3))
    with pytest.raises(UserError, match="number of lanes"):
        net(clip(batch=2), state)
    with pytest.raises(UserError, match="another cell"):
        build(MAKERS["gru"])(clip(batch=3), state)
    with pytest.raises(UserError, match="expected"):
        net(clip(), {"a": 1})


def test_memory_stays_in_float32_under_autocast():
    net = build(MAKERS["lstm"])
    with torch.autocast("cpu", torch.bfloat16):
        _, state = net(clip())
    assert all(t.dtype == torch.float32 for layer in state for t in layer)


@every_cell
def test_learns_to_remember_across_windows(make):
    """The sign of the first frame is asked for at the end of the next window, whose frames tell
    nothing; gradients cross into the first window."""
    net, read = build(make, layers=1), torch.nn.Conv2d(4, 1, 1)
    optimiser = torch.optim.AdamW([*net.parameters(), *read.parameters()], lr=0.03)
    generator = torch.Generator().manual_seed(0)
    for _ in range(100):
        sign = torch.randint(0, 2, (16,), generator=generator) * 2.0 - 1
        x = torch.zeros(16, 6, 3, 2, 2)
        x[:, 0] = sign.view(-1, 1, 1, 1)
        _, state = net(x[:, :3])
        y, _ = net(x[:, 3:], state)
        answer = read(y[:, -1]).mean((1, 2, 3))
        loss = torch.nn.functional.soft_margin_loss(answer, sign)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert ((answer > 0) == (sign > 0)).all()
