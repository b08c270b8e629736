import numpy as np
import torch

from stadet.datasets.clips.live_batches import key_frame_batches, window_batches
from stadet.datasets.clips.samplers import key_frame_clip
from stadet.detect.view import View

SIZE = (4, 6)
VIEW = View.resize(SIZE, SIZE)


def frames(count):
    return ((i, np.full((*SIZE, 3), i, dtype=np.uint8)) for i in range(count))


def test_windows_hold_every_frame_once_in_order():
    batches = list(window_batches(frames(7), "v", VIEW, 3))
    assert [b.frames.shape[1] for b in batches] == [3, 3, 1]
    assert torch.cat([b.frame_indices[0] for b in batches]).tolist() == list(range(7))
    assert [b.starts_stream.tolist() for b in batches] == [[True], [False], [False]]
    for batch in batches:
        assert torch.equal(batch.frames[0, :, 0, 0, 0].long(), batch.frame_indices[0])
        assert not batch.targets.looked_at.any()


def test_key_frame_clips_end_at_their_frame_and_repeat_the_edge():
    batches = list(key_frame_batches(frames(5), "v", VIEW, clip_length=4, batch=2))
    indices = torch.cat([b.frame_indices for b in batches]).tolist()
    assert indices == [[max(0, f - 3 + i) for i in range(4)] for f in range(5)]
    pixels = torch.cat([b.frames[:, :, 0, 0, 0] for b in batches])
    assert pixels.tolist() == indices


def test_frames_of_a_clip_may_lie_apart():
    """As the clips that a side is judged by."""
    batches = list(key_frame_batches(frames(9), "v", VIEW, clip_length=3, batch=4, clip_step=2))
    indices = torch.cat([b.frame_indices for b in batches]).tolist()
    assert indices == [list(key_frame_clip(f, 3, 2)) for f in range(9)]
    assert indices[5] == [1, 3, 5]
    pixels = torch.cat([b.frames[:, :, 0, 0, 0] for b in batches])
    assert pixels.tolist() == indices


def test_an_empty_stream_gives_nothing():
    assert list(window_batches(frames(0), "v", VIEW, 3)) == []
    assert list(key_frame_batches(frames(0), "v", VIEW, 4, 2)) == []
