"""A run that stops in the middle of an epoch and goes on equals one that never stopped."""

import pytest
import torch

from stadet.detect.yolo.loss import YoloLoss
from stadet.engine.loop import fit
from stadet.engine.loop_config import LoopConfig
from stadet.engine.runlog import RunLog
from stadet.recurrent_yolo.model import RecurrentYOLO
from stadet.recurrent_yolo.sampler import HybridClipSampler, SamplerConfig
from stadet.recurrent_yolo.sequences import ActionSequence
from stadet.recurrent_yolo.temporal import MemoryConfig
from stadet.recurrent_yolo.training import RecurrentTrainingStep
from tests.recurrent_yolo.tiny import anchors, detector, randomise, requested_batch


class Interrupted(Exception):
    pass


class Loader:
    def __init__(self, sampler, stop_after=None):
        self.sampler, self.stop_after = sampler, stop_after

    def __iter__(self):
        for number, requests in enumerate(self.sampler):
            if number == self.stop_after:
                raise Interrupted
            yield requested_batch(requests)


def train(folder, windows, *, stop_after=None, resume=False):
    clips = [ActionSequence(str(n), 0, k) for n, k in enumerate((9, 4, 7, 2, 5))]
    config = SamplerConfig(lanes=3, window=2, random_share=0.34, reverse=0.5)
    sampler = HybridClipSampler(clips, config)
    torch.manual_seed(0)
    model = RecurrentYOLO(detector(), MemoryConfig(hidden=4, dropout=0.2))
    randomise(model.memory)
    step = RecurrentTrainingStep(YoloLoss(anchors()), windows)
    settings = LoopConfig(epochs=2, save_minutes=0.0)
    loader, log = Loader(sampler, stop_after), RunLog(folder, enabled=True)
    fit(
        model,
        step,
        loader,
        sampler,
        None,
        settings,
        log,
        torch.device("cpu"),
        describe={},
        resume=resume,
    )
    return model.state_dict(), len(sampler)


@pytest.mark.parametrize("windows", [1, 2])
def test_resumed_in_the_middle_of_an_epoch(tmp_path, windows):
    want, steps = train(tmp_path / "whole", windows)
    assert steps > 4
    with pytest.raises(Interrupted):
        train(tmp_path / "cut", windows, stop_after=4)
    found, _ = train(tmp_path / "cut", windows, resume=True)
    assert all(torch.equal(found[name], want[name]) for name in want)
