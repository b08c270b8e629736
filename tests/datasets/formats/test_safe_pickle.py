"""The restricted unpickler: everything annotations hold, in every protocol; nothing that runs."""

import collections
import os
import pickle

import numpy as np
import pytest

from stadet.datasets.formats.safe_pickle import load_pickle
from stadet.engine.errors import UserError

ARRAYS = [
    np.arange(12, dtype=np.uint8).reshape(3, 4),
    np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    np.arange(3, dtype=">f4"),
    np.zeros((0, 4), np.uint16),
    np.array(["a", "ö"]),
    np.array([b"xy", b"z"]),
    np.array([1 + 2j]),
    np.array([True, False]),
    np.array([{"a": 1}, None], dtype=object),
]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_reads_what_numpy_and_containers_write(tmp_path, protocol):
    value = {
        "arrays": ARRAYS,
        "scalars": (np.uint8(7), np.float64(0.5), 3, 2.5, None, True, "é", b"\xff", 1j),
        "sets": [{1, 2}, frozenset({3})],
        "ordered": collections.OrderedDict([("b", 1), ("a", 2)]),
    }
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps(value, protocol))
    back = load_pickle(path)
    for ours, theirs in zip(ARRAYS, back["arrays"], strict=True):
        np.testing.assert_array_equal(theirs, ours)
        assert theirs.dtype.newbyteorder("=") == ours.dtype.newbyteorder("=")
        assert theirs.flags.f_contiguous == ours.flags.f_contiguous
    for key in ("scalars", "sets", "ordered"):
        assert back[key] == value[key]
    assert type(back["scalars"][0]) is np.uint8


def test_reads_python_2_arrays(tmp_path):
    # what Python 2 writes for np.array([[200, 1]], np.uint8): raw bytes as str, numpy.core's names
    data = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR"
        b"(I1\n(I1\nI2\ntcnumpy\ndtype\n(S'u1'\nI0\nI1\ntR(I3\nS'|'\nNNNI-1\nI-1\nI0\ntb"
        b"I00\nS'\\xc8\\x01'\ntb."
    )
    (tmp_path / "a.pkl").write_bytes(data)
    np.testing.assert_array_equal(load_pickle(tmp_path / "a.pkl"), [[200, 1]])


class Runs:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    "call",
    [
        (os.system, "echo run > {}"),
        (eval, "open({!r}, 'w')"),
        (getattr, "x", "upper"),
        (np.load, "{}"),
        (bytearray, 10),
    ],
)
def test_runs_nothing(tmp_path, call):
    marker = tmp_path / "marker"
    arguments = [a.format(str(marker)) if isinstance(a, str) else a for a in call[1:]]
    path = tmp_path / "evil.pkl"
    path.write_bytes(pickle.dumps({"db": [Runs(call[0], *arguments)]}))
    with pytest.raises(UserError, match="not to be trusted") as error:
        load_pickle(path)
    assert not marker.exists()
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_forged_array_states_do_not_reach_numpy(tmp_path):
    path = tmp_path / "forged.pkl"
    genuine = pickle.dumps(np.array([None, None], dtype=object), 2)
    flags = genuine.replace(b"K?t", b"K\x00t")  # the dtype's flags: "holds no objects"
    pointers = flags.replace(b"]q\x11(NNe", b"U\x10" + b"A" * 16)  # bytes in place of the list
    assert genuine != flags != pointers
    path.write_bytes(flags)
    assert load_pickle(path).tolist() == [None, None]
    path.write_bytes(pointers)
    with pytest.raises(UserError):
        load_pickle(path)
    genuine = pickle.dumps(np.arange(9.0), 2)
    longer = genuine.replace(b"K\x09\x85", b"K\x7f\x85")  # a shape that the bytes do not fill
    assert longer != genuine
    path.write_bytes(longer)
    with pytest.raises(UserError):
        load_pickle(path)


@pytest.mark.parametrize("keep", [0, 1, 50, -1])
def test_cut_off_and_missing_files(tmp_path, keep):
    path = tmp_path / "cut.pkl"
    path.write_bytes(pickle.dumps({"a": np.arange(100)})[:keep])
    with pytest.raises(UserError, match=r"cut\.pkl"):
        load_pickle(path)
    with pytest.raises(UserError, match="no such file"):
        load_pickle(tmp_path / "none.pkl")
    (tmp_path / "text.pkl").write_text("<html>not found</html>")
    with pytest.raises(UserError, match=r"text\.pkl"):
        load_pickle(tmp_path / "text.pkl")
