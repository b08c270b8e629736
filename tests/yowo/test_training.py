import torch

from stadet.yowo.loss import RegionLoss
from stadet.yowo.training import YOWOTrainingStep, key_frame_targets
from tests.yowo.tiny import anchors, clip_batch, network


def test_targets_of_the_key_frames():
    batch = clip_batch()
    extra = batch.targets
    extra.boxes = torch.cat([extra.boxes, torch.tensor([[1.0, 1, 9, 9]])])
    extra.labels = torch.cat([extra.labels, extra.labels[:1]])
    extra.item = torch.cat([extra.item, torch.tensor([3])])  # frame 3 of the first clip
    extra.ignored = torch.tensor([False, True, False])
    found = key_frame_targets(batch)
    assert found.item.tolist() == [0, 1] and found.looked_at.tolist() == [True, True]
    assert torch.equal(found.boxes, extra.boxes[:2])
    assert found.ignored.tolist() == [False, True]
    extra.looked_at[7] = False
    assert key_frame_targets(batch).looked_at.tolist() == [False, True]
    batch.valid[1, -1] = False
    assert key_frame_targets(batch).looked_at.tolist() == [False, False]


def test_sum_and_mean_over_boxes():
    model, batch = network().eval(), clip_batch()
    with torch.no_grad():
        summed, state = YOWOTrainingStep(RegionLoss(anchors()), "sum")(model, batch, None)
        mean, _ = YOWOTrainingStep(RegionLoss(anchors()), "positives")(model, batch, None)
    assert state is None
    for name in summed:
        torch.testing.assert_close(mean[name], summed[name] / 2)


def test_a_batch_without_boxes_has_a_finite_loss():
    model, batch = network(), clip_batch(rows=())
    for normalise in ("sum", "positives"):
        losses, _ = YOWOTrainingStep(RegionLoss(anchors()), normalise)(model, batch, None)
        total = sum(losses.values())
        total.backward()
        assert torch.isfinite(total)
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_the_loss_falls():
    model, batch = network(), clip_batch()
    step = YOWOTrainingStep(RegionLoss(anchors()))
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    values = []
    for _ in range(25):
        losses, _ = step(model, batch, None)
        total = sum(losses.values())
        total.backward()
        optimiser.step()
        optimiser.zero_grad()
        values.append(float(total.detach()))
    assert values[-1] < values[0] / 3
