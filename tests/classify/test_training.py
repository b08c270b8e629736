"""The training step against torch's own losses; two heads on one body."""

import math

import pytest
import torch
from torch.nn import functional

from stadet.classify.models.multi_head import MultiHead
from stadet.classify.training import ClassificationStep, logits_of
from stadet.detect.classification_batch import UNKNOWN, ClassificationBatch
from tests.classify.fake_models import FixedLogits, MeanClassifier, clip_of_logits

LOGITS = [[1.0, 0.5, -2.0], [0.0, 3.0, 0.1], [2.0, 2.0, 2.0]]


def batch(labels, logits=LOGITS, valid=None, head=0):
    frames = torch.stack([clip_of_logits(row) for row in logits])
    valid = torch.tensor([True] * len(labels) if valid is None else valid)
    return ClassificationBatch(
        {"frames": frames}, torch.tensor(labels), valid, [str(i) for i in range(len(labels))], head
    )


def losses(step, b, outputs=3):
    return step(FixedLogits(outputs), b, None)[0]


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weights", [None, [1.0, 2.0, 0.5]])
def test_the_loss_is_torchs_weighted_cross_entropy(smoothing, weights):
    b = batch([0, 2, 1])
    step = ClassificationStep(class_weights=weights, label_smoothing=smoothing)
    expected = functional.cross_entropy(
        torch.tensor(LOGITS),
        b.labels,
        weight=None if weights is None else torch.tensor(weights),
        label_smoothing=smoothing,
    )
    assert losses(step, b)["class"].item() == pytest.approx(expected.item(), rel=1e-6)


def test_padding_takes_no_part():
    step = ClassificationStep()
    padded = losses(step, batch([0, 2, 1], valid=[True, True, False]))["class"]
    alone = losses(step, batch([0, 2], LOGITS[:2]))["class"]
    assert padded.item() == pytest.approx(alone.item(), rel=1e-6)
    nothing = losses(step, batch([0], LOGITS[:1], valid=[False]))["class"]
    assert nothing.item() == 0


def test_the_binary_head_learns_beside_the_classes():
    logits = [[1.0, 0.5, 2.0], [0.0, 3.0, -1.0]]
    found = losses(ClassificationStep(rejects=True), batch([1, UNKNOWN], logits))
    known = functional.cross_entropy(torch.tensor([[1.0, 0.5]]), torch.tensor([1]))
    assert found["class"].item() == pytest.approx(known.item(), rel=1e-6)
    binary = (math.log1p(math.exp(-2.0)) + math.log1p(math.exp(-1.0))) / 2
    assert found["known"].item() == pytest.approx(binary, rel=1e-5)


def test_heads_share_everything_but_themselves():
    torch.manual_seed(0)
    model = MultiHead(MeanClassifier, [2, 5])
    first, second = model.branches
    assert second.body is first.body and second.norm is first.norm
    assert second.head is not first.head
    assert sum(p.numel() for p in model.parameters()) == (
        sum(p.numel() for p in first.parameters())
        + sum(p.numel() for p in second.head.parameters())
    )
    model.eval()
    frames = torch.randint(0, 255, (3, 2, 3, 4, 4), dtype=torch.uint8)
    for head, classes in ((0, 2), (1, 5)):
        b = ClassificationBatch({"frames": frames}, torch.zeros(3), torch.ones(3), [], head)
        answers = logits_of(model, b)
        assert answers.shape == (3, classes)
        assert torch.equal(answers, model.branch(head)(frames))


@pytest.mark.parametrize("name", ["resnet3d", "convlstm", "late_fusion_average"])
def test_real_models_share_their_bodies(name):
    from stadet.classify.models.registry import build_model

    options = {
        "resnet3d": {"width": 0.125},
        "convlstm": {"hidden": 2},
        "late_fusion_average": {"backbone": "resnet18", "embedding": 8},
    }[name]
    model = MultiHead(lambda count: build_model(name, count, **options), [3, 3])
    shared = {id(p) for p in model.branches[0].parameters()}
    own = [n for n, p in model.branches[1].named_parameters() if id(p) not in shared]
    assert own and all(n.startswith(model.branches[0].head_keys) for n in own)


def test_state_comes_back_after_saving_two_heads():
    torch.manual_seed(0)
    model = MultiHead(MeanClassifier, [2, 3])
    other = MultiHead(MeanClassifier, [2, 3])
    other.load_state_dict(model.state_dict())
    frames = torch.randint(0, 255, (3, 2, 3, 4, 4), dtype=torch.uint8)
    for head in (0, 1):
        assert torch.equal(model.eval()(frames, head=head), other.eval()(frames, head=head))
