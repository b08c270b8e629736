import pytest
import torch

from stadet.datasets.clips.live_batches import key_frame_batches
from stadet.detect.inference import InferenceConfig, detect
from stadet.detect.runtime.fixed_shape import FixedShape
from stadet.detect.view import View
from stadet.engine.errors import UserError
from stadet.yowo.feature_bank import FeatureBank
from stadet.yowo.streaming import TemporalEvery
from tests.yowo import tiny_yowo

VIEW = View.resize(tiny_yowo.SIZE, tiny_yowo.SIZE)


def run(model, images, batch, first=0):
    """Maps (F, ...) of a stream, batch by batch."""
    frames = list(enumerate(images))[first:]
    state, out = None, []
    with torch.no_grad():
        for clips in key_frame_batches(frames, "v", VIEW, model.clip_length, batch):
            maps, state = model(clips.frames, state, clips.starts_stream, clips.valid)
            out.append(maps[0])
    return torch.cat(out)


def test_every_frame_is_the_plain_network_bit_for_bit():
    model, images = tiny_yowo.yowo(), tiny_yowo.video(11)
    assert torch.equal(run(model, images, 4), run(TemporalEvery(model, 1), images, 4))


@pytest.mark.parametrize(("every", "stride"), [(2, 32), (3, 32), (8, 32), (3, 16)])
@pytest.mark.parametrize("batch", [1, 2, 4, 5, 20])
def test_features_of_the_last_kth_key_frame_serve(every, stride, batch):
    model, images = tiny_yowo.yowo(stride=stride), tiny_yowo.video(13)
    with torch.no_grad():
        (whole,) = key_frame_batches(enumerate(images), "v", VIEW, model.clip_length, 100)
        clip = model.normalise_clip(whole.frames)
        temporal, spatial = model.backbone_3d(clip), model.backbone_2d(clip[:, :, -1])
        literal = torch.cat(
            [
                model.forward_fusion(
                    [part[f : f + 1] for part in spatial],
                    temporal[f // every * every : f // every * every + 1],
                )
                for f in range(13)
            ]
        )
    assert (literal - run(model, images, 4)).abs().max() > 1e-4  # it does make a difference
    found = run(TemporalEvery(model, every), images, batch)
    torch.testing.assert_close(found, literal, rtol=1e-4, atol=1e-6)
    padded = run(FixedShape(TemporalEvery(model, every)), images, batch)
    torch.testing.assert_close(padded, literal, rtol=1e-4, atol=1e-6)


def test_a_start_within_the_video_answers_as_from_the_beginning():
    model, images = TemporalEvery(tiny_yowo.yowo(), 3), tiny_yowo.video(26)
    whole, wanted = run(model, images, 6), 20
    first = (wanted - model.context_frames) // model.period * model.period
    assert first == 9
    late = run(model, images, 6, first)[wanted - first :]
    torch.testing.assert_close(late, whole[wanted:], rtol=1e-4, atol=1e-6)


def test_it_passes_through_detect():
    model, images = TemporalEvery(tiny_yowo.yowo(), 2), tiny_yowo.video(5)
    batches = key_frame_batches(enumerate(images), "v", VIEW, model.clip_length, 2)
    answers = detect(model, batches, InferenceConfig(score_floor=0.0), torch.device("cpu"))
    assert [frame for _, frame, _ in answers] == list(range(5))


@pytest.mark.parametrize("variant", [lambda m: TemporalEvery(m, 2), FeatureBank])
def test_all_but_the_head_is_compiled(variant):
    model = variant(tiny_yowo.yowo(stride=16))
    parts = tuple(part + "." for part in (*model.compiled_parts, "model.conv_final"))
    assert all(name.startswith(parts) for name, _ in model.named_parameters())


def test_k_below_one_is_refused():
    with pytest.raises(UserError, match="at least 1, found 0"):
        TemporalEvery(tiny_yowo.yowo(), 0)
