"""MATLAB files: what scipy writes comes back; damage is one line."""

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from stadet.datasets.formats.mat_file import load_mat, number
from stadet.engine.errors import UserError


@pytest.mark.parametrize("compressed", [False, True])
def test_numbers_of_every_kind_as_scipy_reads_them(tmp_path, compressed):
    rng = np.random.default_rng(0)
    kinds = ("f8", "f4", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8")
    arrays = {f"a_{kind}": rng.integers(0, 99, (3, 4, 2)).astype(kind) for kind in kinds}
    arrays |= {"empty": np.zeros((0, 3)), "one": np.array(7.5), "mask": rng.random((4, 5)) < 0.5}
    savemat(tmp_path / "a.mat", arrays, do_compression=compressed)
    found, theirs = load_mat(tmp_path / "a.mat"), loadmat(tmp_path / "a.mat")
    assert set(found) == set(arrays)
    for name in arrays:
        np.testing.assert_array_equal(found[name], theirs[name])
        if name != "mask":
            assert found[name].dtype == theirs[name].dtype
    assert number(found["one"]) == 7.5


def test_structs_cells_and_text(tmp_path):
    rows = [{"name": "größe", "boxes": np.eye(2), "n": i} for i in range(3)]
    cell = np.empty(2, object)
    cell[:] = ["a", np.arange(3)]
    savemat(tmp_path / "a.mat", {"rows": rows, "cell": cell, "lines": np.array(["ab", "cd"])})
    found = load_mat(tmp_path / "a.mat")
    while isinstance(found["rows"][0], list):  # scipy writes a list of dicts as a cell of structs
        found["rows"] = [item for row in found["rows"] for item in row]
    assert [row["name"] for row in found["rows"]] == ["größe"] * 3
    assert [number(row["n"]) for row in found["rows"]] == [0, 1, 2]
    np.testing.assert_array_equal(found["rows"][2]["boxes"], np.eye(2))
    assert found["cell"][0] == "a" and found["cell"][1].tolist() == [[0, 1, 2]]
    assert found["lines"] == ["ab", "cd"]


def test_a_struct_array(tmp_path):
    array = np.zeros((1, 2), dtype=[("a", object), ("b", object)])
    array["a"], array["b"] = [[1, 2]], [["x", np.zeros((0, 0))]]
    savemat(tmp_path / "a.mat", {"s": array})
    found = load_mat(tmp_path / "a.mat")["s"]
    assert [number(row["a"]) for row in found] == [1, 2]
    assert found[0]["b"] == "x" and found[1]["b"].size == 0


@pytest.mark.parametrize("cut", [0, 50, 127, 128, 131, 140, 180])
def test_cut_off_files_and_other_versions(tmp_path, cut):
    path = tmp_path / "a.mat"
    savemat(path, {"a": np.arange(9.0)})
    content = path.read_bytes()
    path.write_bytes(content[:cut])
    if cut == 128:
        assert load_mat(path) == {}
        return
    with pytest.raises(UserError, match=r"MATLAB file \(version 5\)"):
        load_mat(path)
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + content[8:124] + b"\x00\x02IM" + content[128:])
    with pytest.raises(UserError, match="another version"):
        load_mat(path)


def test_what_unpacks_to_gigabytes_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr("stadet.datasets.formats.mat_file.MAX_UNPACKED", 1 << 16)
    savemat(tmp_path / "a.mat", {"a": np.zeros(1 << 16)}, do_compression=True)
    with pytest.raises(UserError, match="too large"):
        load_mat(tmp_path / "a.mat")
