import math
import os
import signal
import threading

import pytest
import torch

from stadet.engine import run_state
from stadet.engine.checkpoint import load_checkpoint, save_checkpoint, seed_everything
from stadet.engine.errors import UserError
from stadet.engine.loop import fit
from stadet.engine.loop_config import LoopConfig
from stadet.engine.optimise import OptimiserConfig
from stadet.engine.run_length import PlateauConfig
from stadet.engine.runlog import RunLog
from tests.engine.toy import FunctionStep, ToyLoader, ToyModel, ToySampler, toy_step, validate

CPU = torch.device("cpu")


def config(**changes):
    return LoopConfig(**{"epochs": 3, "log_every": 1, "ema_decay": 0.9, "accumulate": 2, **changes})


def run(
    folder,
    step=toy_step,
    resume=False,
    targets=None,
    model=None,
    loader=ToyLoader,
    judge=validate,
    **changes,
):
    seed_everything(0)
    sampler, model = ToySampler(), model or ToyModel()
    result = fit(
        model,
        step,
        loader(sampler, targets),
        sampler,
        judge,
        config(**changes),
        RunLog(folder),
        CPU,
        describe={"names": ["a"]},
        resume=resume,
    )
    return model, result


@pytest.mark.parametrize("stop_after", [2, 4, 6, 8])
def test_resumed_equals_uninterrupted(tmp_path, stop_after):
    whole, whole_result = run(tmp_path / "whole")
    calls = 0

    @FunctionStep
    def interrupting_step(model, batch, state):
        nonlocal calls
        calls += 1
        if calls == stop_after:
            os.kill(os.getpid(), signal.SIGINT)
        return toy_step(model, batch, state)

    _, stopped = run(tmp_path / "cut", interrupting_step)
    assert stopped.interrupted
    resumed, result = run(tmp_path / "cut", resume=True)
    assert not result.interrupted and result == whole_result
    for a, b in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(a, b)
    a, b = (RunLog(tmp_path / name).events("train") for name in ("whole", "cut"))
    assert [(e["step"], e["lr"], e["error"]) for e in a] == [
        (e["step"], e["lr"], e["error"]) for e in b
    ]
    for name in ("best.pt", "last.pt"):
        ours, theirs = (load_checkpoint(tmp_path / run / name) for run in ("whole", "cut"))
        assert ours["model"].keys() == theirs["model"].keys()
        assert all(torch.equal(ours["model"][k], theirs["model"][k]) for k in ours["model"])


class CountingModel(ToyModel):
    """With a buffer that every forward changes, as batch norm's statistics."""

    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        if self.training:
            self.calls += 1
        return super().forward(x) * (1 + 1e-3 * self.calls)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("place", ["step", "loader", "validation", "save"])
@pytest.mark.parametrize("after", [1, 4, 5])
def test_a_run_stopped_anywhere_goes_on_exactly(tmp_path, monkeypatch, number, place, after):
    """In the middle of a step, while waiting for a batch, in validation, and while saving."""
    calls = {"step": 0, "loader": 0, "validation": 0, "save": 0}

    def here(name):
        calls[name] += 1
        wanted = after if name in ("step", "loader") else min(after, 3)
        if name == place and calls[name] == wanted:
            os.kill(os.getpid(), number)

    @FunctionStep
    def step(model, batch, carry):
        model(batch.x)  # changes the buffer and the random state
        here("step")
        return toy_step(model, batch, carry)

    @FunctionStep
    def plain_step(model, batch, carry):
        model(batch.x)
        return toy_step(model, batch, carry)

    class Loader(ToyLoader):
        def __iter__(self):
            for batch in super().__iter__():
                here("loader")
                yield batch

    def judge(model):
        here("validation")
        return validate(model)

    real = run_state.save_checkpoint

    def save(path, content):
        here("save")
        real(path, content)

    whole, whole_result = run(tmp_path / "whole", plain_step, model=CountingModel())
    with monkeypatch.context() as patched:
        patched.setattr(run_state, "save_checkpoint", save)
        options = {"model": CountingModel(), "loader": Loader, "judge": judge}
        _, stopped = run(tmp_path / "cut", step, **options)
    assert stopped.interrupted and stopped.stopped_by == number
    resumed, result = run(tmp_path / "cut", plain_step, resume=True, model=CountingModel())
    assert not result.interrupted and result == whole_result
    for key, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[key]), key
    a, b = (RunLog(tmp_path / name) for name in ("whole", "cut"))
    assert [(e["step"], e["error"]) for e in a.events("train")] == [
        (e["step"], e["error"]) for e in b.events("train")
    ]
    assert a.events("validation") == b.events("validation")
    for name in ("best.pt", "last.pt"):
        ours, theirs = (load_checkpoint(tmp_path / run / name) for run in ("whole", "cut"))
        assert all(torch.equal(ours["model"][k], theirs["model"][k]) for k in ours["model"])


