import torch

from stadet.classify.layers.gating import FeatureGate
from stadet.classify.models.registry import build_model


def test_against_the_formula():
    torch.manual_seed(0)
    gate = FeatureGate(4)
    x = torch.randn(2, 4, 3, 5, 6)
    with torch.no_grad():
        found = gate(x)
    weight = gate.weight.weight.detach()
    for b in range(2):
        mean = [float(x[b, c].mean()) for c in range(4)]
        for c in range(4):
            z = sum(float(weight[c, d]) * mean[d] for d in range(4))
            expected = x[b, c] / (1 + torch.exp(torch.tensor(-z)))
            torch.testing.assert_close(found[b, c], expected, atol=1e-5, rtol=1e-5)


def test_gates_stand_behind_the_wide_units_of_modules_6_and_8():
    with torch.device("meta"):
        model = build_model("g_i3d", 27)
    gates = {name: m for name, m in model.named_modules() if isinstance(m, FeatureGate)}
    assert {name: gate.weight.in_features for name, gate in gates.items()} == {
        "mixed_4e.gate1": 288,
        "mixed_4e.gate2": 64,
        "mixed_5b.gate1": 320,
        "mixed_5b.gate2": 128,
    }
