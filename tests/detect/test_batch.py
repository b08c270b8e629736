import pytest
import torch

from stadet.detect.batch import PADDING, ClipBatch, ClipRequest, Targets, normalise_frames
from stadet.detect.view import View


def make_targets(boxes=2, images=2):
    return Targets(
        torch.zeros(boxes, 4),
        torch.zeros(boxes, 3),
        torch.zeros(boxes, dtype=torch.int64),
        torch.ones(images, dtype=torch.bool),
    )


def make_batch(**changes):
    columns = dict(
        frames=torch.zeros(1, 2, 3, 8, 8, dtype=torch.uint8),
        targets=make_targets(),
        starts_stream=torch.tensor([True]),
        valid=torch.ones(1, 2, dtype=torch.bool),
        views=[View.resize((8, 8), (8, 8))],
        videos=["v"],
        frame_indices=torch.tensor([[0, 1]]),
    )
    return ClipBatch(**{**columns, **changes})


def test_a_batch_moves_with_everything_on_it():
    moved = make_batch().to("meta")
    tensors = [moved.frames, moved.valid, moved.starts_stream, *vars(moved.targets).values()]
    assert {tensor.device.type for tensor in tensors} == {"meta"}
    assert moved.videos == ["v"]


def test_shapes_are_checked():
    with pytest.raises(ValueError, match=r"\(B, T, C, H, W\)"):
        make_batch(frames=torch.zeros(1, 3, 8, 8))
    with pytest.raises(ValueError, match="valid"):
        make_batch(valid=torch.ones(1, 3, dtype=torch.bool))
    with pytest.raises(ValueError, match="boxes"):
        Targets(torch.zeros(2, 4), torch.zeros(1, 3), torch.zeros(2), torch.ones(1))
    assert len(make_targets(boxes=0).boxes) == 0


@pytest.mark.parametrize("frames", [(), (0, -2)])
def test_requests_hold_frames_or_padding(frames):
    with pytest.raises(ValueError, match="ClipRequest of v"):
        ClipRequest("v", frames)
    assert ClipRequest("v", (3, PADDING)) == ClipRequest("v", (3, -1))


def test_normalising_bytes_and_floats():
    frames = torch.tensor([0, 51, 255], dtype=torch.uint8)
    torch.testing.assert_close(normalise_frames(frames), torch.tensor([0, 0.2, 1]))
    assert normalise_frames(frames, torch.bfloat16).dtype == torch.bfloat16
    ready = torch.rand(4)
    assert normalise_frames(ready) is ready
