"""`loop.compile`: the same training, and one line where the compiler fails."""

import shutil

import pytest
import torch

from stadet.engine.errors import UserError
from tests.engine.test_loop import run


@pytest.fixture(autouse=True)
def forget_compilations():
    yield
    torch.compiler.reset()


@pytest.mark.skipif(not shutil.which("g++"), reason="needs a C++ compiler")
def test_a_compiled_training_is_the_plain_one(tmp_path):
    plain, plain_result = run(tmp_path / "plain")
    model, result = run(tmp_path / "compiled", compile=True)
    assert result.steps == plain_result.steps
    # rounding that AdamW enlarges where gradients are small
    torch.testing.assert_close(model.state_dict(), plain.state_dict(), rtol=0, atol=2e-3)


def test_a_compiler_that_fails_is_told_in_one_line(tmp_path, monkeypatch):
    def backend(graph, inputs):
        raise RuntimeError("no such instruction")

    monkeypatch.setattr(
        "stadet.engine.loop.compiled", lambda model: torch.compile(model, backend=backend)
    )
    with pytest.raises(
        UserError, match=r"loop\.compile: torch .*no such instruction.*false"
    ) as told:
        run(tmp_path, compile=True)
    assert len(str(told.value).splitlines()) == 1
