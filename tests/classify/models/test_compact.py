"""The compact classifier: what still footage shows it, and what it sees of order."""

import pytest
import torch

from stadet.classify.models.registry import build_model
from stadet.engine.errors import UserError


def clip(length=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (1, length, 3, 20, 30), dtype=torch.uint8, generator=generator)


def model(**options):
    torch.manual_seed(0)
    return build_model("compact", 5, channels=4, **options).eval()


@torch.no_grad()
def test_by_motion_alone_every_still_clip_is_the_same():
    still = [frame.expand(1, 4, 3, 20, 30) for frame in (clip(1, seed=1), clip(1, seed=2))]
    blind, seeing = model(), model(colour=True)
    torch.testing.assert_close(blind(still[0]), blind(still[1]))
    assert not torch.allclose(seeing(still[0]), seeing(still[1]))


@torch.no_grad()
def test_without_motion_the_order_of_frames_is_nothing():
    frames = clip()
    torch.testing.assert_close(
        *(model(colour=True, motion=False)(x) for x in (frames, frames.flip(1))),
        atol=1e-5,
        rtol=1e-4,
    )
    assert not torch.allclose(*(model()(x) for x in (frames, frames.flip(1))))


@torch.no_grad()
def test_a_longer_clip_is_the_mean_over_its_pairs():
    network, frames = model(), clip(4)
    pairs = torch.cat([network(frames[:, i : i + 2]) for i in range(3)])
    torch.testing.assert_close(network(frames)[0], pairs.mean(0), atol=1e-5, rtol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("colour", [False, True])
def test_grey_does_not_see_colours(colour):
    frames = 0.25 + clip() / 510  # in [0.25, 0.75]
    deviation = model().normalise.std.flatten()
    shift = 0.1 * torch.sin(torch.arange(4.0))[:, None, None]  # of each frame, from red to green
    recoloured = frames.clone()
    recoloured[:, :, 0] += shift * deviation[0]
    recoloured[:, :, 1] -= shift * deviation[1]
    grey, coloured = model(colour=colour, grey=True), model(colour=colour)
    torch.testing.assert_close(grey(recoloured), grey(frames), atol=1e-5, rtol=1e-4)
    assert not torch.allclose(coloured(recoloured), coloured(frames), atol=1e-5, rtol=1e-4)


def test_neither_colour_nor_motion_is_refused():
    with pytest.raises(UserError, match="expected colour, motion or both, found neither"):
        model(motion=False)


def test_motion_needs_two_frames():
    with pytest.raises(UserError, match="at least 2 frames"):
        model()(clip(1))
