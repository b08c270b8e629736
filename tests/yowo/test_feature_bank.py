import pytest
import torch

from stadet.datasets.clips.live_batches import window_batches
from stadet.detect.inference import InferenceConfig, detect
from stadet.detect.view import View
from stadet.engine.errors import UserError
from stadet.yowo.feature_bank import FeatureBank
from stadet.yowo.model import YOWO
from tests.yowo import tiny_yowo

VIEW = View.resize(tiny_yowo.SIZE, tiny_yowo.SIZE)


def run(bank, images, first=0):
    frames = list(enumerate(images))[first:]
    with torch.no_grad():
        return [
            (batch.frame_indices[0].tolist(), maps[0])
            for batch, maps in bank.answers(window_batches(frames, "v", VIEW, bank.clip_length))
        ]


def literal(model, images, clips, length):
    """Frame by frame, from the whole video at once."""
    video = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255  # (F, 3, H, W)
    out = []
    for frame in range(len(video)):
        own, features = frame // length, []
        for clip in range(own - clips // 2, own - clips // 2 + clips):
            places = [clip * length + n for n in range(length)]
            if places[0] < 0 or places[0] >= len(video):
                continue
            places = [min(place, len(video) - 1) for place in places]
            features.append(model.backbone_3d(video[places].transpose(0, 1)[None]))
        spatial = model.backbone_2d(video[frame : frame + 1])
        out.append(model.forward_fusion(spatial, sum(features) / len(features)))
    return torch.cat(out)


@pytest.mark.parametrize(("count", "stride"), [(1, 32), (8, 32), (30, 32), (83, 32), (30, 8)])
def test_the_bank_equals_the_literal_computation(count, stride):
    model, images = tiny_yowo.yowo(stride=stride), tiny_yowo.video(count)
    answers = run(FeatureBank(model), images)
    assert [frame for frames, _ in answers for frame in frames] == list(range(count))
    with torch.no_grad():
        expected = literal(model, images, 8, 8)
    found = torch.cat([maps for _, maps in answers])
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("clips", [1, 2, 3])
def test_other_numbers_of_clips(clips):
    model, images = tiny_yowo.yowo(), tiny_yowo.video(29)
    found = torch.cat([maps for _, maps in run(FeatureBank(model, clips, 4), images)])
    with torch.no_grad():
        torch.testing.assert_close(found, literal(model, images, clips, 4), rtol=1e-4, atol=1e-6)


def test_each_clip_is_computed_once_and_few_are_held():
    model = tiny_yowo.yowo()
    calls = []
    model.backbone_3d.register_forward_hook(lambda *_: calls.append(1))
    asked = []

    def batches():
        for batch in window_batches(enumerate(tiny_yowo.video(160)), "v", VIEW, 8):
            asked.append(int(batch.frame_indices[0, 0]))
            yield batch

    with torch.no_grad():
        for batch, _ in FeatureBank(model).answers(batches()):
            assert asked[-1] - int(batch.frame_indices[0, 0]) <= 3 * 8  # the look-ahead
    assert len(calls) == 20


def test_a_start_within_the_video_answers_as_from_the_beginning():
    bank, images = FeatureBank(tiny_yowo.yowo()), tiny_yowo.video(90)
    whole, wanted = torch.cat([maps for _, maps in run(bank, images)]), 61
    first = (wanted - bank.context_frames) // bank.period * bank.period
    assert first == 16
    late = torch.cat([maps for _, maps in run(bank, images, first)])[wanted - first :]
    torch.testing.assert_close(late, whole[wanted:], rtol=1e-4, atol=1e-6)


def test_it_passes_through_detect_and_an_empty_stream_gives_nothing():
    bank, config = FeatureBank(tiny_yowo.yowo()), InferenceConfig(score_floor=0.0)
    for count in (0, 21):
        batches = window_batches(enumerate(tiny_yowo.video(count)), "v", VIEW, 8)
        answers = detect(bank, batches, config, torch.device("cpu"))
        assert [frame for _, frame, _ in answers] == list(range(count))


def test_bad_input_is_one_line():
    with pytest.raises(UserError, match=r"clips of 16, 32, 48, \.\. frames, found 8"):
        FeatureBank(YOWO(3, tiny_yowo.anchors(), backbone="shufflenet_2x", width=0.125))
    bank = FeatureBank(tiny_yowo.yowo())
    (batch,) = window_batches(enumerate(tiny_yowo.video(9)), "v", VIEW, 16)
    with pytest.raises(UserError, match="windows of 8 frames of one stream, found 1 of 9"):
        next(bank.answers([batch]))
    with pytest.raises(UserError, match="at least 1 clip"):
        FeatureBank(tiny_yowo.yowo(), clips=0)
    apart = tiny_yowo.yowo()
    apart.clip_step = 2
    with pytest.raises(UserError, match=r"expected .*clip_step=1.*found yowo.clip_step=2"):
        FeatureBank(apart)
