"""Camera motion: drawn from the clip's seed, a frame at a time."""

import numpy as np
import pytest

from stadet.datasets.labelled.camera_motion import CameraMotionConfig, move_camera
from stadet.engine.errors import UserError


def clip(length=6, size=(24, 32)):
    image = np.random.default_rng(0).integers(0, 255, (*size, 3), dtype=np.uint8)
    return np.repeat(image[None], length, axis=0)


def moved(config, seed=0, frames=None):
    return move_camera(clip() if frames is None else frames, config, np.random.default_rng(seed))


def all_alike(frames):
    return all((frame == frames[0]).all() for frame in frames)


def test_nothing_to_do_gives_the_frames_themselves():
    frames = clip()
    assert moved(CameraMotionConfig(), frames=frames) is frames
    assert moved(CameraMotionConfig(chance=0, rotation=15), frames=frames) is frames


@pytest.mark.parametrize("part", [{"rotation": 15.0}, {"crop": 0.3}])
def test_every_frame_has_a_draw_of_its_own(part):
    config = CameraMotionConfig(chance=1.0, **part)
    frames = moved(config)
    assert frames.shape == clip().shape and frames.dtype == np.uint8
    assert not all_alike(frames)
    np.testing.assert_array_equal(frames, moved(config))
    assert (frames != moved(config, seed=1)).any()


@pytest.mark.parametrize("part", [{"translation": 0.3}, {"vertical_flip": 1.0}])
def test_shift_and_flip_are_one_draw_for_the_clip(part):
    frames = moved(CameraMotionConfig(chance=1.0, **part), seed=2)
    assert all_alike(frames)
    assert (frames != clip()).any()


def test_vertical_flip_and_translation_do_what_they_say():
    flipped = moved(CameraMotionConfig(vertical_flip=1.0))
    np.testing.assert_array_equal(flipped, clip()[:, ::-1])
    column = np.zeros((1, 20, 40, 3), np.uint8)
    column[:, :, 20] = 255
    for seed in range(5):
        config = CameraMotionConfig(chance=1.0, translation=0.25)
        found = move_camera(column, config, np.random.default_rng(seed))
        rows = found[0, :, :, 0].astype(int)
        assert (rows == rows[0]).all()  # sideways only
        assert abs(int(rows[0].argmax()) - 20) <= 10


def test_chance_is_of_the_clip():
    config = CameraMotionConfig(chance=0.5, rotation=15.0)
    shaken = sum(not all_alike(moved(config, seed)) for seed in range(60))
    assert 15 < shaken < 45


def test_wrong_settings_are_one_line():
    with pytest.raises(UserError, match=r"motion\.crop: expected a share"):
        CameraMotionConfig(crop=1.5)
    with pytest.raises(UserError, match=r"motion\.rotation"):
        CameraMotionConfig(rotation=-1)
