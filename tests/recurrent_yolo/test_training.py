from dataclasses import replace

import pytest
import torch

from stadet.detect.yolo.loss import YoloLoss
from stadet.detect.yolo.training import FrameTrainingStep
from stadet.engine.checkpoint import load_checkpoint, save_checkpoint
from stadet.engine.errors import UserError
from stadet.recurrent_yolo.model import RecurrentYOLO
from stadet.recurrent_yolo.stacked import StackedYOLO
from stadet.recurrent_yolo.temporal import MemoryConfig
from stadet.recurrent_yolo.training import RecurrentTrainingStep
from tests.recurrent_yolo.tiny import anchors, clip_batch, detector, randomise


def build(**options):
    model = RecurrentYOLO(detector(), MemoryConfig(hidden=4, **options))
    randomise(model.memory)
    return model.eval()  # batch norm would tie the frames of a batch together


def probed(seed, lanes=2, starts=False):
    """A batch whose frames can be asked for their gradient."""
    batch = clip_batch(lanes, 3, seed, starts=starts)
    return replace(batch, frames=(batch.frames / 255).requires_grad_())


def reach(step, batches, model=None):
    """For each window, whether the loss of the last window has a gradient in it."""
    model, state = model or build(), None
    for batch in batches:
        losses, state = step(model, batch, state)
    sum(losses.values()).backward()
    return [b.frames.grad is not None and bool(b.frames.grad.any()) for b in batches]


@pytest.mark.parametrize("windows", [1, 2, 3])
def test_gradients_cross_exactly_bptt_windows(windows):
    step = RecurrentTrainingStep(YoloLoss(anchors()), windows)
    batches = [probed(seed) for seed in range(5)]
    assert reach(step, batches) == [False] * (5 - windows) + [True] * windows


def test_gradients_do_not_cross_the_beginning_of_a_stream():
    step = RecurrentTrainingStep(YoloLoss(anchors()), 3)
    batches = [probed(0), probed(1), probed(2, starts=True)]
    assert reach(step, batches) == [False, False, True]


@pytest.mark.parametrize("windows", [1, 2, 3])
def test_losses_do_not_depend_on_how_far_gradients_reach(windows):
    model, batches = build(), [clip_batch(2, 3, seed) for seed in range(4)]
    found = []
    for reach_windows in (1, windows):
        step, state = RecurrentTrainingStep(YoloLoss(anchors()), reach_windows), None
        for batch in batches:
            losses, state = step(model, batch, state)
        found.append(losses)
    assert all(torch.allclose(found[0][k], found[1][k], atol=1e-4) for k in found[0])


def test_gradient_over_two_windows_is_that_of_one_long_window():
    model, batches = build(), [clip_batch(2, 3, seed) for seed in range(2)]
    step = RecurrentTrainingStep(YoloLoss(anchors()), 2)
    _, state = step(model, batches[0])
    losses, _ = step(model, batches[1], state)
    sum(losses.values()).backward()
    found = {n: p.grad.clone() for n, p in model.named_parameters()}
    model.zero_grad()

    maps, _ = model(torch.cat([b.frames for b in batches], 1))
    newest = [m.unflatten(0, (2, 6))[:, 3:].flatten(0, 1) for m in maps]
    sum(YoloLoss(anchors())(newest, batches[1].targets).values()).backward()
    for name, parameter in model.named_parameters():
        assert torch.allclose(found[name], parameter.grad, atol=1e-4, rtol=1e-3), name


def test_warm_up_frames_and_frames_nobody_looked_at_have_no_loss():
    loss = YoloLoss(anchors())
    model, batch = build(), clip_batch(2, 4, starts=True)
    looked_at = torch.tensor([1, 1, 1, 0, 1, 1, 1, 1], dtype=torch.bool)
    batch = replace(batch, targets=replace(batch.targets, looked_at=looked_at))
    losses, state = RecurrentTrainingStep(loss, warmup_frames=2)(model, batch)
    maps, _ = model(batch.frames)
    late = looked_at & torch.tensor([0, 0, 1, 1] * 2, dtype=torch.bool)
    want = loss(maps, replace(batch.targets, looked_at=late))
    assert all(torch.allclose(losses[k], want[k]) for k in want)
    assert state.seen.tolist() == [4, 4]
    following = clip_batch(2, 4, seed=1)
    losses, state = RecurrentTrainingStep(loss, warmup_frames=2)(model, following, state)
    assert state.seen.tolist() == [8, 8]


