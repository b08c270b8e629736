import numpy as np
import pytest
import torch
from torch import nn

from stadet.anchors.anchors import Anchors
from stadet.anchors.presets import YOLOV3_TINY_COCO as ANCHORS
from stadet.classify.explain.explanation import METHODS, explain
from stadet.classify.explain.grad_cam import (
    class_target,
    deciding_layer,
    detection_target,
    grad_cam,
    mean_activation,
)
from stadet.classify.explain.heat import heat_on_clip
from stadet.classify.models.registry import MODELS
from stadet.detect.yolo.yolov3_tiny import YOLOv3Tiny
from stadet.engine.errors import UserError
from stadet.yowo.model import YOWO
from tests.classify.tiny_models import tiny_inputs, tiny_model

SIDE, LENGTH, CUE = 24, 6, 6


class TwoLayers(nn.Module):
    """A small clip network: two 3D convolutions, the mean over all places, a linear layer."""

    cam_layer = "second"

    def __init__(self):
        super().__init__()
        self.first = nn.Conv3d(3, 6, 3, padding=1)
        self.pool = nn.MaxPool3d((1, 2, 2))
        self.second = nn.Conv3d(6, 8, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.head = nn.Linear(8, 2)

    def forward(self, frames):
        x = self.pool(torch.relu(self.first(frames.transpose(1, 2))))
        return self.head(self.relu(self.second(x)).mean(dim=(2, 3, 4)))


class FramesOnly(nn.Module):
    """The same in 2D over the frames of a clip, with (B * T) maps."""

    cam_layer = "second"

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 8, 3, padding=1)
        self.head = nn.Linear(8, 2)

    def forward(self, frames):
        x = torch.relu(self.first(frames.flatten(0, 1)))
        x = torch.relu(self.second(x)).mean(dim=(2, 3))
        return self.head(x).unflatten(0, frames.shape[:2]).mean(dim=1)


def planted(count, generator):
    """Noise; class 1 has a red square at a random place in frames 2 and 3."""
    frames = torch.rand(count, LENGTH, 3, SIDE, SIDE, generator=generator) * 0.5
    labels = torch.arange(count) % 2
    where = torch.randint(0, SIDE - CUE, (count, 2), generator=generator)
    for i in range(count):
        if labels[i]:
            y, x = where[i]
            frames[i, 2:4, 0, y : y + CUE, x : x + CUE] = 1
    return frames, labels, where


