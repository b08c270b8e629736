import hashlib

import numpy as np
import pytest

from stadet.detect.runtime.seal import KEY, expect_undamaged, is_sealed, seal, without_seal
from stadet.engine.errors import UserError
from tests.engine.damage import KINDS, damaged


def test_another_program_reads_the_digest_as_metadata():
    onnx = pytest.importorskip("onnx")
    graph = onnx.ModelProto(ir_version=8, producer_name="test")
    graph.metadata_props.add(key="a", value="b")
    content = graph.SerializeToString()
    found = onnx.load_from_string(seal(content))
    entries = {entry.key: entry.value for entry in found.metadata_props}
    assert entries == {"a": "b", KEY: hashlib.sha256(content).hexdigest()}
    assert found.producer_name == "test"
    assert without_seal(seal(content)) == content and without_seal(content) == content


@pytest.mark.parametrize("kind", KINDS)
def test_damage_is_found_wherever_it_is(kind):
    content = seal(np.random.default_rng(0).bytes(3000))
    rng = np.random.default_rng(1)
    expect_undamaged(content, "a.onnx", sealed=True)
    for _ in range(50):
        bad = damaged(content, rng, kind)
        if bad == content:
            continue
        assert not is_sealed(bad)
        with pytest.raises(UserError, match=r"^a\.onnx: damaged, cut off"):
            expect_undamaged(bad, "a.onnx", sealed=True)


def test_files_of_earlier_versions_have_no_digest():
    expect_undamaged(b"whatever", "a.onnx", sealed=False)