def test_weights_that_are_not_finite_do_not_replace_the_last_good_checkpoint(tmp_path):
    run(tmp_path, epochs=1)
    before = load_checkpoint(tmp_path / "last.pt")

    calls = []

    @FunctionStep
    def step(model, batch, carry):  # a finite loss whose gradient is not, at an epoch's end
        calls.append(batch)
        if len(calls) < 6:
            return toy_step(model, batch, carry)
        return {"error": (model(batch.x) * 0).sum().sqrt() + 1.0}, carry

    with pytest.raises(UserError, match=r"weights are not finite .*holds the last good state"):
        run(tmp_path, step, epochs=2, resume=True)
    assert load_checkpoint(tmp_path / "last.pt")["progress"] == before["progress"]


def test_a_checkpoint_of_the_last_step_before_validation_repeats_no_event(tmp_path):
    run(tmp_path / "whole")
    run(tmp_path / "cut", save_minutes=0)
    kept = load_checkpoint(tmp_path / "cut" / "last.pt")
    kept["progress"] |= {"epoch": 2, "batches": 6, "trained": True}  # killed before its validation
    save_checkpoint(tmp_path / "cut" / "last.pt", kept)
    run(tmp_path / "cut", resume=True)
    a, b = (RunLog(tmp_path / name).events("validation") for name in ("whole", "cut"))
    assert [(e["step"], e["epoch"]) for e in a] == [(e["step"], e["epoch"]) for e in b]


def test_the_first_step_is_the_optimisers_own(tmp_path):
    """One SGD step without momentum, warm-up or clipping against the closed form."""
    sampler = ToySampler(size=24)
    model = ToyModel()
    model.dropout.p = 0.0
    loader = ToyLoader(sampler)
    weight, bias = model.linear.weight.detach().clone(), model.linear.bias.detach().clone()
    settings = LoopConfig(
        epochs=1,
        clip_norm=0.0,
        optimiser=OptimiserConfig("sgd", lr=0.1, weight_decay=0.0, momentum=0.0),
    )
    settings.schedule.name, settings.schedule.warmup = "constant", 0.0
    settings.optimiser.momentum = 1e-12  # Nesterov needs a positive one
    fit(model, toy_step, loader, sampler, None, settings, RunLog(tmp_path), CPU, describe={})
    error = loader.x @ weight.T + bias - loader.y
    expected = weight - 0.1 * 2 * (error * loader.x).mean(0, keepdim=True)
    assert torch.allclose(model.linear.weight, expected, atol=1e-6)


def test_accumulated_batches_equal_one_joint_batch(tmp_path):
    models = []
    for size, accumulate in [(24, 1), (8, 3)]:
        sampler, model = ToySampler(size=size), ToyModel()
        model.dropout.p = 0.0

        @FunctionStep
        def step(model, batch, state):
            return {"error": (model(batch.x) - batch.y).square().mean()}, None

        settings = config(accumulate=accumulate, ema_decay=0.0)
        fit(
            model,
            step,
            ToyLoader(sampler),
            sampler,
            None,
            settings,
            RunLog(tmp_path),
            CPU,
            describe={},
        )
        models.append(model)
    for a, b in zip(*(m.parameters() for m in models), strict=True):
        assert torch.allclose(a, b, atol=1e-6)


def test_best_is_the_best_validation_and_patience_stops(tmp_path):
    scores = iter([0.1, 0.5, 0.3, 0.2, 0.9])
    sampler = ToySampler()
    result = fit(
        ToyModel(),
        toy_step,
        ToyLoader(sampler),
        sampler,
        lambda model: {"frame_map_50": next(scores)},
        config(epochs=5, patience=2),
        RunLog(tmp_path),
        CPU,
        describe={"names": ["a"]},
    )
    assert result.best["frame_map_50"] == 0.5
    assert load_checkpoint(tmp_path / "last.pt")["progress"]["epoch"] == 4
    assert load_checkpoint(tmp_path / "best.pt")["names"] == ["a"]