@pytest.fixture(scope="module", params=[TwoLayers, FramesOnly])
def trained(request):
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    model = request.param()
    optimiser = torch.optim.Adam(model.parameters(), 2e-2)
    for _ in range(60):
        frames, labels, _ = planted(8, generator)
        loss = nn.functional.cross_entropy(model(frames), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    frames, labels, where = planted(8, generator)
    with torch.no_grad():
        assert (model(frames).argmax(1) == labels).float().mean() >= 0.9
    cued = labels == 1
    return model, frames[cued], where[cued]


@pytest.mark.parametrize("options", [{"weighting": "mean"}, {"weighting": "rms"}])
def test_grad_cam_lights_a_planted_cue(trained, options):
    model, frames, where = trained
    heat = explain(model, [frames], "grad-cam", class_target(1), **options)
    assert_lit(heat, where)


def test_guided_backpropagation_lights_a_planted_cue(trained):
    model, frames, where = trained
    assert_lit(explain(model, [frames], "guided-backpropagation", class_target(1)), where)


def assert_lit(heat, where):
    """The mean heat on the cue is well above that elsewhere in its frames and in other frames."""
    assert heat.shape == (len(where), LENGTH, SIDE, SIDE)
    assert heat.min() >= 0 and heat.max() == 1
    for clip, (y, x) in zip(heat, where, strict=True):
        inside = torch.zeros(LENGTH, SIDE, SIDE, dtype=torch.bool)
        inside[2:4, y : y + CUE, x : x + CUE] = True
        assert clip[inside].mean() > 3 * clip[~inside].mean()
        t, row, column = np.unravel_index(int(clip.argmax()), clip.shape)
        assert 1 <= t <= 4 and y - 2 <= row <= y + CUE + 1 and x - 2 <= column <= x + CUE + 1


def test_the_formulas_on_a_linear_network():
    """With score = sum_k v_k mean(A_k) every gradient is v_k / Z, so both forms are known."""
    torch.manual_seed(0)
    model = TwoLayers()
    model.relu = nn.Identity()
    frames = torch.rand(2, 4, 3, 8, 8)
    kept = {}
    model.second.register_forward_hook(lambda m, i, o: kept.update(maps=o.detach()))
    plain = grad_cam(model, [frames], "second", class_target(1))
    maps = kept["maps"]
    v = model.head.weight[1].detach()
    places = maps[0, 0].numel()
    expected = torch.relu(torch.einsum("k,bkthw->bthw", v / places, maps))
    torch.testing.assert_close(plain, expected, atol=1e-7, rtol=1e-4)
    rms = grad_cam(model, [frames], "second", class_target(1), weighting="rms")
    gradient = v / places
    weight = gradient * places / torch.sqrt(gradient**2 + 1e-4)
    expected = torch.relu(torch.einsum("k,bkthw->bthw", weight, maps))
    torch.testing.assert_close(rms, expected, atol=1e-5, rtol=1e-4)


def test_mean_activation_is_the_mean_over_channels(trained):
    model, frames, _ = trained
    kept = {}
    handle = model.second.register_forward_hook(lambda m, i, o: kept.update(maps=o.clone()))
    found = mean_activation(model, [frames], "second")
    handle.remove()
    torch.testing.assert_close(found, kept["maps"].mean(dim=1).detach())


def test_clips_of_a_batch_are_explained_alone(trained):
    model, frames, _ = trained
    for method in METHODS:
        together = explain(model, [frames[:2]], method, class_target(1))
        alone = [explain(model, [frames[i : i + 1]], method, class_target(1)) for i in range(2)]
        torch.testing.assert_close(together, torch.cat(alone), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", MODELS)
def test_every_classifier_can_be_explained_at_its_own_layer(name):
    model = tiny_model(name).train()
    inputs = tiny_inputs(model)
    modes = [m.training for m in model.modules()]
    weights = {k: v.clone() for k, v in model.state_dict().items()}
    heat = explain(model, inputs, "grad-cam", class_target(torch.tensor([0, 2])))
    assert heat.shape == (2, *inputs[0].shape[1:2], *inputs[0].shape[-2:])
    assert heat.isfinite().all()
    assert [m.training for m in model.modules()] == modes
    assert all(p.grad is None for p in model.parameters())
    for key, value in model.state_dict().items():
        assert torch.equal(value, weights[key]), key


def test_a_detection_can_be_explained():
    torch.manual_seed(0)
    model = YOLOv3Tiny(3, ANCHORS, width=0.25).eval()
    frames = torch.randint(0, 256, (1, 2, 3, 64, 96), dtype=torch.uint8)
    with torch.no_grad():
        predictions = model.decode(model(frames)[0])
    box = predictions.boxes[1, 7]
    target = detection_target(model, 1, box, 2)
    assert target(model(frames)) == predictions.scores[1, 7, 2]
    heat = grad_cam(model, [frames], "backbone.4", target)
    assert heat.shape[0] == 2 and heat[0].max() == 0 and heat[1].max() > 0  # only its own frame
    assert heat_on_clip(heat, 1, 2, (64, 96)).shape == (1, 2, 64, 96)


def test_a_detection_of_a_clip_can_be_explained():
    torch.manual_seed(0)
    anchors = Anchors((((40.0, 60.0),),), (32,), (64, 64))
    model = YOWO(3, anchors, backbone="resnet18", width=0.1, clip_length=8).eval()
    frames = torch.randint(0, 256, (2, 8, 3, 64, 96), dtype=torch.uint8)
    with torch.no_grad():
        box = model.decode(model(frames)[0]).boxes[1, 2]
    target = detection_target(model, 1, box, 0)
    heat = explain(model, [frames], "grad-cam", target, layer="backbone_3d.layer3")
    assert heat.shape == (2, 8, 64, 96) and heat[0].max() == 0 and heat[1].max() == 1


def test_bad_requests():
    model = TwoLayers()
    frames = torch.rand(1, 2, 3, 8, 8)
    with pytest.raises(UserError, match=r"no layer 'secnd'.*second"):
        grad_cam(model, [frames], "secnd", class_target(0))
    with pytest.raises(UserError, match="expected maps"):
        grad_cam(model, [frames], "head", class_target(0))
    with pytest.raises(UserError, match="found none; its last are"):
        explain(nn.Sequential(nn.Flatten()), [frames], "grad-cam", class_target(0))
    with pytest.raises(UserError, match="method"):
        explain(model, [frames], "lime", class_target(0))
    with pytest.raises(UserError, match="does not depend"):
        grad_cam(model, [frames], "second", lambda output: torch.zeros(1))
    with pytest.raises(UserError, match="no ReLU"):
        explain(
            nn.Sequential(nn.Flatten(), nn.Linear(384, 2)),
            [frames],
            "guided-backpropagation",
            class_target(0),
        )


@pytest.mark.parametrize("level", [0, 1])
def test_a_detector_is_explained_where_its_answer_was_made(level):
    torch.manual_seed(0)
    model = YOLOv3Tiny(2, ANCHORS, width=0.125).eval()
    frames = torch.rand(1, 1, 3, 96, 128)

    def of_level(output):
        return output[0][level][0, 0, 4, 1, 1]

    name = deciding_layer(model, [frames], of_level)
    maps = model(frames)[0][level]
    heat = grad_cam(model, [frames], name, of_level)
    assert heat.shape[-2:] == maps.shape[-2:]
    assert not isinstance(model.get_submodule(name), nn.Conv2d)
    assert heat.abs().sum() > 0 or mean_activation(model, [frames], name).abs().sum() > 0


def test_a_model_without_maps_has_no_deciding_layer():
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 4 * 4, 2))
    with pytest.raises(UserError, match="expected a layer with maps"):
        deciding_layer(model, [torch.rand(2, 1, 3, 4, 4)], lambda output: output[:, 0])
