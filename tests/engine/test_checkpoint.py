import pickle
import random

import numpy as np
import pytest
import torch

from stadet.engine.checkpoint import (
    load_checkpoint,
    random_state,
    restore_random_state,
    save_checkpoint,
    seed_everything,
)
from stadet.engine.errors import UserError


def test_round_trip(tmp_path):
    content = {"model": {"w": torch.arange(3.0)}, "names": ["a"], "best": {}, "state": [None, 2]}
    save_checkpoint(tmp_path / "a.pt", content)
    loaded = load_checkpoint(tmp_path / "a.pt")
    assert torch.equal(loaded["model"]["w"], content["model"]["w"])
    assert (loaded["names"], loaded["state"]) == (["a"], [None, 2])
    assert [p.name for p in tmp_path.iterdir()] == ["a.pt"]


class Malicious:
    def __reduce__(self):
        return print, ("code ran",)


@pytest.mark.parametrize("kind", ["missing", "empty", "text", "cut", "foreign", "malicious"])
def test_files_that_are_not_checkpoints(tmp_path, kind, capsys):
    path = tmp_path / "a.pt"
    if kind == "empty":
        path.touch()
    elif kind == "text":
        path.write_text("not a checkpoint")
    elif kind == "cut":
        save_checkpoint(path, {"model": {"w": torch.zeros(1000)}})
        path.write_bytes(path.read_bytes()[:1500])
    elif kind == "foreign":
        torch.save({"epoch": 3}, path)
    elif kind == "malicious":
        path.write_bytes(pickle.dumps(Malicious(), protocol=2))
    with pytest.raises(UserError, match="checkpoint"):
        load_checkpoint(path)
    assert "code ran" not in capsys.readouterr().out


def test_a_failed_save_keeps_the_old_file(tmp_path):
    path = tmp_path / "a.pt"
    save_checkpoint(path, {"step": 1})
    with pytest.raises((pickle.PicklingError, AttributeError)):
        save_checkpoint(path, {"step": lambda: 2})
    assert load_checkpoint(path)["step"] == 1
    assert [p.name for p in tmp_path.iterdir()] == ["a.pt"]


def test_random_state_survives_a_checkpoint(tmp_path):
    seed_everything(3)
    np.random.standard_normal()  # leaves a cached second value behind
    save_checkpoint(tmp_path / "r.pt", {"random": random_state()})
    draw = lambda: (random.random(), np.random.standard_normal(), torch.rand(2).tolist())  # noqa: E731
    first = draw()
    restore_random_state(load_checkpoint(tmp_path / "r.pt")["random"])
    assert draw() == first


def test_a_full_disk_is_one_line_and_keeps_the_old_file(tmp_path):
    resource = pytest.importorskip("resource")
    save_checkpoint(tmp_path / "a.pt", {"step": 1})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))  # stands for a full disk
    try:
        with pytest.raises(UserError, match=r"^cannot write .*a\.pt: [^\n]*disk full[^\n]*$"):
            save_checkpoint(tmp_path / "a.pt", {"step": 2, "weights": torch.zeros(100_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert load_checkpoint(tmp_path / "a.pt")["step"] == 1
    assert [p.name for p in tmp_path.iterdir()] == ["a.pt"]


def test_other_troubles_while_writing_are_no_full_disk(tmp_path, monkeypatch):
    def interrupted(*_):  # as torch's loader raises it, from a signal, wherever the program is
        raise RuntimeError("DataLoader worker (pid 12) is killed by signal: Killed.")

    monkeypatch.setattr(torch, "save", interrupted)
    with pytest.raises(RuntimeError, match="DataLoader worker"):
        save_checkpoint(tmp_path / "a.pt", {})
    assert not list(tmp_path.iterdir())
