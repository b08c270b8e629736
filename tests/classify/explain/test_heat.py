import numpy as np
import pytest
import torch

from stadet.classify.explain.heat import heat_frames, heat_on_clip, overlay, signed_images, to_unit
from stadet.engine.errors import UserError


def test_heat_of_frames_and_of_clips_reaches_every_pixel():
    frames = torch.rand(6, 4, 5)
    assert heat_on_clip(frames, 2, 3, (16, 20)).shape == (2, 3, 16, 20)
    clips = torch.rand(2, 2, 4, 5)
    assert heat_on_clip(clips, 2, 9, (16, 20)).shape == (2, 9, 16, 20)


def test_a_layer_of_some_frames_only_is_refused():
    with pytest.raises(UserError, match="found 2 maps"):
        heat_on_clip(torch.rand(2, 4, 5), 2, 3, (16, 20))


def test_order_of_frames_is_kept():
    frames = torch.arange(6.0).view(6, 1, 1).expand(6, 2, 2)
    assert heat_on_clip(frames, 2, 3, (4, 4))[:, :, 0, 0].tolist() == [[0, 1, 2], [3, 4, 5]]


def test_each_clip_has_its_own_range_over_all_its_frames():
    heat = torch.stack([torch.arange(8.0).view(2, 2, 2), torch.full((2, 2, 2), 3.0)])
    unit = to_unit(heat)
    assert unit[0].flatten().tolist() == [i / 7 for i in range(8)] or torch.allclose(
        unit[0].flatten(), torch.arange(8.0) / 7
    )
    assert (unit[1] == 0).all()


def test_overlay_is_blue_where_cold_and_red_where_hot():
    frame = np.zeros((4, 6, 3), np.uint8)
    heat = np.zeros((4, 6))
    heat[:, 3:] = 1
    out = overlay(frame, heat, opacity=1.0)
    assert out.shape == frame.shape and out.dtype == np.uint8
    assert out[0, 0, 2] > out[0, 0, 0] and out[0, 5, 0] > out[0, 5, 2]
    assert (overlay(frame + 77, heat, opacity=0.0) == 77).all()


def test_a_heat_video_has_a_picture_a_frame():
    frames = np.random.default_rng(0).integers(0, 255, (3, 4, 6, 3), np.uint8)
    heat = np.linspace(0, 1, 72).reshape(3, 4, 6)
    pictures = list(heat_frames(frames, heat))
    assert len(pictures) == 3
    assert all((p == overlay(f, h)).all() for p, f, h in zip(pictures, frames, heat, strict=True))


def test_a_gradient_is_grey_where_it_is_zero():
    gradient = torch.zeros(2, 3, 4, 5)
    gradient[0, 1, 2, 3] = -0.5
    images = signed_images(gradient)
    assert images.shape == (2, 4, 5, 3)
    assert images[0, 2, 3].tolist() == [128, 1, 128] and (images[1] == 128).all()
