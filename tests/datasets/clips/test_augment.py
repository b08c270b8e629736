import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stadet.datasets.clips.augment import AugmentConfig, draw_view, recolour, visible_boxes
from stadet.detect.view import View
from stadet.engine.errors import UserError
from tests.planted import find_rectangle, rectangle_image

SEEDS = st.integers(0, 2**32 - 1)
STILL = AugmentConfig(zoom=(1, 1), aspect=0, flip=0, colour=0, blur=0, noise=0)
ALWAYS = AugmentConfig(colour=1, blur=1, noise=1)


def pictures(count, size=(40, 60), seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, *size, 3), dtype=np.uint8)


@given(SEEDS, st.sampled_from([(120, 200), (200, 120)]), st.sampled_from([(96, 96), (64, 128)]))
def test_zoomed_in_sees_a_part_and_zoomed_out_all(seed, video_size, network_size):
    rng = np.random.default_rng(seed)
    for base in (View.resize(video_size, network_size), View.letterbox(video_size, network_size)):
        whole = np.array([[0, 0, network_size[1], network_size[0]]], dtype=float)
        zoomed_in = draw_view(base, AugmentConfig(zoom=(1.2, 2), aspect=0), rng)
        seen = base.to_network(zoomed_in.to_video(whole))[0]
        assert (seen[:2] >= -1e-6).all() and (seen[2:] <= whole[0, 2:] + 1e-6).all()
        zoomed_out = draw_view(base, AugmentConfig(zoom=(0.5, 0.9), aspect=0), rng)
        shown = zoomed_out.to_network(base.to_video(whole))[0]
        assert (shown[:2] >= -1e-6).all() and (shown[2:] <= whole[0, 2:] + 1e-6).all()


@given(SEEDS)
def test_everything_off_is_the_base_view(seed):
    base = View.letterbox((120, 200), (96, 96))
    drawn = draw_view(base, STILL, np.random.default_rng(seed))
    np.testing.assert_allclose(drawn.scale, base.scale)
    np.testing.assert_allclose(drawn.offset, base.offset, atol=1e-9)
    assert not drawn.flip


def test_draws_stay_within_their_ranges_and_use_them():
    base = View.resize((100, 100), (100, 100))
    config = AugmentConfig(zoom=(0.5, 2), aspect=0.2, flip=0.5)
    rng = np.random.default_rng(0)
    drawn = [draw_view(base, config, rng) for _ in range(2000)]
    zooms = np.array([np.sqrt(view.scale[0] * view.scale[1]) for view in drawn])
    aspects = np.array([view.scale[1] / view.scale[0] for view in drawn])
    assert 0.5 <= zooms.min() < 0.52 and 1.95 < zooms.max() <= 2
    assert 1 / 1.2 - 1e-9 <= aspects.min() < 0.84 and 1.19 < aspects.max() <= 1.2 + 1e-9
    assert 0.45 < np.mean([view.flip for view in drawn]) < 0.55


@pytest.mark.parametrize("seed", range(12))
def test_boxes_move_with_the_pixels(seed):
    planted = np.array([[50, 40, 150, 110]], dtype=float)
    base = View.letterbox((150, 200), (160, 160))
    view = draw_view(base, AugmentConfig(zoom=(0.7, 1.15)), np.random.default_rng(seed))
    boxes, keep = visible_boxes(planted, view, 0.3)
    assert keep.all()
    found = find_rectangle(view.apply(rectangle_image((150, 200), planted[0])))
    np.testing.assert_allclose(found, boxes[0], atol=0.35)


def test_boxes_that_leave_the_view_are_dropped():
    view = View.crop((100, 100), (0, 0, 50, 50), (50, 50))
    boxes = np.array([[0, 0, 10, 10], [40, 0, 60, 10], [45, 0, 65, 10], [60, 60, 70, 70]])
    seen, keep = visible_boxes(boxes, view, 0.3)
    assert keep.tolist() == [True, True, False, False]
    assert seen.tolist() == [[0, 0, 10, 10], [40, 0, 50, 10]]
    assert visible_boxes(boxes, view, 0)[1].tolist() == [True, True, True, False]
    assert visible_boxes(np.zeros((0, 4)), view, 0.3)[0].shape == (0, 4)
    assert not visible_boxes(np.array([[5, 5, 5, 9]]), view, 0)[1].any()


@pytest.mark.parametrize("seed", range(8))
def test_one_draw_of_colour_for_all_frames(seed):
    frames = pictures(1).repeat(5, axis=0)
    out = recolour(frames, ALWAYS, np.random.default_rng(seed))
    assert out.shape == frames.shape and out.dtype == np.uint8
    assert (out != frames).any()
    for frame in out[1:]:
        np.testing.assert_array_equal(frame, out[0])


def test_a_draw_depends_on_the_seed_alone():
    frames = pictures(6)
    draw = lambda part, seed: recolour(part, ALWAYS, np.random.default_rng(seed))  # noqa: E731
    whole = draw(frames, 3)
    draw(frames, 8)  # another draw in between leaves no trace
    np.testing.assert_array_equal(np.concatenate([draw(frames[:2], 3), draw(frames[2:], 3)]), whole)
    assert (draw(frames, 4) != whole).any()


def test_colour_off_returns_the_frames_and_one_frame_is_enough():
    frames = pictures(3)
    assert recolour(frames, STILL, np.random.default_rng(0)) is frames
    assert recolour(frames[:1], ALWAYS, np.random.default_rng(0)).shape == (1, 40, 60, 3)


@pytest.mark.parametrize(
    "wrong",
    [{"zoom": (2, 1)}, {"zoom": (0, 1)}, {"flip": 1.5}, {"min_visible": -0.1}, {"hue": -1}],
)
def test_impossible_ranges_are_named(wrong):
    with pytest.raises(UserError, match=f"augment.{next(iter(wrong))}"):
        AugmentConfig(**wrong)


def test_a_list_from_yaml_is_as_good_as_a_tuple():
    assert AugmentConfig(zoom=[0.8, 1.4]) == AugmentConfig()
    hash(AugmentConfig(zoom=[0.8, 1.4]))
