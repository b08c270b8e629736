import numpy as np
import pytest

from stadet.engine.errors import UserError
from stadet.tools.streams.cuts import CutFinder


def picture(colour, size=(360, 640), noise=0):
    generator = np.random.default_rng(noise)
    image = np.full((*size, 3), colour) + generator.integers(-5, 6, (*size, 3))
    return image.clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("size", [(360, 640), (1080, 1920), (48, 64), (1, 1)])
def test_another_scene_is_a_cut_at_any_size(size):
    cuts = CutFinder(0.5)
    colours = [200, 200, 40, 40, 200]
    found = [cuts(picture(c, size, noise)) for noise, c in enumerate(colours)]
    assert found == [False, False, True, False, True]


def test_a_hand_that_moves_is_none():
    cuts, found = CutFinder(0.5), []
    for step in range(10):
        image = picture(120, noise=step)
        image[50:200, 40 * step : 40 * step + 150] = (220, 160, 130)
        found.append(cuts(image))
    assert not any(found)


@pytest.mark.parametrize("share", [0, -1, 1.5])
def test_a_share_is_above_0_and_at_most_1(share):
    with pytest.raises(UserError, match="scene cut threshold"):
        CutFinder(share)
