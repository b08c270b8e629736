import builtins

import numpy as np
import pytest
import torch

from stadet.anchors.anchors import Anchors
from stadet.detect.runtime.fixed_shape import FixedShape
from stadet.detect.runtime.onnx_export import export_onnx, read_description
from stadet.detect.runtime.session_detector import SessionDetector
from stadet.detect.runtime.sessions import SESSIONS
from stadet.detect.yolo.yolov3_tiny import YOLOv3Tiny
from stadet.engine.errors import UserError
from stadet.recurrent_yolo.model import RecurrentYOLO
from stadet.recurrent_yolo.single_step import SingleStep
from stadet.recurrent_yolo.stacked import StackedYOLO
from stadet.recurrent_yolo.temporal import MemoryConfig
from tests.recurrent_yolo import tiny

pytest.importorskip("onnx")
TOLERANCE = {"onnx": 1e-5, "openvino": 1e-4}  # OpenVINO orders sums otherwise


def opened(runtime, content, precision="fp32"):
    pytest.importorskip({"onnx": "onnxruntime"}.get(runtime, runtime))
    session = SESSIONS[runtime](content, precision)
    return SessionDetector(session, read_description(content, "a file"))


def assert_same(ours, theirs, tolerance):
    """Predictions: boxes in pixels relative to the picture, probabilities as they are."""
    scale = max(tiny.SIZE)
    torch.testing.assert_close(ours.boxes / scale, theirs.boxes / scale, rtol=0, atol=tolerance)
    torch.testing.assert_close(ours.objectness, theirs.objectness, rtol=0, atol=tolerance)
    torch.testing.assert_close(ours.scores, theirs.scores, rtol=0, atol=tolerance)


def tiny_yolo():
    torch.manual_seed(0)
    sizes = tuple(np.array(s, dtype=float) for s in ([(8, 8)], [(24, 30)]))
    model = YOLOv3Tiny(3, Anchors(sizes, (16, 32), tiny.SIZE), width=0.125)
    with torch.no_grad():
        model.train()(tiny.frames(2, 2))
    return model.eval()


@pytest.mark.parametrize("runtime", SESSIONS)
@pytest.mark.parametrize("make", [tiny.detector, tiny_yolo])
def test_a_frame_detector_answers_as_in_torch(runtime, make):
    model = make()
    detector = opened(runtime, export_onnx(model, tiny.SIZE))
    assert (detector.predicts, detector.clip_length, detector.context_frames) == (
        "every_frame",
        1,
        0,
    )
    for lanes, steps in ((1, 1), (2, 3)):
        frames = tiny.frames(lanes, steps)
        with torch.no_grad():
            expected = model.decode(model(frames)[0])
        maps, state = detector(frames)
        assert state is None
        assert_same(detector.decode(maps), expected, TOLERANCE[runtime])


MEMORIES = {
    "lstm with differences": ("neck", MemoryConfig(hidden=6)),
    "gru": ("backbone", MemoryConfig(cell="gru", hidden=6, differences=())),
    "mingru, two layers": ("neck", MemoryConfig(cell="mingru", hidden=6, layers=2)),
    "the report's": (
        "head",
        MemoryConfig(depthwise=False, hidden=1, peepholes="conv", differences=(), residual=False),
    ),
    "differences alone": ("neck", MemoryConfig(hidden=6, carry=False)),
    "hadamard": ("neck", MemoryConfig(hidden=6, peepholes="hadamard", group_norm=True)),
}


def recurrent(name):
    placement, memory = MEMORIES[name]
    detector = tiny.detector()
    model = RecurrentYOLO(detector, memory, placement=placement, network_size=tiny.SIZE)
    tiny.randomise(model.memory)
    return model.eval()


def exported_step(model):
    step = SingleStep(model)
    return export_onnx(step, tiny.SIZE, state=step.initial_state(2, tiny.SIZE))


@pytest.mark.parametrize("name", MEMORIES)
def test_a_recurrent_step_carries_resets_and_skips_as_in_torch(name):
    model = recurrent(name)
    detector = opened("onnx", exported_step(model))
    starts = torch.tensor([False, True])  # lane 1 begins another stream with the second window
    valid = torch.ones(2, 3, dtype=torch.bool)
    valid[0, 2] = False  # lane 0 ends one frame early
    state = expected_state = None
    calls = [(None, None), (starts, valid), (None, None)]
    for seed, (begins, seen) in enumerate(calls):
        frames = tiny.frames(2, 3, seed)
        with torch.no_grad():
            maps, expected_state = model(frames, expected_state, begins, seen)
        expected = model.decode(maps)
        maps, state = detector(frames, state, begins, seen)
        rows = torch.ones(2, 3, dtype=torch.bool) if seen is None else seen
        ours = [part[rows.flatten()] for part in vars(detector.decode(maps)).values()]
        theirs = [part[rows.flatten()] for part in vars(expected).values()]
        assert_same(type(expected)(*ours), type(expected)(*theirs), 1e-5)


