import pytest
import torch
from torch.nn.modules.batchnorm import _BatchNorm

from stadet.detect.runtime.compiled import compile_frozen, fold_for_inference
from stadet.detect.runtime.onnx_export import export_onnx, read_description
from stadet.detect.runtime.session_detector import SessionDetector
from stadet.detect.runtime.sessions import SESSIONS
from stadet.engine.errors import UserError
from stadet.yowo.model import BACKBONES
from stadet.yowo.resnet3d import ZeroPadShortcut
from stadet.yowo.streaming import TemporalEvery
from tests.yowo import tiny_yowo

SIZE = (96, 64)  # shufflenet's pooling needs a few cells
ONE_WIDTH = {"r3d_18", "mc3_18", "r2plus1d_18"}
EXPORTED = (
    ("resnext101", 32),
    ("resnet18", 32),
    ("resnet18", 8),
    ("mobilenetv2_1x", 32),
    ("shufflenet_2x", 32),
)


def network(backbone, size=SIZE, stride=32):
    width = 1.0 if backbone in ONE_WIDTH else 0.125
    return tiny_yowo.yowo(backbone, width=width, clip_length=16, size=size, stride=stride)


def relative(ours, theirs):
    return ((ours - theirs).abs().max() / theirs.abs().max()).item()


@pytest.mark.parametrize("backbone", BACKBONES)
def test_folded_and_channels_last_is_the_same_network(backbone):
    size = (32, 32) if backbone in ONE_WIDTH else SIZE
    model, frames = network(backbone, size), tiny_yowo.clips(1, 16, size=size)
    folded = fold_for_inference(model, frames)
    assert not any(isinstance(module, _BatchNorm) for module in folded.modules())
    with torch.no_grad():
        assert relative(folded(frames)[0][0], model(frames)[0][0]) < 1e-5


@pytest.mark.parametrize("runtime", SESSIONS)
@pytest.mark.parametrize(("backbone", "stride"), EXPORTED)
def test_exported_branches_answer_as_in_torch(backbone, stride, runtime):
    pytest.importorskip({"onnx": "onnxruntime"}.get(runtime, runtime))
    model = network(backbone, stride=stride)
    model.clip_step = 2
    content = export_onnx(model, SIZE)
    detector = SessionDetector(SESSIONS[runtime](content), read_description(content, "a file"))
    assert detector.predicts == "last_frame" and detector.context_frames == 30
    assert (detector.clip_length, detector.clip_step) == (16, 2)
    for batch in (1, 2):
        frames = tiny_yowo.clips(batch, 16, size=SIZE)
        with torch.no_grad():
            expected = model.decode(model(frames)[0])
        found = detector.decode(detector(frames)[0])
        for name, tensor in vars(expected).items():
            assert relative(getattr(found, name), tensor) < (1e-5 if runtime == "onnx" else 1e-4)


@pytest.mark.parametrize("shape", [(1, 4, 3, 6, 5), (2, 4, 2, 4, 4)])
def test_a_type_a_shortcut_exports_as_slice_and_pad(shape):
    onnx = pytest.importorskip("onnx")
    content = export_onnx(network("resnet18"), SIZE)
    kinds = {node.op_type for node in onnx.load_from_string(content).graph.node}
    assert {"Slice", "Pad"} <= kinds and "ScatterND" not in kinds
    x = torch.rand(shape)
    expected = torch.zeros(shape[0], 7, *(-(-side // 2) for side in shape[2:]))
    expected[:, :4] = x[:, :, ::2, ::2, ::2]
    assert torch.equal(ZeroPadShortcut(3, 2)(x), expected)


@pytest.mark.slow
def test_compiled_equals_eager_and_bf16_is_near():
    model, frames = network("resnet18", stride=16), tiny_yowo.clips(2, 16, size=SIZE)
    compiled = compile_frozen(fold_for_inference(model, frames))
    with torch.inference_mode():
        expected = model(frames)[0][0]
        assert relative(compiled(frames)[0][0], expected) < 1e-5
        with torch.autocast("cpu", torch.bfloat16):
            found = compiled(frames)[0][0].float()
    with torch.no_grad():  # the weights have been packed away as constants
        for name, parameter in compiled.named_parameters():
            if name.endswith("weight"):
                parameter.zero_()
    with torch.inference_mode():
        assert relative(compiled(frames)[0][0], expected) < 1e-5
    rms = (found - expected).square().mean().sqrt() / expected.square().mean().sqrt()
    assert rms < 0.02


@pytest.mark.slow
def test_branches_compile_one_by_one_under_a_model_that_chooses():
    model, frames = network("resnet18"), tiny_yowo.clips(4, 16, size=SIZE)
    compiled = compile_frozen(TemporalEvery(fold_for_inference(model, frames), 2))
    with torch.inference_mode():
        expected, _ = TemporalEvery(model, 2)(frames)
        assert relative(compiled(frames)[0][0], expected[0]) < 1e-5


def test_a_missing_compiler_is_one_line(monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(UserError, match=r"expected a C\+\+ compiler .* found none"):
        compile_frozen(tiny_yowo.yowo())
