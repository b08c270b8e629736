"""Which arithmetic a run takes."""

import pytest
import torch

from stadet.engine import precision
from stadet.engine.precision import bf16_time, choose_precision

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("times", "asked", "chosen", "told"),
    [
        (0.3, "auto", "bf16", None),
        (8.0, "auto", "fp32", "8.0 times"),
        (1.0, "auto", "fp32", "1.0 times"),
        (8.0, "bf16", "bf16", "loop.precision=auto"),
        (0.3, "bf16", "bf16", None),
        (8.0, "fp32", "fp32", None),
        (0.3, "fp16", "fp16", None),
    ],
)
def test_auto_takes_the_faster_and_a_slow_choice_is_told(monkeypatch, times, asked, chosen, told):
    monkeypatch.setattr(precision, "bf16_time", lambda: times)
    found, sentence = choose_precision(asked, CPU)
    assert found == chosen
    assert (sentence is None) == (told is None)
    assert told is None or told in sentence


@pytest.mark.parametrize("supported", [True, False])
def test_a_gpu_is_asked(monkeypatch, supported):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: supported)
    assert choose_precision("auto", torch.device("cuda"))[0] == ("bf16" if supported else "fp32")


def test_the_measurement_is_positive_and_made_once(monkeypatch):
    bf16_time.cache_clear()
    first = bf16_time()
    assert first > 0
    assert bf16_time() == first
