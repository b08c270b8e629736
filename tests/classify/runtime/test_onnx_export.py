"""Every classifier as an ONNX graph answers as in torch, whatever the number of clips."""

import pytest
import torch
from torch import nn

from stadet.classify.models.classifier import ClipClassifier
from stadet.classify.runtime.fixed_batch import FixedBatch
from stadet.classify.runtime.onnx_export import example_inputs, export_classifier_onnx
from stadet.classify.runtime.session_classifier import SessionClassifier
from stadet.detect.runtime.quantise import quantise_int8
from stadet.detect.runtime.sessions import SESSIONS
from stadet.engine.errors import UserError
from tests.classify.fake_models import MeanClassifier
from tests.classify.tiny_models import TINY, tiny_inputs, tiny_model

pytest.importorskip("onnx")
LARGE = ("cnn_lstm_resnet50", "three_stream")  # exported once only, as the others are


def vivid(name):
    """A tiny model whose batch norms have seen something, so that clips differ in their answers."""
    model = tiny_model(name)
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.momentum = 1.0
    with torch.no_grad():
        model.train()(*tiny_inputs(model, 3))
    return model.eval()


def session_of(model, content, runtime="onnx"):
    pytest.importorskip({"onnx": "onnxruntime"}.get(runtime, runtime))
    return SessionClassifier(SESSIONS[runtime](content), model.inputs, model.clip_length)


def export(model, **options):
    inputs = dict(zip(model.inputs, tiny_inputs(model, 2), strict=True))
    return export_classifier_onnx(model, inputs, **options)


def assert_answers_alike(exported, model, batches=(1, 2, 3), share=1e-3):
    """Up to a share of how far the answers of different clips lie apart."""
    with torch.no_grad():
        apart = model(*tiny_inputs(model, 3)).std(dim=0).max()
        assert apart > 0
        for batch in batches:
            inputs = tiny_inputs(model, batch)
            expected = model(*inputs)
            found = exported(*inputs)
            assert found.shape == expected.shape
            tolerance = share * float(apart) + 1e-5 * float(expected.abs().max())
            torch.testing.assert_close(found, expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("name", TINY)
def test_every_classifier_answers_as_in_torch(name):
    model = vivid(name)
    content = export(model)
    assert_answers_alike(session_of(model, content), model)
    if name not in LARGE:
        pytest.importorskip("openvino")
        fixed = FixedBatch(session_of(model, content, "openvino"))
        assert_answers_alike(fixed, model, batches=(3, 1, 2))


def test_pools_that_do_not_divide_the_frame_are_exported():
    torch.manual_seed(0)
    from stadet.classify.models.registry import build_model

    model = build_model("convlstm", 3, hidden=4, grid=5).eval()
    inputs = {"frames": torch.randint(0, 256, (2, 4, 3, 17, 24), dtype=torch.uint8)}
    content = export_classifier_onnx(model, inputs)
    exported = session_of(model, content)
    with torch.no_grad():
        torch.testing.assert_close(exported(*inputs.values()), model(*inputs.values()))


def test_probabilities_and_the_binary_head_are_outputs():
    model = MeanClassifier(4).eval()
    content = export_classifier_onnx(model, example_inputs(model, 2, 2, (8, 8)), rejects=True)
    session = session_of(model, content).session
    clips = example_inputs(model, 5, 2, (8, 8), seed=3)["frames"]
    out = session.run({"frames": clips.numpy()})
    with torch.no_grad():
        logits = model(clips)
    torch.testing.assert_close(torch.from_numpy(out["logits"]), logits)
    probabilities = torch.from_numpy(out["probabilities"])
    torch.testing.assert_close(probabilities, logits[:, :3].softmax(1))
    torch.testing.assert_close(torch.from_numpy(out["known"]), logits[:, 3].sigmoid())


@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
def test_a_fixed_batch_serves_every_number_of_clips(runtime):
    model = vivid("compact")
    inputs = dict(zip(model.inputs, tiny_inputs(model, 2), strict=True))
    content = export_classifier_onnx(model, inputs, open_batch=False)
    session = SESSIONS[runtime](content)
    assert session.inputs["frames"][1][0] == 2
    assert_answers_alike(session_of(model, content, runtime), model, batches=(1, 2, 5))


def test_filling_up_a_batch_changes_no_answer():
    sizes = []

    class Counting(MeanClassifier):
        def forward(self, frames):
            sizes.append(len(frames))
            return super().forward(frames)

    torch.manual_seed(0)
    model = Counting(3).eval()
    fixed = FixedBatch(model)
    clips = example_inputs(model, 5, 2, (8, 8))["frames"]
    with torch.no_grad():
        expected = model(clips)
        sizes.clear()
        found = [fixed(clips[a:b]) for a, b in ((0, 2), (2, 5), (4, 5))]
    assert sizes == [2, 3, 3]
    for part, wanted in zip(found, (expected[:2], expected[2:], expected[4:]), strict=True):
        torch.testing.assert_close(part, wanted)


def test_other_clips_than_the_exported_are_told():
    model = vivid("compact")
    exported = session_of(model, export(model))
    (clips,) = tiny_inputs(model, 2)
    for wrong in (clips[:, :4], clips[..., :64], clips[0]):
        with pytest.raises(UserError, match=r"expected frames of \(8, 3, 64, 80\) a clip, as expo"):
            exported(wrong)


@pytest.mark.parametrize("name", ["compact", "resnet3d", "convlstm", "cnn_lstm_custom", "i3d"])
def test_int8_answers_nearly_as_float(name):
    model = vivid(name)
    content = export(model)
    clips = tiny_inputs(model, 6)[0]
    feeds = [{"frames": clips[n : n + 1].numpy()} for n in range(6)]
    int8 = quantise_int8(content, feeds, keep_last=False)
    onnx = pytest.importorskip("onnx")
    operations = {node.op_type for node in onnx.load_from_string(int8).graph.node}
    assert "DequantizeLinear" in operations and int8 != content
    exact, found = (session_of(model, file)(clips).softmax(1) for file in (content, int8))
    # a random network answers less surely than a trained one; kernels of processors differ a little
    difference = (found - exact).abs()
    assert difference.mean() < 0.05 and difference.max() < 0.2
    assert not torch.equal(found, exact)


class Stubborn(ClipClassifier):
    """Computes with the number of clips, which a graph of an open batch cannot."""

    clip_length = 2

    def forward(self, frames):
        x = frames.float().mean(dim=(3, 4)).flatten(1)[:, :3] / 255
        return x * float(len(frames))


def test_a_graph_that_holds_for_one_number_of_clips_only_differs():
    """What `stad export` looks for before it writes a file: see tests/tools."""
    model = Stubborn()
    content = export_classifier_onnx(model, example_inputs(model, 2, 2, (8, 8)))
    exported = session_of(model, content)
    clips = example_inputs(model, 3, 2, (8, 8))["frames"]
    assert not torch.allclose(exported(clips), model(clips))