def test_a_batch_without_truth_keeps_the_graph_and_finite_gradients():
    model, batch = build().train(), clip_batch(2, 3, starts=True)
    nothing = replace(batch.targets, looked_at=torch.zeros(6, dtype=torch.bool))
    batch = replace(batch, targets=nothing, valid=torch.zeros(2, 3, dtype=torch.bool))
    losses, _ = RecurrentTrainingStep(YoloLoss(anchors()))(model, batch)
    sum(losses.values()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("windows", [1, 2])
def test_state_survives_a_checkpoint(windows, tmp_path):
    model, step = build(), RecurrentTrainingStep(YoloLoss(anchors()), windows)
    _, carry = step(model, clip_batch(2, 3, 0))
    save_checkpoint(tmp_path / "last.pt", {"carry": step.pack(carry)})
    packed = load_checkpoint(tmp_path / "last.pt")["carry"]
    old = {
        "windows": [{**w, "before": w["state"]} for w in packed["windows"]],
        "before": packed["state"],
        "seen": packed["seen"],
    }
    for window in old["windows"]:
        del window["state"]  # as 0.1 wrote it
    batch = clip_batch(2, 3, 1)
    went_on = step(model, batch, carry)[0]
    for saved in (packed, old):
        resumed = step(model, batch, step.unpack(saved))[0]
        assert all(torch.equal(went_on[k], resumed[k]) for k in went_on)
    assert step.unpack(step.pack(None)) is None


def test_nan_in_the_state_is_named_with_video_and_frame():
    model, batch = build(), clip_batch(2, 4, seed=3)
    frames = batch.frames / 255
    frames[1, 2] = torch.nan
    with pytest.raises(UserError, match=r"video 1, frame 302: .*not finite"):
        RecurrentTrainingStep(YoloLoss(anchors()))(model, replace(batch, frames=frames))


def test_models_without_memory_train_by_the_same_step():
    batch, loss = clip_batch(2, 3), YoloLoss(anchors())
    frame_model = detector()
    losses, _ = RecurrentTrainingStep(loss)(frame_model, batch)
    want, _ = FrameTrainingStep(loss)(frame_model, batch)
    assert all(torch.equal(losses[k], want[k]) for k in want)
    stacked, step, state = StackedYOLO(detector(), 3).eval(), RecurrentTrainingStep(loss), None
    for seed in range(2):
        losses, state = step(stacked, clip_batch(2, 3, seed), state)
    assert all(value.isfinite() for value in losses.values())


@pytest.mark.slow
def test_what_only_memory_can_tell_is_learned():
    """A bright or dark first frame tells the class of the box; the frames of the second window are
    all alike. Learned within 80 episodes."""
    torch.manual_seed(0)
    model = RecurrentYOLO(detector(), MemoryConfig(hidden=8, differences=())).eval()
    step, state = RecurrentTrainingStep(YoloLoss(anchors()), bptt_windows=2), None
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-3)

    def windows(bright):
        for n in range(2):
            batch = clip_batch(2, 2, starts=n == 0)
            batch.frames[:] = 100
            if n == 0:
                batch.frames[:, 0] = torch.where(bright, 250, 0).view(-1, 1, 1, 1)
            batch.targets.boxes[:] = torch.tensor([20.0, 4, 34, 18])
            batch.targets.labels[:] = torch.eye(3)[bright.long().repeat_interleave(2)]
            yield batch

    orders = torch.tensor([[False, True], [True, False]])
    for n in range(120):
        for batch in windows(orders[n % 2]):
            losses, state = step(model, batch, state)
            optimiser.zero_grad()
            sum(losses.values()).backward()
            optimiser.step()
    for bright in orders:
        first, second = windows(bright)
        with torch.no_grad():
            _, remembered = model(first.frames)
            maps, _ = model(second.frames, remembered)
        scores = model.decode(maps).scores.amax(1).unflatten(0, (2, 2))[:, -1, :2]
        assert scores.argmax(1).tolist() == bright.long().tolist()


def test_bad_input():
    with pytest.raises(UserError, match="bptt_windows"):
        RecurrentTrainingStep(YoloLoss(anchors()), 0)
    model, step = build(), RecurrentTrainingStep(YoloLoss(anchors()))
    _, state = step(model, clip_batch(2, 3))
    with pytest.raises(UserError, match="number of lanes"):
        step(build(), clip_batch(3, 3), state)
