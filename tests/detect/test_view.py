import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stadet.detect.view import PAD_VALUE, View, _placed
from tests.planted import find_rectangle, rectangle_image

SIDES = st.integers(16, 900)
SIZES = st.tuples(SIDES, SIDES)
SEEDS = st.integers(0, 2**32 - 1)
SHIFTS = st.integers(-25, 25)


def random_boxes(rng, size, count=5):
    corners = np.sort(rng.uniform(0, 1, (count, 2, 2)), axis=1) * [size[1], size[0]]
    return corners.reshape(count, 4)


def views(video_size, network_size, rng):
    x1, y1 = rng.uniform(-50, 50, 2)
    region = (x1, y1, x1 + rng.uniform(10, 500), y1 + rng.uniform(10, 500))
    return [
        View.resize(video_size, network_size),
        View.letterbox(video_size, network_size),
        View.crop(video_size, region, network_size),
    ]


@given(SIZES, SIZES, SEEDS)
def test_there_and_back_is_the_same(video_size, network_size, seed):
    rng = np.random.default_rng(seed)
    boxes = random_boxes(rng, video_size)
    for view in views(video_size, network_size, rng):
        for one in (view, view.flipped()):
            there = one.to_network(boxes)
            np.testing.assert_allclose(one.to_video(there), boxes, atol=1e-8)
            assert (there[:, 2:] >= there[:, :2]).all()


@given(SIZES, SIZES)
def test_whole_frame_fills_the_network(video_size, network_size):
    frame = np.array([[0, 0, video_size[1], video_size[0]]], dtype=float)
    height, width = network_size
    stretched = View.resize(video_size, network_size).to_network(frame)[0]
    np.testing.assert_allclose(stretched, [0, 0, width, height])
    view = View.letterbox(video_size, network_size)
    x1, y1, x2, y2 = view.to_network(frame)[0]
    assert min(x1, y1) == pytest.approx(0, abs=1e-9)  # one side fits exactly, the other is centred
    np.testing.assert_allclose([x1 + x2, y1 + y2], [width, height])
    assert view.scale[0] == view.scale[1]


def test_fit_goes_by_the_name_of_the_policy():
    sizes = ((100, 200), (64, 64))
    assert View.fit(*sizes, "letterbox") == View.letterbox(*sizes)
    assert View.fit(*sizes, "stretch") == View.resize(*sizes)


def test_crop_shows_its_region():
    view = View.crop((480, 640), (100, 50, 300, 250), (416, 208))
    np.testing.assert_allclose(view.to_network(np.array([[100, 50, 300, 250]])), [[0, 0, 208, 416]])


def test_flip_mirrors_and_twice_is_none():
    view = View.resize((100, 200), (100, 200)).flipped()
    np.testing.assert_allclose(view.to_network(np.array([[10, 20, 30, 40]])), [[170, 20, 190, 40]])
    assert view.flipped() == View.resize((100, 200), (100, 200))


def test_no_boxes():
    view = View.letterbox((100, 200), (64, 64)).flipped()
    for convert in (view.to_network, view.to_video):
        assert convert(np.zeros((0, 4))).shape == (0, 4)


CASES = {
    "same": View.resize((240, 320), (240, 320)),
    "shrink": View.resize((240, 320), (96, 160)),
    "grow": View.resize((240, 320), (416, 416)),
    "one side shrinks": View.resize((240, 320), (480, 160)),
    "letterbox down": View.letterbox((240, 320), (128, 128)),
    "letterbox a little down": View.letterbox((240, 320), (224, 224)),
    "letterbox up": View.letterbox((240, 320), (416, 512)),
    "letterbox odd": View.letterbox((240, 320), (101, 97)),
    "crop": View.crop((240, 320), (40, 20, 290, 210), (224, 224)),
    "crop far down": View.crop((240, 320), (3, 7, 317, 231), (64, 72)),
    "wider than the frame": View.crop((240, 320), (-60, -30, 350, 260), (208, 256)),
}


@pytest.mark.parametrize("copy", [(240, 320), (120, 160), (480, 640), (150, 170)])
@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_pixels_land_where_boxes_say(case, flip, copy):
    view = CASES[case].flipped() if flip else CASES[case]
    planted = np.array([96, 64, 224, 160], dtype=float)
    ratio = np.array([copy[1] / 320, copy[0] / 240] * 2)
    on_copy = np.round(planted * ratio)  # whole pixels of the smaller or larger copy
    image = view.apply(rectangle_image(copy, on_copy))
    assert image.shape == (*view.network_size, 3) and image.dtype == np.uint8
    expected = view.to_network(on_copy / ratio)
    np.testing.assert_allclose(find_rectangle(image), expected, atol=0.2)


def test_borders_are_grey_and_nothing_else_is():
    white = np.full((100, 200, 3), 255, dtype=np.uint8)
    image = View.letterbox((100, 200), (64, 64)).apply(white)
    assert (image[:15] == PAD_VALUE).all() and (image[49:] == PAD_VALUE).all()
    assert (image[17:47] == 255).all()


@given(st.tuples(SHIFTS, SHIFTS), SEEDS)
def test_a_shift_by_whole_pixels_is_that_of_a_warp(offset, seed):
    image = np.random.default_rng(seed).integers(0, 256, (12, 17, 3), dtype=np.uint8)
    matrix = np.array([[1.0, 0, offset[1]], [0, 1, offset[0]]])
    wanted = cv2.warpAffine(image, matrix, (20, 15), borderValue=(PAD_VALUE,) * 3)
    moved = _placed(image, (1.0, 1.0), (float(offset[0]), float(offset[1])), (15, 20))
    np.testing.assert_array_equal(moved, wanted)


def test_shrinking_averages_instead_of_skipping():
    checks = (np.indices((400, 400)).sum(0) % 2 * 200).astype(np.uint8)[..., None].repeat(3, 2)
    for view in (View.resize((400, 400), (50, 50)), View.letterbox((400, 400), (50, 60))):
        inner = view.apply(checks)[10:40, 10:40].astype(int)
        assert abs(inner - 100).max() <= 3