def test_a_run_cut_by_max_steps_is_judged_at_its_end(tmp_path):
    _, result = run(tmp_path, max_steps=4, validate_every=10)
    assert result.steps == 4 and result.best
    assert load_checkpoint(tmp_path / "best.pt")["progress"]["steps"] == 4


def test_a_checkpoint_of_another_model_is_named(tmp_path):
    run(tmp_path, epochs=1)
    other = torch.nn.Linear(3, 2)
    sampler = ToySampler()
    with pytest.raises(UserError, match="another model"):
        fit(
            other,
            toy_step,
            ToyLoader(sampler),
            sampler,
            None,
            config(),
            RunLog(tmp_path),
            CPU,
            describe={},
            resume=True,
        )


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_good_state(tmp_path):
    targets = torch.zeros(24, 1)
    run(tmp_path, targets=targets, epochs=1)
    before = load_checkpoint(tmp_path / "last.pt")
    targets[5] = math.nan
    with pytest.raises(UserError, match=r"not finite.*last\.pt"):
        run(tmp_path, targets=targets, epochs=2, resume=True)
    after = load_checkpoint(tmp_path / "last.pt")
    assert after["progress"] == before["progress"]


def test_a_metric_that_validation_does_not_give_is_named(tmp_path):
    with pytest.raises(UserError, match=r"loop\.metric: expected one of .*frame_map_50"):
        run(tmp_path, metric="map")


def test_resuming_needs_a_whole_checkpoint(tmp_path):
    run(tmp_path / "a")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "last.pt").write_bytes((tmp_path / "a" / "best.pt").read_bytes())
    with pytest.raises(UserError, match="weights only"):
        run(tmp_path / "b", resume=True)
    with pytest.raises(UserError, match="no such file"):
        run(tmp_path / "c", resume=True)


def test_batches_without_a_loss_extend_the_graph(tmp_path):
    """A step may hold its loss back (truncated backpropagation over several windows)."""
    held = []

    @FunctionStep
    def step(model, batch, state):
        held.append((model(batch.x) - batch.y).square().mean())
        if len(held) < 2:
            return {}, state
        loss = torch.stack(held).sum()
        held.clear()
        return {"error": loss}, state

    _, result = run(tmp_path, step)
    assert result.steps == 9


def test_runs_outside_the_main_thread(tmp_path):
    results = []
    thread = threading.Thread(target=lambda: results.append(run(tmp_path)))
    thread.start()
    thread.join()
    assert results[0][1].steps == 9


def test_a_run_until_its_plateau_is_prolonged_as_if_it_had_not_ended(tmp_path):
    until = {"until": "plateau", "epochs": 1000, "plateau": PlateauConfig(least=20)}
    long, whole = run(tmp_path / "long", max_steps=40, **until)
    assert whole.steps == 40 and whole.ending
    _, short = run(tmp_path / "short", max_steps=10, **until)
    assert short.steps == 10
    prolonged, result = run(tmp_path / "short", resume=True, max_steps=40, **until)
    assert result.steps == 40
    for a, b in zip(long.parameters(), prolonged.parameters(), strict=True):
        assert torch.equal(a, b)
    events = [RunLog(tmp_path / name).events("train") for name in ("long", "short")]
    assert [e["step"] for e in events[1]] == [e["step"] for e in events[0]]
    assert run(tmp_path / "short", resume=True, max_steps=40, **until)[1].steps == 40


def test_a_run_until_its_plateau_resumes_where_it_was_stopped(tmp_path):
    until = {"until": "plateau", "epochs": 1000, "max_steps": 20}
    whole, _ = run(tmp_path / "whole", **until)
    calls = 0

    @FunctionStep
    def interrupting_step(model, batch, state):
        nonlocal calls
        calls += 1
        if calls == 33:  # two batches a step: while the rate falls
            os.kill(os.getpid(), signal.SIGINT)
        return toy_step(model, batch, state)

    _, stopped = run(tmp_path / "cut", interrupting_step, **until)
    assert stopped.interrupted and stopped.steps < 20
    resumed, result = run(tmp_path / "cut", resume=True, **until)
    assert result.steps == 20
    for a, b in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(a, b)
