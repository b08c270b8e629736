"""Images at another size: against Pillow, which has the same filter, and against averages."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from stadet.detect import scaling
from stadet.detect.scaling import scaled

SIDE = st.integers(1, 40)


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@given(SIDE, SIDE, SIDE, SIDE, st.integers(0, 9))
def test_any_size_is_pillows_within_a_grey_level(height, width, new_height, new_width, seed):
    image = noise(height, width, seed)
    found = scaled(image, (new_height, new_width))
    wanted = Image.fromarray(image).resize((new_width, new_height), Image.Resampling.BILINEAR)
    assert found.shape == (new_height, new_width, 3) and found.dtype == np.uint8
    assert found.flags.c_contiguous
    assert np.abs(found.astype(int) - np.array(wanted)).max() <= 1


def test_the_brightness_of_an_image_stays():
    image = noise(90, 160)
    assert scaled(image, (23, 41)).mean() == pytest.approx(image.mean(), abs=1)


def test_the_same_size_is_the_image_itself():
    image = noise(6, 8)
    assert scaled(image, (6, 8)) is image


def test_memory_of_any_layout_gives_the_same():
    image = noise(30, 50)
    wanted = scaled(image, (12, 20))
    frozen = image.copy()
    frozen.flags.writeable = False
    np.testing.assert_array_equal(scaled(frozen, (12, 20)), wanted)
    wide = np.repeat(image, 2, axis=1)
    np.testing.assert_array_equal(scaled(wide[:, ::2], (12, 20)), wanted)
    mirrored = scaled(image[:, ::-1], (12, 20))
    assert np.abs(mirrored[:, ::-1].astype(int) - wanted).max() <= 1


def test_processors_without_vector_instructions_see_the_same_within_a_grey_level(monkeypatch):
    image = noise(72, 128)
    fast = scaled(image, (20, 36))
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "DEFAULT")
    slow = scaled(image, (20, 36))
    assert np.abs(fast.astype(int) - slow).max() <= 1
    np.testing.assert_array_equal(slow, scaling._by_pillow(image, (20, 36)))
