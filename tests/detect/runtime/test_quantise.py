import json
import logging

import numpy as np
import pytest
import torch
from torch import nn

from stadet.detect.batch import Predictions
from stadet.detect.detector import Detector
from stadet.detect.runtime.onnx_export import METADATA_KEY, export_onnx, read_description
from stadet.detect.runtime.quantise import last_convolutions, quantise_int8
from stadet.detect.runtime.session_detector import SessionDetector
from stadet.detect.runtime.sessions import SESSIONS
from stadet.engine.errors import UserError

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
SIZE = (16, 24)


class TwoHeads(Detector):
    """A detector of two levels: a shared body, and a last convolution for each."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 8, 1))
        self.fine, self.coarse = nn.Conv2d(8, 6, 1), nn.Conv2d(8, 6, 3, stride=2, padding=1)

    def forward(self, frames, state=None, starts_stream=None, valid=None):
        x = self.body(frames.flatten(0, 1).float() / 255)
        return [self.fine(x), self.coarse(x)], None

    def decode(self, maps):
        rows = torch.cat([level.flatten(2) for level in maps], dim=2).transpose(1, 2)
        return Predictions(rows[..., :4], rows[..., 4], rows[..., 5:])


def images(count, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, 3, *SIZE), dtype=np.uint8)


def exported(**options):
    return export_onnx(TwoHeads(), SIZE, description={"names": ["a"]}, **options)


def answers(content, runtime, frames):
    detector = SessionDetector(SESSIONS[runtime](content), read_description(content, "a"))
    return detector.decode(detector(torch.from_numpy(frames)[:, None])[0])


@pytest.mark.parametrize("runtime", SESSIONS)
def test_answers_are_near_those_in_float_and_not_the_same(runtime):
    pytest.importorskip({"onnx": "onnxruntime"}.get(runtime, runtime))
    content, frames = exported(), images(6)
    int8 = quantise_int8(content, ({"frames": image[None]} for image in images(20, seed=1)))
    exact, found = answers(content, runtime, frames), answers(int8, runtime, frames)
    rms = (found.boxes - exact.boxes).square().mean().sqrt() / exact.boxes.std()
    assert 1e-4 < rms < 0.02


def test_weights_are_eight_bits_with_a_scale_for_each_output_channel():
    """Rounded by hand: w = round(w / s) * s, s = max|w| of the channel / 64 (7 of the 8 bits)."""
    model, content = TwoHeads(), exported()
    graph = onnx.load_from_string(quantise_int8(content, [{"frames": images(1)}]))
    tensors = {t.name: onnx.numpy_helper.to_array(t) for t in graph.graph.initializer}
    stored = [t for t in tensors.values() if t.dtype == np.int8 and t.ndim == 4]
    expected = []
    for conv in (model.body[0], model.body[2]):
        weight = conv.weight.detach().numpy()
        scale = np.abs(weight).max((1, 2, 3), keepdims=True) / 64
        expected.append(np.round(weight / scale))
    assert len(stored) == 2  # the two heads stay in float
    for own, weight in zip(stored, expected, strict=True):
        assert np.abs(own - weight).max() <= 1 and (own == weight).mean() > 0.99
    # 255 times two such weights stays below 2^15: no overflow in pairs of products
    assert max(np.abs(own.astype(int)).max() for own in stored) * 2 * 255 < 2**15
    floats = [t.shape for t in tensors.values() if t.dtype == np.float32 and t.ndim == 4]
    assert sorted(floats) == [(6, 8, 1, 1), (6, 8, 3, 3)]


def test_the_last_convolutions_of_a_branching_graph():
    graph = onnx.load_from_string(exported())
    convolutions = [node for node in graph.graph.node if node.op_type == "Conv"]
    names = {node.name for node in convolutions}
    last = last_convolutions(graph)
    outputs = {o for node in convolutions if node.name not in last for o in node.output}
    assert len(names) == 4 and len(last) == 2 and len(outputs) == 2
    channels = {t.name: t.dims[0] for t in graph.graph.initializer}
    assert {channels[n.input[1]] for n in convolutions if n.name in last} == {6}


def test_the_description_stays_and_says_int8():
    content = exported()
    int8 = quantise_int8(content, [{"frames": images(2)}])
    before, after = read_description(content, "a"), read_description(int8, "b")
    assert after == {**before, "precision": "int8"}
    entries = [e for e in onnx.load_from_string(int8).metadata_props if e.key == METADATA_KEY]
    assert len(entries) == 1 and json.loads(entries[0].value)["names"] == ["a"]


def test_ranges_come_from_the_frames_that_are_shown():
    """Black frames alone give ranges that bright ones leave."""
    content, bright = exported(), images(4)
    dark = quantise_int8(content, [{"frames": np.zeros_like(bright)}])
    right = quantise_int8(content, [{"frames": bright}])
    exact = answers(content, "onnx", bright).boxes
    error = [(answers(c, "onnx", bright).boxes - exact).abs().mean() for c in (dark, right)]
    assert error[0] > 10 * error[1]


def test_nothing_to_calibrate_on():
    with pytest.raises(UserError, match="int8: expected frames to calibrate on, found none"):
        quantise_int8(exported(), [])


def test_it_is_quiet_and_leaves_logging_as_it_was(capfd, caplog):
    quantise_int8(exported(), [{"frames": images(1)}])
    assert not caplog.records and capfd.readouterr() == ("", "")
    assert logging.root.manager.disable == logging.NOTSET
