import pickle
import random
import zipfile

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
from stadet.engine.torch_file import load_torch_file
from tests.engine.damage import KINDS, damaged


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


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "a.pt"
    weights = {f"layer{i}.weight": torch.randn(5, 7) for i in range(6)}
    save_checkpoint(path, {"model": weights, "config": {"width": 0.25, "name": "yolo"}})
    return path


def test_every_single_bit_of_the_weights_is_guarded(whole, tmp_path):
    """Of the weights and of the pickle that names them; the rest of the file is padding."""
    content, path = whole.read_bytes(), tmp_path / "bad.pt"
    with zipfile.ZipFile(whole) as archive:
        (pickled,) = (n for n in archive.namelist() if n.endswith("data.pkl"))
        guarded = [archive.read(n) for n in archive.namelist() if "/data/" in n or n == pickled]
    for record in guarded:
        start = content.index(record)
        for place in np.linspace(start, start + len(record) - 1, 12).astype(int):
            bad = bytearray(content)
            bad[place] ^= 1 << (int(place) % 8)
            path.write_bytes(bad)
            with pytest.raises(UserError, match=r"^checkpoint [^\n]*damaged or cut off[^\n]*$"):
                load_checkpoint(path)


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_checkpoint_is_refused_or_still_the_same(whole, tmp_path, kind):
    """The long run of this is benchmarks/damaged_checkpoints.py."""
    content, path, rng = whole.read_bytes(), tmp_path / "bad.pt", np.random.default_rng(0)
    original = load_checkpoint(whole)
    for _ in range(40):
        path.write_bytes(damaged(content, rng, kind))
        try:
            found = load_checkpoint(path)
        except UserError as error:
            assert "\n" not in str(error)
            continue
        assert found["config"] == original["config"]
        assert found["model"].keys() == original["model"].keys()
        assert all(torch.equal(found["model"][k], v) for k, v in original["model"].items())


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_refused_by_name(tmp_path, value):
    weights = {"a.weight": torch.ones(3), "b.bias": torch.tensor([1.0, value])}
    save_checkpoint(tmp_path / "a.pt", {"model": weights})
    with pytest.raises(UserError, match=r"found NaN or infinity in 'model\.b\.bias'"):
        load_checkpoint(tmp_path / "a.pt")


def test_a_file_of_old_torch_loads_and_is_told_apart_when_cut(tmp_path):
    weights = {"w": torch.arange(100.0)}
    torch.save(weights, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert torch.equal(load_torch_file(tmp_path / "old.pth")["w"], weights["w"])
    (tmp_path / "cut.pth").write_bytes((tmp_path / "old.pth").read_bytes()[:-40])
    with pytest.raises(UserError, match="not a whole file of torch"):
        load_torch_file(tmp_path / "cut.pth")


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
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))  # simulates a full disk
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


def test_random_states_come_back_from_a_checkpoint_on_any_device(tmp_path):
    state = random_state()
    drawn = np.random.random(3), torch.rand(3)

    class Elsewhere(torch.Tensor):
        """Like a tensor on a GPU, which numpy cannot read before `cpu()`."""

        def numpy(self, *_, **__):
            raise TypeError("can't convert cuda:0 device type tensor to numpy")

        def cpu(self):
            return self.as_subclass(torch.Tensor)

    state["numpy"][1] = state["numpy"][1].as_subclass(Elsewhere)
    restore_random_state(state)
    assert np.array_equal(np.random.random(3), drawn[0])
    assert torch.equal(torch.rand(3), drawn[1])