def test_openvino_carries_the_state_too():
    model = recurrent("lstm with differences")
    detector = opened("openvino", exported_step(model))
    state = expected_state = None
    for seed in range(2):
        frames = tiny.frames(2, 2, seed)
        with torch.no_grad():
            maps, expected_state = model(frames, expected_state)
        answers, state = detector(frames, state)
        assert_same(detector.decode(answers), model.decode(maps), 1e-4)


@pytest.mark.parametrize("count", [2, 4])
def test_stacked_frames_export_with_their_look_back(count):
    torch.manual_seed(1)
    model = StackedYOLO(tiny.detector(), count).eval()
    first = next(m for m in model.detector.backbone.modules() if hasattr(m, "in_channels"))
    torch.nn.init.normal_(first.weight, std=0.1)
    detector = opened("onnx", exported_step(model))
    frames = tiny.frames(2, 6)
    with torch.no_grad():
        expected = model.decode(model(frames)[0])
    first_half, state = detector(frames[:, :3])
    second_half, _ = detector(frames[:, 3:], state)
    joined = [
        torch.cat([a.unflatten(0, (2, 3)), b.unflatten(0, (2, 3))], 1).flatten(0, 1)
        for a, b in zip(first_half, second_half, strict=True)
    ]
    assert_same(detector.decode(joined), expected, 1e-5)


def test_a_bidirectional_memory_is_refused():
    model = RecurrentYOLO(tiny.detector(), MemoryConfig(hidden=4, bidirectional=True))
    with pytest.raises(UserError, match="bidirectional"):
        SingleStep(model)


def test_padding_to_one_shape_changes_no_answer():
    model = recurrent("lstm with differences")
    fixed, whole = FixedShape(model), tiny.frames(2, 7)
    starts = torch.tensor([True, True])
    with torch.no_grad():
        expected, _ = model(whole, None, starts)
        first, state = fixed(whole[:, :4], None, starts)
        last, _ = fixed(whole[:, 4:], state, ~starts)
    for level, parts in enumerate(zip(first, last, strict=True)):
        found = torch.cat([part.unflatten(0, (2, -1)) for part in parts], dim=1)
        torch.testing.assert_close(found.flatten(0, 1), expected[level], rtol=1e-4, atol=1e-5)


def test_bad_input_is_one_line(monkeypatch):
    content = export_onnx(tiny.detector(), tiny.SIZE)
    detector = opened("onnx", content)
    with pytest.raises(UserError, match=r"\(32, 64\).*found \(64, 64\)"):
        detector(torch.zeros(1, 1, 3, 64, 64, dtype=torch.uint8))
    with pytest.raises(UserError, match="float32 on the CPU"):
        SESSIONS["onnx"](content, "bf16")
    with pytest.raises(UserError, match=r"x\.onnx: expected an ONNX file"):
        read_description(b"no graph at all", "x.onnx")
    with pytest.raises(UserError, match=r"x\.onnx: expected an ONNX file made by stad export"):
        read_description(b"", "x.onnx")

    real_import = builtins.__import__

    def without(name, *args, **kwargs):
        if name.split(".")[0] in ("onnx", "onnxruntime", "openvino"):
            raise ImportError(name)
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    for runtime in SESSIONS:
        with pytest.raises(UserError, match=r"pip install -e '\.\[runtimes\]'"):
            SESSIONS[runtime](content)
    with pytest.raises(UserError, match=r"onnx, which is not installed"):
        export_onnx(tiny.detector(), tiny.SIZE)


@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
def test_a_graph_that_the_runtime_refuses_is_told(runtime):
    onnx = pytest.importorskip("onnx")
    graph = onnx.load_from_string(export_onnx(tiny.detector(), tiny.SIZE))
    del graph.graph.node[3:]  # the outputs come from nowhere
    with pytest.raises(UserError, match=rf"runtime {runtime}: expected a graph that") as told:
        SESSIONS[runtime](graph.SerializeToString())
    assert "\n" not in str(told.value)


def test_a_provider_that_is_not_there_is_told():
    onnxruntime = pytest.importorskip("onnxruntime")
    if "TensorrtExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("TensorRT is installed")
    content = export_onnx(tiny.detector(), tiny.SIZE)
    with pytest.raises(UserError, match="an onnxruntime with TensorrtExecutionProvider, found"):
        SESSIONS["tensorrt"](content)
    with pytest.raises(UserError, match="runtime tensorrt: expected precision fp32, found bf16"):
        SESSIONS["tensorrt"](content, "bf16")
