import errno
import os

import pytest

from stadet.engine.errors import UserError
from stadet.engine.files import TEMPORARY
from stadet.tools.cluster import store as module
from stadet.tools.cluster.store import OWN, Store

fsspec = pytest.importorskip("fsspec")


@pytest.fixture(params=["folder", "file", "memory"])
def store(request, tmp_path):
    scratch = tmp_path / "scratch"
    roots = {"folder": f"{tmp_path}/out", "file": f"file://{tmp_path}/out/", "memory": "memory://r"}
    yield Store(roots[request.param], scratch)
    fsspec.filesystem("memory").store.clear()


def test_files_come_back(store):
    assert store.read("x/a.json") is None
    assert store.sizes() == {} == dict(store.read_all("x"))
    store.write("x/a.json", b"12")
    store.write("x/y/b.json", b"345")
    store.write("z.json", b"6")
    assert store.read("x/a.json") == b"12"
    assert store.sizes() == {"x/a.json": 2, "x/y/b.json": 3, "z.json": 1}
    assert store.sizes("x") == {"x/a.json": 2, "x/y/b.json": 3}
    assert store.read_all("x") == {"x/a.json": b"12", "x/y/b.json": b"345"}
    assert store.read_all("x/y") == {"x/y/b.json": b"345"}


def test_results_are_put_in_place_and_nothing_is_left(store, tmp_path):
    with store.staging() as staged:
        (staged / "in").mkdir()
        (staged / "in" / "c.jsonl").write_bytes(b"123")
        (staged / "d.png").write_bytes(b"45")
        assert store.publish(staged) == {"in/c.jsonl": 3, "d.png": 2}
    assert store.read("in/c.jsonl") == b"123"
    assert store.sizes() == {"in/c.jsonl": 3, "d.png": 2}
    assert not [path for path in tmp_path.rglob(f"*{TEMPORARY}*")]


def test_what_a_killed_worker_was_writing_is_removed(tmp_path):
    store = Store(tmp_path / "out")
    left = tmp_path / "out" / OWN / f".results{TEMPORARY}abcdefgh"
    left.mkdir(parents=True)
    os.utime(left, (0, 0))
    with store.staging():
        assert not left.exists()


def test_a_full_disk_is_told_and_leaves_no_result(tmp_path, monkeypatch):
    store = Store(tmp_path / "out")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module.os, "replace", full)
    with (
        pytest.raises(UserError, match=r"out/a\.jsonl: the disk is full"),
        store.staging() as staged,
    ):
        (staged / "a.jsonl").write_bytes(b"1")
        store.publish(staged)
    assert not (tmp_path / "out" / "a.jsonl").exists()
