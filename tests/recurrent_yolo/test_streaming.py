from dataclasses import replace

import numpy as np
import pytest
import torch

from stadet.detect.batch import ClipBatch
from stadet.detect.inference import InferenceConfig, detect
from stadet.engine.errors import UserError
from stadet.recurrent_yolo.model import RecurrentYOLO
from stadet.recurrent_yolo.stacked import StackedYOLO
from stadet.recurrent_yolo.state import parts_of
from stadet.recurrent_yolo.streaming import SceneCuts, StreamingDetector, reset_at_cuts
from stadet.recurrent_yolo.temporal import MemoryConfig
from tests.recurrent_yolo.tiny import SIZE, clip_batch, detector, frames, randomise


def build():
    model = RecurrentYOLO(detector(), MemoryConfig(hidden=4))
    randomise(model.memory)
    return model.eval()


def scenes(*lengths):
    """One stream whose brightness jumps after each of the lengths."""
    noise = torch.randint(0, 20, (1, sum(lengths), 3, *SIZE), dtype=torch.uint8)
    level = torch.arange(len(lengths)).repeat_interleave(torch.tensor(lengths)) * 60
    return noise + level.to(torch.uint8)[None, :, None, None, None]


def run(stream, x, window):
    return torch.cat(
        [stream(part).scores.unflatten(0, part.shape[:2]) for part in x.split(window, 1)], 1
    )


@pytest.mark.parametrize("window", [1, 3, 5, 9])
@pytest.mark.parametrize("cuts", [None, SceneCuts(0.5)])
def test_the_same_output_whatever_the_window(window, cuts):
    model, x = build(), scenes(4, 5)
    whole = run(StreamingDetector(model, cuts), x, 9)
    assert torch.allclose(run(StreamingDetector(model, cuts), x, window), whole, atol=1e-5)


def test_stacked_frames_stream_alike():
    model, x = StackedYOLO(detector(), 3), frames(1, 7)
    randomise(model.detector.backbone.stem, 0.2)
    whole = run(StreamingDetector(model), x, 7)
    assert torch.allclose(run(StreamingDetector(model), x, 2), whole, atol=1e-5)


def test_a_cut_begins_another_stream():
    model, x = build(), scenes(4, 5)
    found = run(StreamingDetector(model, SceneCuts(0.5)), x, 3)
    apart = torch.cat([run(StreamingDetector(model), part, 9) for part in x.split([4, 5], 1)], 1)
    joined = run(StreamingDetector(model), x, 9)
    assert torch.allclose(found, apart, atol=1e-5)
    assert not torch.allclose(found, joined, atol=1e-5)


def test_reset_on_request():
    stream, x = StreamingDetector(build()), frames(1, 4)
    first = run(stream, x, 4)
    carried = run(stream, x, 4)
    stream.reset()
    assert torch.allclose(run(stream, x, 4), first, atol=1e-6)
    assert not torch.allclose(carried, first, atol=1e-6)


def test_state_does_not_grow():
    stream, sizes = StreamingDetector(build()), set()
    for seed in range(4):
        stream(frames(1, 3, seed))
        size, queue = 0, [stream._state]
        while queue:
            item = queue.pop()
            if isinstance(item, torch.Tensor):
                size += item.numel()
            elif item is not None:
                queue += [part for _, part in parts_of(item)]
        sizes.add(size)
    assert len(sizes) == 1


def test_cuts_are_found_across_windows_and_motion_is_none():
    x = scenes(3, 4, 2)
    for window in (1, 2, 9):
        cuts, last, found = SceneCuts(0.5), None, []
        for part in x.split(window, 1):
            flags, last = cuts(part, last)
            found += flags[0].tolist()
        assert np.flatnonzero(found).tolist() == [3, 7]
    moving = torch.zeros(1, 5, 3, *SIZE, dtype=torch.uint8)
    for t in range(5):
        moving[:, t, :, 4:20, 8 * t : 8 * t + 16] = 255
    assert not SceneCuts(0.5)(moving)[0].any()
    with pytest.raises(UserError, match=r"\(0, 1\]"):
        SceneCuts(0)


def test_batches_are_reset_at_cuts_for_the_common_inference():
    x, model = scenes(4, 5), build()

    def batches(window):
        for first, part in enumerate(x.split(window, 1)):
            batch = clip_batch(1, part.shape[1])
            indices = torch.arange(part.shape[1])[None] + window * first
            yield replace(
                batch, frames=part, frame_indices=indices, starts_stream=torch.tensor([first == 0])
            )

    config, cpu = InferenceConfig(score_floor=1e-4), torch.device("cpu")

    def scores(source):
        return [d.scores for _, _, d in detect(model, source, config, cpu)]

    with_cuts = scores(reset_at_cuts(batches(2), SceneCuts(0.5)))
    again = scores(reset_at_cuts(batches(3), SceneCuts(0.5)))
    plain = scores(batches(2))
    assert len(with_cuts) == len(again) == 9
    assert all(np.allclose(a, b, atol=1e-5) for a, b in zip(with_cuts[:4], plain[:4], strict=True))
    assert all(np.allclose(a, b, atol=1e-5) for a, b in zip(with_cuts, again, strict=True))
    assert any(
        a.shape != b.shape or not np.allclose(a, b, atol=1e-5)
        for a, b in zip(with_cuts[4:], plain[4:], strict=True)
    )
    assert isinstance(next(iter(batches(2))), ClipBatch)
